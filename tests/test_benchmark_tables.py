"""The benchmark of tables: its peers, its figures and its page."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import table_pages
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import spearmanr
from sklearn.model_selection import train_test_split

from benchmarks import run, tables
from benchmarks.__main__ import main
from benchmarks.tabular import SETS, Table
from skae.tables import TableEncoder

pytestmark = pytest.mark.extended

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"


def orders(n_rows=240):
    rng = np.random.default_rng(0)
    item = rng.choice(["tea", "cake", "bread"], size=n_rows, p=[0.6, 0.3, 0.1])
    price = pd.Series(item).map({"tea": 1.5, "cake": 6.0, "bread": 3.0})
    number = rng.integers(1, 9, size=n_rows)
    frame = pd.DataFrame({"item": item, "price": price, "number": number, "total": price * number})
    frame.loc[::20, "number"] = np.nan
    return frame


@pytest.fixture
def case():
    train, test = train_test_split(orders(), test_size=0.5, random_state=0)
    return tables.Case(train, test, TableEncoder().fit(train), 0, 2)


def test_famd_is_that_of_its_definition(case):
    """PCA of standardized numbers, and of indicators over the root of their frequency."""
    x = case.encoder.transform(case.train)
    rebuild = tables._Rebuilt(2, True).fit(x, case.encoder.blocks_)
    frequency = case.train["item"].value_counts(normalize=True)
    columns = [name.startswith("item_") for name in case.encoder.get_feature_names_out()]
    names = [n.removeprefix("item_") for n in case.encoder.get_feature_names_out()[columns]]
    assert_allclose(rebuild.weight[columns], frequency[names] ** -0.5)
    # with all components it is the rows themselves
    whole = tables._Rebuilt(x.shape[1], True).fit(x, case.encoder.blocks_)
    assert_allclose(whole(x)[~np.isnan(x)], x[~np.isnan(x)], atol=1e-9)


def test_the_copula_keeps_marginals_and_ranks():
    rng = np.random.default_rng(0)
    a = rng.exponential(size=2000)
    matrix = np.column_stack([a, np.round(a + 0.3 * rng.normal(size=2000))])
    drawn = tables._copula(matrix, 2000, rng)
    assert set(drawn[:, 1]) <= set(matrix[:, 1])
    assert_allclose(np.median(drawn, 0), np.median(matrix, 0), atol=0.1)
    correlations = [spearmanr(x)[0] for x in (matrix, drawn)]
    assert_allclose(*correlations, atol=0.08)


def test_boosted_trees_fill_what_follows_from_the_rest():
    rng = np.random.default_rng(0)
    a = rng.normal(size=400)
    whole = np.column_stack([a, 2 * a, a > 0])
    gaps = whole.copy()
    gaps[::5, 1], gaps[1::5, 2] = np.nan, np.nan
    filled = tables._boosted(gaps, gaps, [False, False, True])
    assert_array_equal(filled[~np.isnan(gaps)], gaps[~np.isnan(gaps)])
    assert (filled[1::5, 2] == whole[1::5, 2]).mean() > 0.95
    assert ((filled - whole)[::5, 1] ** 2).mean() < 0.2 * whole[:, 1].var()


def test_a_category_is_a_number_and_back(case):
    ordinal = tables._Ordinal(case.encoder)
    x = case.encoder.transform(case.train.dropna())
    matrix = ordinal.encode(x)
    assert matrix.shape[1] == 4
    assert_array_equal(ordinal.decode(matrix, x.shape[1]), x)


def test_errors_are_those_by_hand(case):
    x = case.encoder.transform(case.test)
    rebuilt = np.zeros_like(x)
    rebuilt[:, -1] = 1.0
    found = tables._errors(case.encoder, x, rebuilt)
    squares = [np.sqrt(np.nanmean(x[:, j] ** 2)) for j in range(3)]
    assert_allclose(found["error_numbers"], np.mean(squares))
    last = case.encoder.get_feature_names_out()[-1].removeprefix("item_")
    assert_allclose(found["wrong_categories"], (case.test["item"] != last).mean())


def test_rows_summary_and_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tables, "AutoencoderTransformer", _short)
    monkeypatch.setitem(SETS, "orders", Table(orders, False))
    monkeypatch.setitem(SETS, "before", Table(lambda: orders(150), True))
    out = str(tmp_path / "tables")
    with warnings.catch_warnings():
        # scikit-learn's imputer and classifier on few rows
        warnings.simplefilter("ignore")
        assert main(["tables", "--sets", "orders", "before", "--out", out]) == 0
    assert "not chosen on | planted | skae" in capsys.readouterr().out
    rows, about = run.load_results(out)
    assert {row["case"] for row in rows} == set(tables.JOBS)
    ours = [row for row in rows if row["peer"] == "skae" and row["set"] == "orders"]
    assert {row["case"] for row in ours} == set(tables.JOBS)
    planted = next(row for row in ours if row["case"] == "planted")
    assert about["summary"]["not chosen on | planted | skae"]["auroc"] == planted["auroc"]
    table_pages.write_tables(tmp_path, tmp_path)
    page = (tmp_path / "tables_means.inc").read_text()
    assert f"{planted['auroc']:.3f}" in page
    assert about["date"] in (tmp_path / "tables_summary.inc").read_text()
    assert "of 1\n" in (tmp_path / "tables_losses.inc").read_text()


def test_cases_are_measured_apart_and_joined(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tables, "AutoencoderTransformer", _short)
    monkeypatch.setitem(SETS, "orders", Table(orders, False))
    parts = [str(tmp_path / case) for case in ("planted", "rebuilt")]
    for case, out in zip(("planted", "rebuilt"), parts, strict=True):
        assert main(["tables", "--sets", "orders", "--cases", case, "--out", out]) == 0
        assert {row["case"] for row in run.load_results(out)[0]} == {case}
    assert main(["tables", "--merge", *parts, "--out", str(tmp_path / "all")]) == 0
    rows, about = run.load_results(tmp_path / "all")
    assert {row["case"] for row in rows} == {"planted", "rebuilt"}
    planted = about["summary"]["not chosen on | planted | skae"]
    # Rows that are flagged and whose column is named are no more than those whose column is.
    assert 0 < planted["flagged"] * planted["named_flagged"] <= planted["named"] + 1e-12
    with pytest.raises(SystemExit):
        main(["speed", "--cases", "planted"])
    assert "--cases is an option of tables" in capsys.readouterr().err


def _short(**params):
    from skae import AutoencoderTransformer

    return AutoencoderTransformer(max_iter=3, hidden_layer_sizes=(8,), **params)


def test_the_committed_sets_are_known():
    rows, about = run.load_results(RESULTS / "tables")
    assert {row["set"] for row in rows} <= set(SETS)
    assert about["summary"] == tables.summarise_tables(rows)
    for row in rows:
        assert row["chosen_on"] == SETS[row["set"]].chosen_on
