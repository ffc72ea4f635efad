"""python -m skae detect: the most unusual rows, why, a CSV, and one line for bad input."""

import csv

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_wine

from skae.cli import main
from skae.cli.detect import _largest


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
    contributions = table.filter(like="contribution of")
    assert contributions.shape == (178, 13)
    assert_allclose(contributions.sum(axis=1), table.score)


def test_no_row_is_flagged_where_all_are_clean(wine_file, tmp_path, capsys):
    out = tmp_path / "a.csv"
    assert main(["detect", str(wine_file), "--contamination", "0", "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith("0 of 178 rows")
    assert (pd.read_csv(out).label == 1).all()


def test_without_explain_there_are_no_contributions(wine_file, tmp_path, capsys):
    out = tmp_path / "anomalies.csv"
    assert main(["detect", str(wine_file), "--out", str(out)]) == 0
    with out.open() as file:
        assert next(csv.reader(file)) == ["row", "label", "score", "p_value"]
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


@pytest.mark.parametrize(
    ("contributions", "text"),
    [
        # They almost cancel: as parts of their sum they were 4e15 %.
        ([-4.0, 4.0 - 1e-13, 0.0], "a = 1 (100%)"),
        ([-3.0, 5.0, -1.0], "a = 1 (75%), c = 3 (25%)"),
        ([0.0, 0.0, 0.0], "no feature is unusual"),
        ([-1.5e308, -1.5e308, 0.0], "a = 1 (50%), b = 2 (50%)"),
        ([-5e-324, 0.0, 0.0], "a = 1 (100%)"),
    ],
)
def test_parts_of_a_score_are_at_most_a_hundred_percent(contributions, text):
    assert _largest(np.array(contributions), ["a", "b", "c"], np.array([1.0, 2.0, 3.0])) == text


def test_equal_rows_are_no_anomalies(tmp_path, capsys):
    np.save(tmp_path / "X.npy", np.ones((40, 3)))
    arguments = [str(tmp_path / "X.npy"), "--explain", "--top", "1"]
    assert main(["detect", *arguments, "--out", str(tmp_path / "a.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("0 of 40 rows")
    assert "nan" not in lines[1]


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
        (["text.csv"], "columns with text: b"),
        (["gaps.csv"], "1 entries are missing"),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments, message, wine_file, monkeypatch, capsys):
    folder = wine_file.parent
    (folder / "text.csv").write_text("a,b\n1,x\n2,y\n3,z\n4,x\n5,y\n")
    (folder / "gaps.csv").write_text("a,b\n1,2\n2,\n3,4\n4,5\n5,6\n")
    monkeypatch.chdir(folder)
    assert main(["detect", *arguments]) == 2
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1
    assert captured.err.startswith("skae: error: ")
    assert message in captured.err
