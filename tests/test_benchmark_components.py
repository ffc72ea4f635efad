"""The benchmark of the number of components: its figures and its page."""

from pathlib import Path

import component_pages
import numpy as np
import pytest
from sklearn.decomposition import PCA

from benchmarks import n_components, run
from benchmarks.__main__ import main

pytestmark = pytest.mark.extended

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"


@pytest.mark.parametrize(
    "name", [name for name, table in n_components.TABLES.items() if table.kind != "real"]
)
def test_made_tables_have_a_known_number(name):
    X, dimension = n_components.TABLES[name].make(np.random.default_rng(0))
    assert X.ndim == 2
    assert np.isfinite(X).all()
    assert 1 <= dimension < X.shape[1]


def test_a_run_writes_what_is_found(tmp_path, monkeypatch):
    peers = {name: n_components.PEERS[name] for name in ("auto, PCA alone", "mle")}
    monkeypatch.setattr(n_components, "PEERS", peers)
    out = str(tmp_path / "n_components")
    assert (
        main(["n_components", "--sets", "low_rank", "few_rows", "--seeds", "2", "--out", out]) == 0
    )
    rows, about = run.load_results(out)
    # Minka's rule needs as many rows as features
    assert [row["set"] for row in rows].count("low_rank") == 4
    for row in rows:
        if row["peer"] == "mle" and row["set"] == "low_rank":
            rng = np.random.default_rng([row["seed"], *b"low_rank"])
            X, dimension = n_components.low_rank(rng)
            assert dimension == row["dimension"]
            assert X.shape[1] == row["n_features"]
    summary = about["summary"]["straight, chosen on | auto, PCA alone"]
    own = [row for row in rows if row["peer"] == "auto, PCA alone"]
    assert summary["cases"] == len(own) == 4
    assert summary["right"] == np.mean([row["k"] == row["dimension"] for row in own])


def test_cross_validation_finds_a_rank():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 1)) * np.ones(4) * 3 + rng.normal(size=(120, 4))
    assert n_components.cross_validation(X, X, 0)["k"] == 1
    assert PCA(1).fit(X).explained_variance_ratio_[0] > 0.8


def test_the_committed_results_are_whole(tmp_path):
    rows, about = run.load_results(RESULTS / "n_components")
    assert {row["peer"] for row in rows} == set(n_components.PEERS)
    assert {row["set"] for row in rows} <= set(n_components.TABLES)
    assert about["summary"] == n_components.summarise_n_components(rows)
    component_pages.write_components(tmp_path, RESULTS)
    lines = (tmp_path / "components_sets.inc").read_text()
    for name in n_components.TABLES:
        assert f"   * - {name}\n" in lines
    assert (
        "times as long as one with the number found"
        in (tmp_path / "components_cost.inc").read_text()
    )
