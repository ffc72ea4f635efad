"""The page on large data: its code runs, and gives what the same rows give in memory."""

import subprocess
import sys

import cloudpickle
import dask
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits

from skae import AutoencoderTransformer
from tests.pages import code_blocks

pytestmark = pytest.mark.extended

PAGE = "large_data.rst"


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Run the page from top to bottom in a folder of its own; scripts become files there."""
    folder = tmp_path_factory.mktemp("page")
    names = {"folder": folder}
    with pytest.MonkeyPatch.context() as patch, dask.config.set(scheduler="threads"):
        patch.chdir(folder)
        for language, options, code in code_blocks(PAGE):
            if language != "python":
                continue
            if "caption" in options:
                (folder / options["caption"]).write_text(code)
            elif options.get("class") == "not-run":
                compile(code, PAGE, "exec")
            else:
                exec(code, names)
        yield names


def test_chunks_of_parquet_and_of_dask_are_the_same_training(names):
    one, other = names["from_parquet"], names["from_dask"]
    n_chunks = -(-len(names["train"]) // 500)
    assert one.n_iter_ == other.n_iter_ == 20 * n_chunks
    X = names["test"].to_numpy()
    assert_array_equal(
        one.transform(names["test"]),
        other.transform(X),
    )
    start = AutoencoderTransformer(8, max_iter=0).fit(names["train"])
    assert one.score(names["test"]) > start.score(names["test"])


def test_a_pipeline_of_fitted_steps(names):
    scaled = (names["test"] - names["train"].mean()) / names["train"].std(ddof=0).replace(0, 1)
    assert_allclose(names["codes_of_pipeline"], names["autoencoder"].transform(scaled), atol=1e-9)


@pytest.mark.parametrize(
    ("blocks", "model", "method"),
    [
        ("codes", "from_dask", "transform"),
        ("rebuilt", "from_dask", "reconstruct"),
        ("scores", "detector", "score_samples"),
        ("labels", "detector", "predict"),
    ],
)
def test_blocks_are_the_rows_in_memory(blocks, model, method, names):
    blocks, X = names[blocks], names["train"].to_numpy()
    expected = getattr(names[model], method)(X)
    computed = blocks.compute(scheduler="threads")
    assert_allclose(computed, expected, rtol=1e-12, atol=1e-12)
    assert (blocks.shape, blocks.dtype) == (expected.shape, expected.dtype)
    assert [len(block) for block in dask.compute(*blocks.blocks.ravel())] == [500, 500, 347]
    assert computed.dtype == expected.dtype


def test_reductions_over_blocks(names):
    X = names["train"].to_numpy()
    assert_allclose(names["error"], ((X - names["from_dask"].reconstruct(X)) ** 2).mean())
    assert names["n_anomalies"] == (names["detector"].predict(X) == -1).sum() > 0


def test_the_spark_function_takes_what_spark_gives_it(names):
    encode = cloudpickle.loads(cloudpickle.dumps(names["encode"]))
    frames = [names["test"].iloc[start : start + 200] for start in range(0, 450, 200)]
    codes = pd.concat(encode(iter(frames)))
    expected = names["from_parquet"].transform(names["test"])
    assert_allclose(codes, expected, rtol=1e-12, atol=1e-12)
    columns = [column.split() for column in names["schema"].split(", ")]
    assert columns == [[name, "double"] for name in codes.columns]
    assert (codes.dtypes == np.float64).all()


@pytest.mark.slow
def test_the_script_runs_on_a_cluster(names):
    script = names["folder"] / "search.py"
    done = subprocess.run(
        [sys.executable, script.name], cwd=script.parent, check=True, capture_output=True, text=True
    )
    codes = np.load(script.parent / "codes.npy")
    X = load_digits().data / 16
    local = AutoencoderTransformer(8, max_iter=3, random_state=0).fit_transform(X)
    assert "{'n_components': 8}" in done.stdout
    assert_allclose(codes, local, rtol=1e-12, atol=1e-12)
