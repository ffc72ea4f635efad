"""skae impute, sample and encode: files from files."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from skae import AutoencoderTransformer
from skae.cli import main
from skae.tables import TableAutoencoder

PARAMS = ["-k", "2", "--max-iter", "20"]


@pytest.fixture
def orders(tmp_path, monkeypatch):
    """Go to a folder with a table of ids, text, numbers, dates and gaps."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    item = rng.choice(["tea", "cake", "bread"], size=200)
    frame = pd.DataFrame(
        {
            "order": [f"A-{i:04d}" for i in range(200)],
            "item": item,
            "price": pd.Series(item).map({"tea": 1.5, "cake": 6.0, "bread": 3.0}),
            "sold": pd.date_range("2024-01-01", periods=200, freq="5h").strftime("%Y-%m-%d %H:%M"),
        }
    )
    frame.loc[::9, "price"] = np.nan
    frame.loc[4::11, "item"] = None
    frame.to_csv("orders.csv", index=False)
    return frame


def model_of(frame):
    autoencoder = AutoencoderTransformer(max_iter=20)
    return TableAutoencoder(2, autoencoder=autoencoder, random_state=0).fit(frame)


@pytest.mark.filterwarnings("ignore:Left out")
def test_impute_fills_gaps_and_changes_nothing_else(orders, capsys):
    assert main(["impute", "orders.csv", *PARAMS, "--out", "filled.csv"]) == 0
    captured = capsys.readouterr()
    n_gaps = int(orders.isna().sum().sum())
    assert f"{n_gaps} of {orders.size} entries were missing" in captured.out
    assert "skae: note: Left out: 'order' (id)" in captured.err
    filled = pd.read_csv("filled.csv")
    expected = model_of(orders).impute(orders)
    pd.testing.assert_frame_equal(filled, expected, check_dtype=False)
    known = orders.notna()
    assert (filled.astype(str)[known] == orders.astype(str)[known]).sum().sum() == known.sum().sum()


@pytest.mark.filterwarnings("ignore:Left out")
def test_sample_writes_rows_like_the_table(orders):
    assert main(["sample", "orders.csv", *PARAMS, "-n", "70", "--out", "new.parquet"]) == 0
    new = pd.read_parquet("new.parquet")
    assert list(new) == ["item", "price", "sold"]
    assert len(new) == 70
    assert set(new["item"]) <= {"tea", "cake", "bread"}
    assert new["price"].between(1.5, 6).all()
    pd.to_datetime(new["sold"], format="%Y-%m-%d %H:%M")
    pd.testing.assert_frame_equal(new, model_of(orders).sample(70, 0), check_dtype=False)


@pytest.mark.filterwarnings("ignore:Left out")
def test_encode_writes_ids_and_codes(orders):
    assert main(["encode", "orders.csv", *PARAMS]) == 0
    codes = pd.read_csv("codes.csv")
    assert codes["order"].tolist() == orders["order"].tolist()
    assert_allclose(codes[["code 0", "code 1"]], model_of(orders).transform(orders))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "orders.csv", "-n", "0"], "--n-rows must be at least 1, got 0"),
        (["impute", "nowhere.csv"], "no file 'nowhere.csv'"),
        (["encode", "orders.csv", "-k", "-1"], "n_components"),
        (["encode", "orders.csv", "--out", "orders.csv"], "is the file that is read"),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments, message, orders, capsys):
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
