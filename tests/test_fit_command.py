"""skae fit and skae detect --model: fitted once, other files scored, bad ones refused in a line."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from skae import AutoencoderTransformer
from skae.cli import main
from skae.io import load, save
from skae.tables import TableAnomalyDetector


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a table and the detector that skae fit makes of it."""
    folder = tmp_path_factory.mktemp("orders")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "order": [f"A-{i:03d}" for i in range(90)],
            "item": rng.choice(["tea", "cake"], size=90),
            "price": rng.normal(size=90).round(3),
            "sold": pd.date_range("2024-01-01", periods=90).strftime("%Y-%m-%d"),
        }
    )
    frame.to_csv(folder / "orders.csv", index=False)
    assert main(["fit", str(folder / "orders.csv"), "--model", str(folder / "m.skops")]) == 0
    return folder


@pytest.fixture
def orders(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return pd.read_csv("orders.csv")


def test_fit_saves_a_detector_with_its_threshold(orders, capsys):
    arguments = ["fit", "orders.csv", "--contamination", "0.1", "--model", "new/model.skops"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.out == "Detector of 90 rows by 3 columns: new/model.skops\n"
    assert "skae: note: Left out: 'order' (id)" in captured.err
    found, other = load("new/model.skops"), load("m.skops")
    np.testing.assert_array_equal(found.score_samples(orders), other.score_samples(orders))
    assert [(model.predict(orders) == -1).sum() for model in (found, other)] == [9, 4]


def test_detect_scores_the_same_as_where_it_is_fitted(orders, capsys):
    assert main(["detect", "orders.csv", "--out", "fitted.csv", "--explain"]) == 0
    fitted = capsys.readouterr()
    assert main(["detect", "orders.csv", "--out", "a.csv", "--explain", "--model", "m.skops"]) == 0
    loaded = capsys.readouterr()
    assert loaded.out == fitted.out.replace("fitted.csv", "a.csv")
    assert loaded.err == ""  # no columns are left out now: that is decided
    pd.testing.assert_frame_equal(pd.read_csv("a.csv"), pd.read_csv("fitted.csv"))


def test_other_rows_with_other_columns(orders, capsys):
    new = orders[:1].assign(price=50.0, note="new").drop(columns="order")
    new = new[["note", "sold", "price", "item"]]
    new.to_csv("new.csv", index=False)
    assert main(["detect", "new.csv", "--model", "m.skops", "--out", "b.csv", "--explain"]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith("row 0: anomaly, ")
    assert "price = 50 (expected " in line
    found = pd.read_csv("b.csv")
    score = load("m.skops").score_samples(new)[0]
    assert found["score"].tolist() == pytest.approx([score], rel=1e-12)
    pd.testing.assert_frame_equal(found[list(new)], new)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="price"), "x.csv: X has no column 'price'"),
        (lambda frame: frame.assign(price="dear"), "Column 'price' holds numbers, but row 0 has"),
        (lambda frame: frame.assign(sold=12), "Column 'sold' holds dates like %Y-%m-%d, but"),
        (lambda frame: frame.assign(sold="soon"), "Column 'sold' holds dates like %Y-%m-%d, but"),
    ],
    ids=["no column", "text", "numbers for dates", "text for dates"],
)
def test_another_table_is_one_line_and_code_2(change, message, orders, capsys):
    change(orders).to_csv("x.csv", index=False)
    assert main(["detect", "x.csv", "--model", "m.skops", "--out", "x-out.csv"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("skae: error: x.csv: ")
    assert message in line


def test_text_of_digits_is_text(orders):
    items = pd.Series([12, 7.12345] * len(orders))[: len(orders)]
    orders.assign(item=items.where(items.index != 3)).to_csv("digits.csv", index=False)
    assert main(["detect", "digits.csv", "--model", "m.skops", "--out", "d.csv"]) == 0
    found = pd.read_csv("d.csv").sort_values("row")["score"]
    texts = items.map({12: "12", 7.12345: "7.12345"}).where(items.index != 3)
    assert_allclose(found, load("m.skops").score_samples(orders.assign(item=texts)))


def test_gaps_are_no_other_type(orders):
    orders.assign(item=np.nan, sold=None).to_csv("gaps.csv", index=False)
    assert main(["detect", "gaps.csv", "--model", "m.skops", "--out", "gaps-out.csv"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["detect", "orders.csv", "--model", "none.skops"], "no file 'none.skops'"),
        (["detect", "orders.csv", "--model", "orders.csv"], "orders.csv: not a model"),
        (["detect", "orders.csv", "--model", "half.skops"], "half.skops: not a model"),
        (["detect", "orders.csv", "--model", "."], ".: cannot be read (Is a directory)"),
        (["detect", "orders.csv", "--model", "other.skops"], "but a AutoencoderTransformer"),
        (["detect", "orders.csv", "--model", "unfitted.skops"], "no fitted TableAnomalyDetector"),
        (["detect", "none.csv", "--model", "m.skops"], "no file 'none.csv'"),
        (["detect", "orders.csv", "--model", "m.skops", "--id", "order"], "--id is a choice of"),
        (
            ["detect", "orders.csv", "--model", "m.skops", "--contamination", "0.1"],
            "--contamination is a choice of skae fit",
        ),
        (["fit", "orders.csv", "--model", "orders.csv"], "is the file that is read"),
        (["fit", "orders.csv", "--model", "."], "is a directory"),
        (["fit", "none.csv", "--model", "n.skops"], "no file 'none.csv'"),
        (["fit", "orders.csv", "--model", "n.skops", "--contamination", "2"], "--contamination"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_code_2(arguments, message, orders, folder, capsys):
    data = (folder / "m.skops").read_bytes()
    (folder / "half.skops").write_bytes(data[: len(data) // 2])
    save(AutoencoderTransformer(), "other.skops")
    save(TableAnomalyDetector(), "unfitted.skops")
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert (folder / "m.skops").read_bytes() == data


def test_missing_skops_is_said_before_the_fit(orders, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "skops.io", None)
    assert main(["fit", "orders.csv", "--model", "n.skops"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("pip install 'skae[save]'.")


def test_a_file_that_is_no_model_is_refused_before_torch_is_imported(orders):
    arguments = ["detect", "orders.csv", "--model", "orders.csv"]
    command = [sys.executable, "-X", "importtime", "-m", "skae", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "skae.io" in imported
    assert not imported & {"torch", "sklearn", "skops"}
