"""Estimators as ONNX files, run by onnxruntime, beside the estimators themselves."""

import json
import resource
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import skl2onnx
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae.architectures import ACTIVATIONS, ARCHITECTURES, Convolutional, Dense, Recurrent
from skae.export import register_skl2onnx, to_onnx
from skae.losses import LOSSES
from skae.scorings import SCORINGS
from skae.tables import TableAnomalyDetector, TableAutoencoder
from tests.own_losses import HuberOfLogs

SERVER = Path(__file__).parents[1] / "docs/serving/score_rows.py"
TOLERANCE = {"float32": 1e-5, "float64": 1e-9}
METHODS = {"score": "score_samples"}


def transformer(**params):
    params = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0} | params
    return AutoencoderTransformer(2, **params)


def detector(**params):
    params = {"hidden_layer_sizes": (4,), "max_iter": 1, "n_folds": 2, "random_state": 0} | params
    return AutoencoderAnomalyDetector(n_components=2, **params)


def run(model, X):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: X})


def check(estimator, path, output, X, dtype="float32", opset=18):
    """Check that the exported output is the method's, for all rows and for one, none and two."""
    model = to_onnx(estimator, path, output, dtype=dtype, opset=opset)
    assert path.read_bytes() == model.SerializeToString()
    assert {imported.version for imported in model.opset_import} == {opset}
    X = X.astype(dtype)
    expected = getattr(estimator, METHODS.get(output, output))(X)
    scale = np.nanmax(np.abs(expected), axis=0, initial=1e-9)
    for n_rows in (0, 1, 2, len(X)):
        (found,) = run(model, X[:n_rows])
        assert found.dtype == expected.dtype
        assert_allclose(found / scale, expected[:n_rows] / scale, rtol=0, atol=TOLERANCE[dtype])


@pytest.fixture(scope="module")
def rows(iris):
    """Rows to learn from, and others: new, far away, incomplete, and some that were learnt."""
    new = np.concatenate([iris[1::2], 20 * iris[:5], iris[:20:2]])
    new[::9, 1] = np.nan
    return iris[::2], new


def data_for(loss):
    """Return rows that a loss takes, with missing entries if it takes these."""
    rng = np.random.default_rng(0)
    X = rng.integers(4, size=(40, 6)).astype(float)
    if loss == "binary_cross_entropy":
        X /= 4
    if loss == "mixed":
        kind = np.eye(3)[np.arange(40) % 3]
        X = np.column_stack([kind, rng.normal(5, 2, size=(40, 2)), X[:, 0] > 1])
    if not LOSSES[loss].whole_rows:
        X[5, -1] = np.nan
    return X


@pytest.mark.extended
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss(loss, tmp_path):
    X = data_for(loss)
    model = transformer(loss=loss).fit(X)
    check(model, tmp_path / "model.onnx", "reconstruct", X)


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param("poisson", marks=pytest.mark.extended),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("mixed", "multinomial")),
    ],
)
def test_losses_that_prepare_rows_in_a_detector(loss, tmp_path):
    X = data_for(loss)
    model = detector(loss=loss, scoring="reconstruction").fit(X)
    check(model, tmp_path / "model.onnx", "score", X[::-1], "float64")


NETS = {
    "dense": Dense(norm="layer"),
    "convolutional": Convolutional(kernel_size=3),
    "recurrent": Recurrent(),
}
OTHERS = [
    (Dense(norm="batch", tied=True), {}),
    (Convolutional(n_residual_blocks=1), {"input_shape": (3, 2)}),
    (Recurrent(cell="lstm", bidirectional=True, embedding_size=2), {"input_shape": (3, 2)}),
]


@pytest.mark.extended
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture(name, dtype, tmp_path):
    X = np.random.default_rng(0).normal(3, 2, size=(40, 6))
    X[:9, 4:] = np.nan  # for a recurrent net the end of a sequence, for the others missing
    model = transformer(architecture=NETS[name], input_shape=(6,)).fit(X)
    check(model, tmp_path / "model.onnx", "transform", X, dtype)
    if dtype == "float64":
        check(model, tmp_path / "model.onnx", "reconstruct", X[::-1], dtype)


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "params"), OTHERS, ids=["tied", "images", "lstm"])
def test_more_nets(architecture, params, tmp_path):
    X = np.random.default_rng(0).normal(3, 2, size=(40, 6))
    model = transformer(architecture=architecture, **params).fit(X)
    check(model, tmp_path / "model.onnx", "transform", X, "float64")


def test_every_activation(tmp_path):
    layers = [layer() for layer in ACTIVATIONS.values()]
    encoder = nn.Sequential(nn.Linear(4, 3), *layers, nn.Linear(3, 2))
    X = np.random.default_rng(0).normal(size=(40, 4))
    model = transformer(architecture=(encoder, nn.Linear(2, 4)), init="random").fit(X)
    for dtype in TOLERANCE:
        check(model, tmp_path / "model.onnx", "transform", X, dtype)


def every_activation_in_a_decoder():
    torch.manual_seed(0)
    hidden = [layer for kind in ACTIVATIONS.values() for layer in (nn.Linear(6, 6), kind())]
    decoder = nn.Sequential(nn.Linear(2, 6), *hidden, nn.Linear(6, 4))
    for layer in decoder:
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight, gain=1.5)
    return {"architecture": (nn.Linear(4, 2), decoder), "init": "random"}


@pytest.mark.parametrize(
    ("dtype", "params"),
    [
        pytest.param("float32", {"max_iter": 30}, id="float32"),
        pytest.param(
            "float32",
            {"max_iter": 30, "architecture": Convolutional(norm="batch"), "input_shape": (2, 2)},
            id="images",
            marks=pytest.mark.extended,
        ),
        pytest.param(
            "float64",
            every_activation_in_a_decoder(),
            id="float64, every activation",
            marks=pytest.mark.extended,
        ),
    ],
)
def test_refined_codes(dtype, params, rows, tmp_path):
    train, test = rows
    params = {"early_stopping": False} | params
    refined, encoder = (transformer(transform_max_iter=n, **params).fit(train) for n in (2, 0))
    assert not np.allclose(refined.transform(train), encoder.transform(train), rtol=1e-2)
    check(refined, tmp_path / "model.onnx", "transform", test, dtype)


# Tracing takes seconds; a combination has others inside.
QUICK_SCORINGS = ("combined", "neighbors")


@pytest.mark.extended
@pytest.mark.parametrize(
    "scoring",
    [
        name if name in QUICK_SCORINGS else pytest.param(name, marks=pytest.mark.slow)
        for name in SCORINGS
    ],
)
def test_every_scoring(scoring, rows, tmp_path):
    X, new = rows
    check(detector(scoring=scoring).fit(X), tmp_path / "model.onnx", "score", new, "float64")


@pytest.mark.parametrize(
    "output",
    ["transform", "reconstruct", pytest.param("predict", marks=pytest.mark.slow), "p_values"],
)
def test_every_output_of_a_detector(output, rows, tmp_path):
    X, new = rows
    model = detector(n_folds=3, scoring="reconstruction", contamination=0.2).fit(X)
    check(model, tmp_path / "model.onnx", output, new)


def test_pca(rows, tmp_path):
    X, _ = rows
    model = transformer(max_iter=0, whiten=True).fit(X)
    onnx_model = to_onnx(model, tmp_path / "model.onnx", dtype="float64", opset=20)
    expected = PCA(2, whiten=True).fit_transform(X)
    (found,) = run(onnx_model, X)
    assert_allclose(np.abs(found), np.abs(expected), rtol=1e-9, atol=1e-9)


@pytest.mark.extended
def test_pipelines(iris):
    register_skl2onnx()
    X = iris.copy()
    X[:, 3] = np.rint(X[:, 3])
    columns = make_column_transformer((StandardScaler(), [0, 1, 2]), (OneHotEncoder(), [3]))
    columns.set_params(sparse_threshold=0)
    for step in (StandardScaler(), columns):
        pipeline = make_pipeline(step, transformer()).fit(X)
        (found,) = run(skl2onnx.to_onnx(pipeline, X[:1]), X)
        assert_allclose(found, pipeline.transform(X), rtol=1e-9, atol=1e-9)
    pipeline = make_pipeline(StandardScaler(), detector(scoring="mahalanobis")).fit(X)
    label, scores = run(skl2onnx.to_onnx(pipeline, X[:1]), X)
    assert_array_equal(label, pipeline.predict(X))
    assert_allclose(scores, pipeline.decision_function(X), rtol=1e-9, atol=1e-9)
    new = (1.1 * X).astype("float32")
    _, scores = run(skl2onnx.to_onnx(pipeline, new[:1]), new)
    assert_allclose(scores, pipeline.decision_function(new), rtol=1e-4)
    with pytest.raises(ValueError, match="target_opset=18 or more"):
        skl2onnx.to_onnx(pipeline, X[:1], target_opset=15)


def test_torch_exports_and_compiles_the_modules(rows):
    X, new = rows
    model = transformer().fit(X)
    x = torch.tensor(new)
    codes = model.transform(new)
    any_number = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(model.encoder_, (x[:2],), dynamic_shapes=any_number)
    assert_allclose(program.module()(x).detach(), codes, rtol=1e-9, atol=1e-9)
    decoder = torch.export.export(model.decoder_, (torch.tensor(codes),), dynamic_shapes=any_number)
    found = decoder.module()(torch.tensor(codes[:3])).detach()
    assert_allclose(found, model.inverse_transform(codes[:3]), rtol=1e-9, atol=1e-9)
    compiled = torch.compile(model.encoder_, backend="eager")
    assert_allclose(compiled(x).detach(), codes, rtol=1e-9, atol=1e-9)


def test_errors_name_what_is_wrong(rows, tmp_path):
    X, _ = rows
    path = tmp_path / "model.onnx"
    model = transformer(max_iter=0).fit(X)
    with pytest.raises(NotFittedError):
        to_onnx(transformer(), path)
    with pytest.raises(TypeError, match=r"takes an AutoencoderTransformer or .* got PCA"):
        to_onnx(PCA(), path)
    with pytest.raises(ValueError, match=r"'output' parameter .* AutoencoderTransformer, got 'sc"):
        to_onnx(model, path, "score")
    with pytest.raises(ValueError, match="'opset' parameter must be an int from 18"):
        to_onnx(model, path, opset=9)
    with pytest.raises(ValueError, match="'dtype' parameter must be 'float32' or"):
        to_onnx(model, path, dtype="float16")
    assert not list(tmp_path.iterdir())


class Odd(nn.Module):
    def forward(self, x):
        return torch.special.i0(x)


def test_what_cannot_go_says_so(rows, tmp_path):
    X, _ = rows
    path = tmp_path / "model.onnx"
    model = transformer(loss=HuberOfLogs(), max_iter=0).fit(X)
    with pytest.raises(ValueError, match="Logs works in NumPy"):
        to_onnx(model, path)
    pair = nn.Sequential(Odd(), nn.Linear(4, 2)), nn.Linear(2, 4)
    model = transformer(architecture=pair, max_iter=0).fit(X)
    with pytest.raises(ValueError, match=r"no translation of the torch operator aten\.special_i0"):
        to_onnx(model, path)


def a_table():
    rng = np.random.default_rng(0)
    kind = rng.choice(["a", "b", "c"], size=80)
    table = pd.DataFrame({"kind": kind, "price": rng.normal(size=80) + 3 * (kind == "a")})
    table.loc[::9, "price"] = np.nan
    return table


@pytest.mark.extended
@pytest.mark.parametrize(
    "output", [*(pytest.param(o, marks=pytest.mark.slow) for o in ("score", "predict")), "p_values"]
)
def test_what_is_behind_the_encoder_of_a_table(output, tmp_path):
    table = a_table()
    model = TableAnomalyDetector(random_state=0).fit(table[:50])
    new = table.assign(kind=table["kind"].where(table.index % 7 > 0, "unknown"))
    encoded = model.encoder_.transform(new)
    check(model.detector_, tmp_path / "model.onnx", output, encoded, "float64")


def test_the_encoder_of_a_table_does_not_go(tmp_path):
    own = AutoencoderTransformer(max_iter=0, hidden_layer_sizes=(4,))
    model = TableAutoencoder(1, autoencoder=own, random_state=0).fit(a_table())
    for estimator in (model, model.encoder_):
        with pytest.raises(TypeError, match=r"`autoencoder_`, .* `encoder_\.transform` returns"):
            to_onnx(estimator, tmp_path / "model.onnx")
    encoded = model.encoder_.transform(a_table())
    check(model.autoencoder_, tmp_path / "model.onnx", "transform", encoded, "float64")


def test_a_file_is_written_whole_or_not_at_all(rows, tmp_path):
    model, path = transformer(max_iter=0).fit(rows[0]), tmp_path / "model.onnx"
    path.write_bytes(b"before")

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # no file may be longer: the system itself refuses to write
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            to_onnx(model, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_without_onnx_an_error_says_what_to_install(rows, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx.defs", None)
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'skae\[export\]'"):
        to_onnx(transformer(max_iter=0).fit(rows[0]), tmp_path / "model.onnx")
    with pytest.raises(ImportError, match=r"pip install 'skae\[export\]'"):
        register_skl2onnx()


BLOCKED = """
import runpy, sys
for name in ("torch", "sklearn", "skae", "scipy"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.extended
def test_the_server_needs_neither_torch_nor_skae(rows, tmp_path):
    X, new = rows
    model, path = detector(scoring="combined").fit(X), tmp_path / "model.onnx"
    onnx.checker.check_model(to_onnx(model, path, "score"))
    command = [sys.executable, "-c", BLOCKED, str(SERVER), str(path), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        try:
            port = int(server.stdout.readline().split()[-1])

            def ask(body):
                url = f"http://127.0.0.1:{port}"
                with urllib.request.urlopen(url, json.dumps(body).encode(), 30) as answer:
                    return json.load(answer)

            body = [[None if np.isnan(value) else value for value in row] for row in new]
            scores = ask({"rows": body})["score"]
            expected = model.score_samples(new.astype("float32"))
            assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)
            with pytest.raises(urllib.error.HTTPError, match="400"):
                ask({"rows": [[1.0]]})
        finally:
            server.terminate()
