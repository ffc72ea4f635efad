"""python -m skae detect: the most unusual rows, why, a CSV, and one line for bad input."""

import csv

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine

from skae.cli import main


@pytest.fixture
def wine_file(tmp_path):
    frame = load_wine(as_frame=True).data
    frame.loc[7, "magnesium"] = 400.0
    frame.loc[100, "hue"] = 6.0
    path = tmp_path / "wine.csv"
    frame.to_csv(path, index=False)
    return path


def test_the_most_unusual_rows_and_their_features(wine_file, tmp_path, capsys):
    out = tmp_path / "new" / "anomalies.csv"
    arguments = [str(wine_file), "--contamination", "0.02", "--explain", "--top", "2"]
    assert main(["detect", *arguments, "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("3 of 178 rows")
    found = {line.partition(":")[0]: line.partition("; ")[2] for line in lines[1:3]}
    assert found["row 7"].startswith("magnesium = 400 ")
    assert found["row 100"].startswith("hue = 6 ")
    assert str(out) in lines[-1]
    table = pd.read_csv(out)
    assert sorted(table.row[:2]) == [7, 100]
    assert (table.label == -1).sum() == 3
    assert (np.diff(table.score) >= 0).all()
    # the rows themselves, and reasons for those that are flagged
    whole = pd.read_csv(wine_file)
    pd.testing.assert_frame_equal(table.sort_values("row", ignore_index=True)[list(whole)], whole)
    assert table.reasons.notna().tolist() == (table.label == -1).tolist()
    assert table.reasons[0].startswith(("magnesium = 400 (expected 1", "hue = 6 (expected "))


def test_no_row_is_flagged_where_all_are_clean(wine_file, tmp_path, capsys):
    out = tmp_path / "a.csv"
    assert main(["detect", str(wine_file), "--contamination", "0", "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith("0 of 178 rows")
    assert (pd.read_csv(out).label == 1).all()


def test_without_explain_there_are_no_contributions(wine_file, tmp_path, capsys):
    out = tmp_path / "anomalies.csv"
    assert main(["detect", str(wine_file), "--out", str(out)]) == 0
    with out.open() as file:
        assert next(csv.reader(file))[:5] == ["row", "label", "score", "p_value", "alcohol"]
    assert "magnesium" not in capsys.readouterr().out


def test_columns_of_arrays_have_numbers_and_sets_have_names(tmp_path, capsys):
    X = np.random.default_rng(0).normal(size=(60, 3))
    X[5, 2] = 30
    np.save(tmp_path / "X.npy", X)
    out = ["--out", str(tmp_path / "a.csv"), "--explain", "--top", "1"]
    assert main(["detect", str(tmp_path / "X.npy"), *out]) == 0
    assert "row 5: anomaly" in (text := capsys.readouterr().out)
    assert "column 2 = 30" in text
    assert main(["detect", "iris", *out]) == 0
    assert "sepal" in capsys.readouterr().out or "petal" in capsys.readouterr().out


@pytest.fixture
def orders(tmp_path):
    """Return the path of a file with ids, text, dates and gaps, and an odd cell in row 17."""
    rng = np.random.default_rng(0)
    item = rng.choice(["tea", "cake", "bread"], size=300)
    price = pd.Series(item).map({"tea": 1.5, "cake": 6.0, "bread": 3.0}).to_numpy()
    frame = pd.DataFrame(
        {
            "order": [f"A-{i:04d}" for i in range(300)],
            "item": item,
            "price": (price + 0.05 * rng.normal(size=300)).round(2),
            "sold": pd.date_range("2024-01-01", periods=300, freq="5h").strftime("%Y-%m-%d %H:%M"),
            "shop": "here",
        }
    )
    frame.loc[17, ["item", "price"]] = ["tea", 6.0]
    frame.loc[::9, "price"] = np.nan
    frame.loc[4::11, "item"] = None
    path = tmp_path / "orders.csv"
    frame.to_csv(path, index=False, sep=";")
    return path


def test_text_dates_gaps_and_ids(orders, tmp_path, capsys):
    out = ["--explain", "--top", "1", "--out", str(tmp_path / "a.csv")]
    assert main(["detect", str(orders), "--contamination", "0.01", *out]) == 0
    captured = capsys.readouterr()
    bar, note = captured.err.rsplit("\n", 2)[:2]
    assert "epoch/s" in bar
    assert note == "skae: note: Left out: 'order' (id), 'shop' (constant)"
    line = captured.out.splitlines()[1]
    assert line.startswith("row 17 (order A-0017): anomaly")
    assert "item = tea (expected " in line
    assert "price = 6 (expected " in line
    table = pd.read_csv(tmp_path / "a.csv")
    assert table["order"][0] == "A-0017"
    assert len(table) == 300


def test_ids_are_those_that_are_named(orders, tmp_path, capsys):
    out = ["--top", "1", "--out", str(tmp_path / "a.csv")]
    assert main(["detect", str(orders), "--id", "order", "sold", *out]) == 0
    assert "(order A-" in (line := capsys.readouterr().out.splitlines()[1])
    assert ", sold 2024-" in line
    assert main(["detect", str(orders), "--id", "ordre", *out]) == 2
    assert "did you mean 'order'?" in capsys.readouterr().err


def test_columns_that_have_the_names_of_results(tmp_path):
    rng = np.random.default_rng(0)
    pd.DataFrame(rng.normal(size=(40, 2)), columns=["score", "label"]).to_csv(tmp_path / "s.csv")
    assert main(["detect", str(tmp_path / "s.csv"), "--out", str(tmp_path / "a.csv")]) == 0
    table = pd.read_csv(tmp_path / "a.csv")
    assert list(table) == ["row", "label_", "score_", "p_value", "Unnamed: 0", "score", "label"]
    assert (np.diff(table["score_"]) >= 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.csv"], "no file 'nowhere.csv'"),
        (
            ["wine.csv", "--contamination", "0.7"],
            "must be 'auto' or a number in [0, 0.5], got '0.7'",
        ),
        (["wine.csv", "--contamination", "low"], "got 'low'"),
        (["wine.csv", "--target", "price"], "no column 'price'"),
        (["wine.csv", "--out", "wine.csv/out.csv"], "wine.csv"),
        (["equal.csv"], "No column of X is left to encode: 'a' (constant), 'b' (constant)"),
        (["infinite.csv"], "Column 'b' holds finite numbers, but row 1 has inf"),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments, message, wine_file, monkeypatch, capsys):
    folder = wine_file.parent
    (folder / "equal.csv").write_text("a,b\n1,x\n1,x\n1,x\n1,x\n1,x\n")
    (folder / "infinite.csv").write_text("a,b\n1,2\n2,inf\n3,4\n4,5\n5,6\n")
    monkeypatch.chdir(folder)
    assert main(["detect", *arguments]) == 2
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1
    assert captured.err.startswith("skae: error: ")
    assert message in captured.err
