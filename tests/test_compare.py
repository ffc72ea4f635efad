"""The comparison: its figures by hand, its report, its command line."""

import csv
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer
from skae.cli import main
from skae.compare import compare_with_pca
from skae.compare._run import is_classes
from skae.tables import TableEncoder


@pytest.fixture(scope="module")
def result():
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return compare_with_pca(
        X[:300] / 16,
        y[:300],
        n_components=(2, 4),
        cv=2,
        scale=False,
        random_state=0,
        estimator=AutoencoderTransformer(max_iter=15),
    )


def test_figures_of_pca_are_those_by_hand(wine):
    X = 10 * wine + 3
    found = compare_with_pca(
        X, n_components=3, cv=3, random_state=1, estimator=AutoencoderTransformer(max_iter=1)
    ).results
    for fold, (train, test) in enumerate(KFold(3, shuffle=True, random_state=1).split(X)):
        scaler = StandardScaler().fit(X[train])
        pca = PCA(3).fit(scaler.transform(X[train]))
        x = scaler.transform(X[test])
        error = ((x - pca.inverse_transform(pca.transform(x))) ** 2).mean()
        mine = (found["model"] == "PCA") & (found["fold"] == fold)
        assert_allclose(found["error"][mine], error)
        assert_allclose(found["explained_variance"][mine], 1 - error / x.var(0).mean())


def test_results_are_columns(result):
    frame = pd.DataFrame(result.results)
    assert len(frame) == 2 * 2 * 2
    assert (frame.ratio_to_pca[frame.model == "PCA"] == 1).all()
    assert (frame.ratio_to_pca[frame.model == "autoencoder"] < 1).all()
    assert frame.downstream_score.between(0, 1).all()
    rows = result.means()
    assert [(row["n_components"], row["model"]) for row in rows] == [
        (2, "PCA"),
        (2, "autoencoder"),
        (4, "PCA"),
        (4, "autoencoder"),
    ]
    errors = frame.groupby(["n_components", "model"]).error.mean()
    assert_allclose(rows[1]["ratio_to_pca"], errors[2, "autoencoder"] / errors[2, "PCA"])
    assert f"{rows[3]['ratio_to_pca']:.2f} x PCA's with 4 components" in result.headline()
    assert len(result.summary().splitlines()) == 5


def test_the_report_stands_on_its_own(result, tmp_path):
    result.to_html(tmp_path / "report.html", title="Digits <8x8>", image_shape=(8, 8))
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "Digits &lt;8x8&gt;" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert result.headline().replace("'", "&#x27;") in page
    result.to_html(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().count("data:image/png;base64,") == 3


def test_the_report_says_what_else_counts_and_how_to_do_it_again(result, tmp_path):
    result.to_html(tmp_path / "report.html", command="skae compare digits")
    page = (tmp_path / "report.html").read_text()
    scores = result.results["downstream_score"]
    of = {
        k: [scores[m & (result.results["n_components"] == k)].mean() for m in _masks(result)]
        for k in (2, 4)
    }
    text = f"{of[2][0]:.3f} ({of[2][1]:.3f} with PCA&#x27;s) and {of[4][0]:.3f} ({of[4][1]:.3f}"
    assert text in page
    better = sum(own > pca for own, pca in of.values())
    assert f"better at {better} of 2 widths" in page
    assert "<pre>skae compare digits\n" in page
    assert "n_components=[2, 4], cv=2, scale=False, random_state=0" in page
    assert f"scikit-learn {sklearn.__version__}" in page


def _masks(result):
    models = result.results["model"]
    return models == "autoencoder", models == "PCA"


def test_csv_holds_every_fold(result, tmp_path):
    result.to_csv(tmp_path / "results.csv")
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["error"]) for row in rows] == result.results["error"].tolist()


def test_classes_and_numbers():
    assert is_classes(np.repeat([0, 1, 2], 10))
    assert is_classes(np.array(["a", "b"] * 5))
    assert not is_classes(np.linspace(0, 1, 30))
    assert not is_classes(np.arange(30))


@pytest.mark.parametrize("k", [0, 14, 2.5])
def test_widths_out_of_range_are_refused(k, wine):
    with pytest.raises(ValueError, match=rf"n_components must be ints in \[1, 13\].*got {k}"):
        compare_with_pca(wine, n_components=[k])


def test_folds_out_of_range_are_refused(wine):
    with pytest.raises(ValueError, match=r"cv must be in \[2, 178\].*got 1"):
        compare_with_pca(wine, n_components=1, cv=1)


# -- tables of any columns -----------------------------------------------------------------------


def orders(n_rows=240):
    """Return a table of text, numbers, dates and gaps."""
    rng = np.random.default_rng(0)
    item = rng.choice(["tea", "cake", "bread"], size=n_rows)
    frame = pd.DataFrame(
        {
            "item": item,
            "price": pd.Series(item).map({"tea": 1.5, "cake": 6.0, "bread": 3.0}),
            "number": rng.integers(1, 9, size=n_rows),
            "sold": pd.date_range("2024-01-01", periods=n_rows, freq="5h"),
        }
    )
    frame["price"] += 0.1 * rng.normal(size=n_rows)
    frame["total"] = frame["price"] * frame["number"]
    frame.loc[::9, "price"] = np.nan
    frame.loc[4::11, "item"] = None
    return frame


@pytest.fixture(scope="module")
def of_orders():
    return compare_with_pca(
        orders(),
        orders()["number"],
        n_components=2,
        cv=2,
        random_state=0,
        estimator=AutoencoderTransformer(max_iter=40),
    )


def test_figures_of_pca_of_a_table_are_those_by_hand(of_orders):
    errors, wrong = [], []
    for train, test in KFold(2, shuffle=True, random_state=0).split(orders()):
        encoder = TableEncoder().fit(orders().iloc[train])
        x, held_out = (encoder.transform(orders().iloc[part]) for part in (train, test))
        mean = np.nanmean(x, 0)
        filled, filled_test = (np.where(np.isnan(part), mean, part) for part in (x, held_out))
        pca = PCA(2).fit(filled)
        rebuilt = pca.inverse_transform(pca.transform(filled_test))
        errors.append(np.nanmean((held_out - rebuilt) ** 2))
        indicators = held_out[:, -3:], rebuilt[:, -3:]
        known = ~np.isnan(held_out[:, -1])
        wrong.append(np.mean(np.subtract(*(x.argmax(1)[known] for x in indicators)) != 0))
    found = of_orders.results["error"][of_orders.results["model"] == "PCA"]
    assert_allclose(found, errors)
    by_column = of_orders.column_errors().set_index("column")
    assert_allclose(by_column.loc["item", "PCA"], np.mean(wrong))
    assert by_column["kind"].to_dict() == {
        "price": "number",
        "number": "number",
        "sold": "date",
        "total": "number",
        "item": "category",
    }


def test_the_report_of_a_table_has_its_columns(of_orders, tmp_path):
    of_orders.to_html(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "Errors of the columns" in page
    wrong = of_orders.column_errors().set_index("column").loc["item", "PCA"]
    assert f"<td>{wrong:.1%} wrong</td>" in page
    # on a phone, in the dark, and read aloud
    assert '<meta name="viewport"' in page
    assert "prefers-color-scheme: dark" in page
    assert 'alt=""' not in page


def test_arrays_have_no_columns(result):
    assert result.column_errors() is None


# -- the command line ----------------------------------------------------------------------------

QUICK = ["--n-components", "2", "--cv", "2", "--max-iter", "2"]


def table(path, frame=None):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 4)), columns=list("abcd")) if frame is None else frame
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        np.save(path, frame.to_numpy())
    return str(path)


@pytest.mark.parametrize("name", ["iris", "t.csv", "t.parquet", "t.npy"])
def test_the_command_writes_a_report(name, tmp_path, capsys):
    data = name if name == "iris" else table(tmp_path / name)
    assert main(["compare", data, *QUICK, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert "held-out error" in printed.out
    assert "On rows left out the autoencoder's error is" in printed.out
    assert "4/4" in printed.err
    assert (tmp_path / "out/report.html").read_text().startswith("<!DOCTYPE html>")
    assert len((tmp_path / "out/results.csv").read_text().splitlines()) == 5


def test_a_target_is_scored_and_not_a_feature(tmp_path, capsys):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 3)), columns=list("abc"))
    frame["kind"] = np.where(frame.a > 0, "high", "low")
    data = table(tmp_path / "t.csv", frame)
    assert main(["compare", data, *QUICK, "--target", "kind", "--out", str(tmp_path)]) == 0
    assert "downstream score" in capsys.readouterr().out


def test_text_dates_gaps_and_ids(tmp_path, capsys):
    frame = orders(60).assign(order=[f"A-{i}" for i in range(60)])
    data = table(tmp_path / "orders.csv", frame)
    assert main(["compare", data, *QUICK, "--target", "number", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "skae: note: Left out: 'order' (id)" in printed.err
    assert "On rows left out the autoencoder's error is" in printed.out
    page = (tmp_path / "report.html").read_text()
    assert "<td>item</td><td>category</td>" in page
    assert f"<pre>skae compare {data} --n-components 2" in page


def test_a_saved_index_is_no_feature_of_numbers_without_gaps(tmp_path, capsys):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 4)), columns=list("abcd"))
    frame.to_csv(tmp_path / "saved.csv")
    out = tmp_path / "out"
    for name in ("saved.csv", "t.csv"):
        data = table(tmp_path / "t.csv", frame) if name == "t.csv" else str(tmp_path / name)
        assert main(["compare", data, *QUICK, "--out", str(out / name)]) == 0
    assert "Left out: 'Unnamed: 0' (id)" in capsys.readouterr().err
    saved, plain = (pd.read_csv(out / name / "results.csv") for name in ("saved.csv", "t.csv"))
    assert_allclose(saved["error"], plain["error"])


def test_large_tables_are_sampled_and_it_is_said(tmp_path, capsys):
    data = table(tmp_path / "t.csv")
    for rows, said in (("30", True), ("40", False)):
        assert main(["compare", data, *QUICK, "--sample", rows, "--out", str(tmp_path)]) == 0
        assert (f"skae: note: {rows} random rows are used" in capsys.readouterr().err) is said


def bad(tmp_path):
    text = pd.DataFrame({"a": [1.0] * 5, "name": ["v"] * 5})
    gaps = pd.DataFrame({"a": [1.0, None, 2, 3, 4], "b": [1.0] * 5})
    (tmp_path / "broken.npy").write_text("no array")
    (tmp_path / "empty.csv").write_text("")
    good = table(tmp_path / "good.csv")
    return {
        "no file": ["nowhere.csv"],
        "sets: digits": ["diggits"],
        "no column 'y'; columns: a, b, c, d": [good, "--target", "y"],
        r"No column of X is left to encode: 'a' \(constant\)": [table(tmp_path / "t.csv", text)],
        r"ints in \[1, 4\].*got 9": [good, "--n-components", "9"],
        "not a readable .npy file": [str(tmp_path / "broken.npy")],
        "the file is empty": [str(tmp_path / "empty.csv")],
        "no column 'a'; columns: column 0, ": [table(tmp_path / "t.npy"), "--target", "a"],
        "at least 4 rows": [table(tmp_path / "short.csv", gaps.dropna()[:2])],
        r"cv must be in \[2, 40\]": [good, "--cv", "1"],
    }


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys):
    for message, arguments in bad(tmp_path).items():
        assert main(["compare", *arguments, "--out", str(tmp_path / "out")]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert re.match(rf"skae: error: .*{message}", lines[0]), (message, lines[0])


def test_a_missing_matplotlib_leaves_the_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["compare", "iris", *QUICK, "--out", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert "held-out error" in printed.out
    assert "pip install 'skae[plot]'" in printed.err
    assert (tmp_path / "results.csv").exists()


def test_a_real_process_ends_without_a_traceback(tmp_path):
    command = [sys.executable, "-m", "skae", "compare", "nowhere.csv"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
