"""The benchmark of imputations: its figures, what it leaves out, and its page."""

import re
from pathlib import Path

import imputation_pages
import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

from benchmarks import imputation, run
from benchmarks.__main__ import main
from benchmarks.datasets import Dataset, Unavailable
from tests.pages import python_blocks

pytestmark = pytest.mark.extended

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"


@pytest.fixture
def two_peers(monkeypatch):
    """Leave the means, and a peer that is called skae and leaves out what is too much work."""
    peers = {
        "SimpleImputer": imputation.IMPUTERS["SimpleImputer"],
        "skae": imputation.Imputer(imputation.neighbours, max_work=1e4),
    }
    monkeypatch.setattr(imputation, "IMPUTERS", peers)

    def gone():
        raise Unavailable("no such file")

    monkeypatch.setitem(imputation.SETS, "gone", Dataset(gone, "nowhere"))


def test_errors_are_those_of_the_removed_entries(two_peers, tmp_path, capsys):
    out = str(tmp_path / "i")
    assert main(["imputation", "--sets", "iris", "wine", "gone", "--seeds", "1", "--out", out]) == 0
    assert "left out: skae on wine" in capsys.readouterr().out
    rows, about = run.load_results(out)
    assert len(rows) == 9
    train, test = train_test_split(load_iris().data, test_size=0.25, random_state=0)
    test = (test - train.mean(0)) / train.std(0)
    train = (train - train.mean(0)) / train.std(0)
    generator = np.random.default_rng(0)
    removed, removed_of_test = (generator.random(x.shape) < 0.3 for x in (train, test))
    mean = np.nanmean(np.where(removed, np.nan, train), axis=0)
    found = [r for r in rows if (r["set"], r["share"]) == ("iris", 0.3)]
    assert [row["peer"] for row in found] == ["SimpleImputer", "skae"]
    assert found[0]["k"] == 1
    for x, gone, kind in ((train, removed, "fitted"), (test, removed_of_test, "held_out")):
        expected = np.sqrt(((x - mean)[gone] ** 2).mean())
        assert_allclose(found[0][f"error_{kind}"], expected)
    assert about["summary"]["0.3 | skae"]["error_fitted"] == found[1]["error_fitted"]
    assert about["summary"]["0.3 | SimpleImputer"]["sets"] == 2
    # over the sets that all peers have
    means = about["summary"]["0.3 | SimpleImputer"]
    assert (means["shared_sets"], means["error_fitted"]) == (1, found[0]["error_fitted"])
    assert {entry["set"] for entry in about["left_out"]} == {"wine", "gone"}
    before = Path(f"{out}.csv").read_text()
    main(["imputation", "--sets", "iris", "--seeds", "1", "--out", out, "--resume"])
    assert Path(f"{out}.csv").read_text() == before


def test_the_start_and_the_net_fill_gaps_alone():
    X = load_iris().data
    gaps = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
    filled = imputation.start(gaps, 1, 0)(gaps)
    assert np.isfinite(filled).all()
    assert (filled[~np.isnan(gaps)] == X[~np.isnan(gaps)]).all()


def test_the_tables_have_the_best_in_bold_and_the_defeats(two_peers, tmp_path):
    main(
        ["imputation", "--sets", "iris", "wine", "--seeds", "1", "--out", f"{tmp_path}/imputation"]
    )
    rows, about = run.load_results(tmp_path / "imputation")
    imputation_pages.write_imputations(tmp_path, tmp_path)
    lines = (tmp_path / "imputation_fitted.inc").read_text()
    best = min(r["error_fitted"] for r in rows if (r["set"], r["share"]) == ("iris", 0.1))
    assert f"**{best:.3f}**" in lines
    pairs = [(r["set"], r["share"]) for r in rows if r["peer"] == "skae"]
    error = {(r["peer"], r["set"], r["share"]): r["error_held_out"] for r in rows}
    lost = sum(error["SimpleImputer", *p] < error["skae", *p] for p in pairs)
    assert f"- {lost} of 3\n" in (tmp_path / "imputation_losses.inc").read_text()
    assert "skae" in (tmp_path / "imputation_left_out.inc").read_text()
    assert about["date"] in (tmp_path / "imputation_summary.inc").read_text()


def test_the_committed_result_makes_its_tables(tmp_path):
    rows, about = run.load_results(RESULTS / "imputation")
    assert {row["peer"] for row in rows} == set(imputation.IMPUTERS)
    assert {row["share"] for row in rows} == set(imputation.SHARES)
    assert about["summary"] == imputation.summarise_imputation(rows)
    imputation_pages.write_imputations(tmp_path, RESULTS)
    written = {path.name for path in tmp_path.iterdir()}
    wanted = re.findall(r"include:: generated/(\S+)", (DOCS / "missing.rst").read_text())
    assert set(wanted) == written


def test_the_code_of_the_page_fills_gaps():
    (code,) = python_blocks("missing.rst")
    names = {}
    code = code.replace("random_state=0)", "random_state=0, max_iter=5)")
    exec(code, names)
    assert np.isfinite(names["filled"]).all()
    assert names["error"] < 0.6
