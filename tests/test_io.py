"""Models in files: the same bits after loading, versions, and files that are damaged or hostile."""

import copy
import io
import json
import os
import pickle
import re
import sys
import zipfile
from functools import cache

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import skops.io
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNet
from torch import nn

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer, __version__
from skae.corruptions import CORRUPTIONS
from skae.drift import DriftMonitor
from skae.io import load, save, trusted_types
from skae.losses import LOSSES, Huber
from skae.metrics import explained_variance_scorer
from skae.optimizers import OPTIMIZERS
from skae.penalties import PENALTIES
from skae.schedules import SCHEDULES
from skae.tables import TableEncoder
from tests.pages import python_blocks
from tests.stored_models import FEW, FOLDER, SMALL, models, outputs, rows_for

X = np.random.default_rng(0).normal(size=(40, 6))
QUICK = SMALL | {"max_iter": 1}


def fitted(**params):
    return AutoencoderTransformer(2, **QUICK | params).fit(X)


def via_skops(model, folder):
    save(model, folder / "model.skops")
    return load(folder / "model.skops")


def via_joblib(model, folder):
    joblib.dump(model, folder / "model.joblib")
    return joblib.load(folder / "model.joblib")


WAYS = {
    "skops": via_skops,
    "joblib": via_joblib,
    "cloudpickle": lambda model, folder: pickle.loads(cloudpickle.dumps(model)),
}


def assert_same(again, model, rows):
    expected = outputs(model, rows)
    assert expected
    for name, value in outputs(again, rows).items():
        assert_array_equal(value, expected[name])


# -- the same bits after loading -----------------------------------------------------------------


@cache
def model_of(name):
    """Return one of the models, fitted, and its rows. It is not to be changed."""
    rows = rows_for(name, X)
    return models()[name].fit(rows), rows


@pytest.mark.parametrize("name", models())
def test_every_architecture_and_scoring(name, tmp_path):
    model, rows = model_of(name)
    assert_same(via_skops(model, tmp_path), model, rows)


@pytest.mark.parametrize("way", ["joblib", "cloudpickle"])
@pytest.mark.parametrize("name", ["pipeline", "scoring combined", "table autoencoder"])
def test_other_ways(name, way, tmp_path):
    model, rows = model_of(name)
    assert_same(WAYS[way](model, tmp_path), model, rows)


STRATEGIES = {
    "loss": LOSSES,
    "penalty": PENALTIES,
    "corruption": CORRUPTIONS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}


@pytest.mark.parametrize(
    ("parameter", "name"),
    [(parameter, name) for parameter, registry in STRATEGIES.items() for name in registry],
)
def test_every_other_strategy(parameter, name, tmp_path):
    rows = (X > 0).astype(float)
    model = AutoencoderTransformer(2, **QUICK | {parameter: name}).fit(rows)
    assert_same(via_skops(model, tmp_path), model, rows)


def test_what_is_loaded_goes_on(tmp_path):
    model = fitted(penalty="variational", early_stopping=True)
    again = via_skops(model, tmp_path)
    assert_array_equal(again.sample(3, random_state=0), model.sample(3, random_state=0))
    assert again.history_ == model.history_
    for chunk in (X[:20], X[20:]):
        assert_same(again.partial_fit(chunk), model.partial_fit(chunk), X)


@pytest.mark.parametrize(
    ("scoring", "cv"),
    [(None, 2), (explained_variance_scorer, ShuffleSplit(2, random_state=0))],
    ids=["defaults", "objects"],
)
def test_a_search(scoring, cv, tmp_path):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), AutoencoderTransformer(**QUICK)),
        {"autoencodertransformer__n_components": [1, 2]},
        scoring=scoring,
        cv=cv,
    ).fit(X)
    again = via_skops(search, tmp_path)
    assert again.best_params_ == search.best_params_
    assert again.score(X) == search.score(X)
    assert_array_equal(again.transform(X), search.transform(X))


@pytest.mark.parametrize("rows", [X, sp.csr_array(np.where(X > 0, X, 0.0))], ids=["dense", "CSR"])
def test_a_stream_and_its_monitor(rows, tmp_path):
    detector = AutoencoderAnomalyDetector(2, **FEW).partial_fit(rows).partial_fit(rows[:30])
    monitor = DriftMonitor(detector, random_state=0).fit(rows)
    again = via_skops(monitor, tmp_path)
    assert_array_equal(again.update(rows[:9]), monitor.update(rows[:9]))
    again, detector = again.detector.partial_fit(rows[:20]), detector.partial_fit(rows[:20])
    assert_array_equal(again.score_samples(rows), detector.score_samples(rows))


def test_an_unfitted_one_has_its_parameters(tmp_path):
    model = AutoencoderTransformer(3, loss="huber", penalty="sparse")
    assert via_skops(model, tmp_path).get_params() == model.get_params()


@pytest.mark.parametrize("name", models())
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
def test_files_of_earlier_versions_load(name):
    path = FOLDER / f"{name.replace(' ', '-')}.skops"
    assert path.exists(), "python -m tests.stored_models writes it"
    expected = dict(np.load(path.with_suffix(".npz")))
    rows = rows_for(name, expected.pop("X"))
    model = load(path)
    found = outputs(model, rows)
    # parameters that came later have their defaults
    assert repr(model)
    assert expected.keys() == found.keys()
    for method, value in expected.items():
        # other machines round in other ways
        assert_allclose(found[method], value, rtol=1e-5, atol=1e-6)
    if not name.startswith("table") and name != "pipeline":
        assert model.partial_fit(rows) is model


# -- tables --------------------------------------------------------------------------------------


def columns():
    """Return {what: values of a column} of every kind that tables have."""
    days = pd.date_range("2024-01-01", periods=40, freq="D")
    names = [f"v{i % 35}" for i in range(40)]
    halves = ["a", "b"] * 20
    return {
        "float32": X[:, 0].astype(np.float32),
        "nullable": pd.array([1, None] * 20, dtype="Int64"),
        "boolean": X[:, 0] > 0,
        "text": halves,
        "many texts": names,
        "string of Python": pd.array(halves, dtype=pd.StringDtype("python")),
        "category": pd.Categorical(halves, ["b", "a"], ordered=True),
        "dates as categories": pd.Categorical(days[:2].repeat(20)),
        "intervals": pd.cut(X[:, 0], 3),
        "days": days,
        "days with a zone": days.tz_localize("Europe/Berlin"),
        "texts with an offset": [f"{day:%Y-%m-%d}T00:00:00+02:00" for day in days],
        "dates of Python": days.date,
        "durations": days - days[0],
        "a constant date": days[0],
        "of Arrow": pd.array([1, 2] * 20, dtype="int64[pyarrow]"),
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore:Left out")
def test_every_kind_of_column(way, tmp_path):
    # a name that is no text is kept, too
    table = pd.DataFrame(columns() | {7: X[:, 1]})
    encoder = TableEncoder(columns=list(table)).fit(table)
    again = WAYS[way](encoder, tmp_path)
    encoded = again.transform(table)
    assert_array_equal(encoded, encoder.transform(table))
    pd.testing.assert_frame_equal(
        again.inverse_transform(encoded), encoder.inverse_transform(encoded)
    )


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_frames_of_other_libraries(library, tmp_path):
    polars = pytest.importorskip("polars")
    table = polars.DataFrame(
        {"number": X[:, 0], "count": [1, 2] * 20, "item": ["tea", "cake"] * 20},
        schema_overrides={"count": polars.UInt8, "item": polars.Enum(["tea", "cake"])},
    )
    table = table if library == "polars" else table.drop("item").to_arrow()
    encoder = TableEncoder().fit(table)
    again = via_skops(encoder, tmp_path).inverse_transform(encoder.transform(table))
    assert again.equals(encoder.inverse_transform(encoder.transform(table)))
    assert again.schema == table.schema


def test_a_deep_copy_of_a_table_encoder_is_its_own():
    table = pd.DataFrame({"number": X[:, 0], "item": ["tea", "cake"] * 20})
    encoder = TableEncoder().fit(table)
    again = copy.deepcopy(encoder)
    encoder.columns_.clear()
    assert list(again.columns_) == ["number", "item"]


# -- which types are trusted ---------------------------------------------------------------------


class Scaler(StandardScaler):
    """A user's own."""


class OwnLoss(Huber):
    """A user's own strategy, which is not for skae to trust."""


def test_trusted_types_are_classes_of_skae_that_load_nothing_else():
    names = trusted_types()
    assert names == sorted(set(names))
    for name in names:
        module, _, cls = name.rpartition(".")
        assert module.startswith("skae.")
        thing = getattr(sys.modules[module], cls)
        # a module may hold any tensor, and skorch's nets unpickle a part of their state
        if isinstance(thing, type):
            assert not issubclass(thing, nn.Module | NeuralNet)
    assert f"{__name__}.OwnLoss" not in names


def test_a_type_of_ones_own_must_be_named(tmp_path):
    path = tmp_path / "model.skops"
    model = make_pipeline(Scaler(), AutoencoderTransformer(2, **QUICK)).fit(X)
    save(model, path)
    name = f"{__name__}.Scaler"
    with pytest.raises(ValueError, match=re.escape(f"{path}: Untrusted types")) as error:
        load(path)
    assert name in str(error.value)
    assert "_transformer" not in str(error.value)
    for trusted in (name, Scaler):
        assert_array_equal(load(path, trusted=[trusted]).transform(X), model.transform(X))
    again = skops.io.load(path, trusted=[*trusted_types(), name])
    assert_array_equal(again.transform(X), model.transform(X))


# -- versions ------------------------------------------------------------------------------------


def with_schema(data, change):
    """Return the bytes of a skops file with a changed schema."""
    source, changed = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "schema.json":
                content = change(content.decode()).encode()
            target.writestr(name, content)
    return changed.getvalue()


OTHER = __version__[:-1] + chr(ord(__version__[-1]) + 1)


@pytest.mark.parametrize(
    "kind", ["architecture dense", "scoring latent", "table autoencoder", "table detector"]
)
def test_another_version_warns(kind, tmp_path):
    model, rows = model_of(kind)
    name = type(model).__name__
    save(model, tmp_path / "model.skops")
    data = (tmp_path / "model.skops").read_bytes()
    schema = zipfile.ZipFile(io.BytesIO(data)).read("schema.json").decode()
    for package in ("skae", "scikit-learn", "torch", "numpy"):
        assert f'"{package}": {{' in schema
    data = with_schema(data, lambda text: text.replace(__version__, OTHER))
    (tmp_path / "model.skops").write_bytes(data)
    text = f"{name} was stored by skae {OTHER} and is loaded by skae {__version__}.*torch=="
    pickled = pickle.dumps(model).replace(__version__.encode(), OTHER.encode())
    for again in (lambda: load(tmp_path / "model.skops"), lambda: pickle.loads(pickled)):
        # the estimators inside it warn as well
        with pytest.warns(InconsistentVersionWarning) as found:
            assert_same(again(), model, rows)
        assert any(re.search(text, str(warning.message)) for warning in found)


def test_a_pickle_without_a_version_warns():
    model = AutoencoderTransformer(2)
    state = model.__getstate__()
    del state["_versions"]
    with pytest.warns(InconsistentVersionWarning, match="stored by skae before 0.1 and is"):
        AutoencoderTransformer.__new__(AutoencoderTransformer).__setstate__(state)


# -- files that are damaged or hostile -----------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return a fitted model and the bytes of its file."""
    model = fitted()
    path = tmp_path_factory.mktemp("saved") / "model.skops"
    save(model, path)
    return model, path.read_bytes()


def test_a_truncated_file_is_a_clear_error(saved, tmp_path):
    _, data = saved
    path = tmp_path / "model.skops"
    for length in [*np.linspace(0, len(data) - 1, 40).astype(int), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=re.escape(str(path))):
            load(path)


def test_flipped_bits_are_an_error_or_change_nothing(saved, tmp_path):
    model, data = saved
    path = tmp_path / "model.skops"
    n_errors = 0
    for at in np.random.default_rng(0).integers(len(data), size=60):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        path.write_bytes(changed)
        try:
            again = load(path)
        except ValueError:
            n_errors += 1
        else:
            assert_same(again, model, X)
    assert n_errors > 20


@pytest.mark.parametrize("path", ["missing.skops", "."])
def test_what_is_no_file_is_an_error_of_the_system(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match=re.escape(path)):
        load(path)


class Harmful:
    """Whose pickle runs a command when it is loaded."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def first_object(schema):
    """Return the part of a schema that a loss or the like is made from."""
    content = schema["content"]["content"]
    return next(value for value in content.values() if value["__loader__"] == "ObjectNode")


def hostile_files(data, harmful, command):
    """Yield the bytes of files in which code hides, by where it does."""
    yield "a pickle", harmful
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data.pkl", harmful)
    yield "a zip with a pickle, as of torch", buffer.getvalue()
    source, buffer = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    array = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        array, {"descr": "|O", "fortran_order": False, "shape": (1,)}
    )
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in source.namelist():
            is_array = name.endswith(".npy")
            archive.writestr(name, array.getvalue() + harmful if is_array else source.read(name))
    yield "pickles in place of the arrays", buffer.getvalue()

    def node(module, name, loader, content=None):
        made = {"__class__": name, "__module__": module, "__loader__": loader, "__id__": 1}
        return made if content is None else made | {"content": content}

    text = node("builtins", "str", "JsonNode", json.dumps(command))
    arguments = node("builtins", "tuple", "TupleNode", [text])
    key = node("builtins", "list", "ListNode", [node("builtins", "str", "TypeNode")])
    # skorch's nets unpickle this part of their state
    attribute = node("builtins", "bytes", "BytesNode") | {"file": "harm"}
    device = node("builtins", "str", "JsonNode", '"cpu"')
    keys = node("builtins", "list", "ListNode", [node("builtins", "str", "TypeNode")] * 2)
    net = node("builtins", "dict", "DictNode")
    net |= {
        "content": {"device": device, "__cuda_dependent_attributes__": attribute},
        "key_types": keys,
    }
    nodes = {
        "a call of a function": node("os", "system", "ConstructorFromReduceNode", arguments),
        "a call of a class": node("subprocess", "Popen", "ConstructorFromReduceNode", arguments),
        "a dict that is a function": node("os", "system", "DictNode", {command: text})
        | {"key_types": key},
        "a partial function": node(
            "functools",
            "partial",
            "PartialNode",
            {
                "func": node("os", "system", "FunctionNode"),
                "args": arguments,
                "kwds": node("builtins", "dict", "DictNode", {}) | {"key_types": key},
                "namespace": node("builtins", "dict", "DictNode", {}) | {"key_types": key},
            },
        ),
        "the net that skorch would unpickle": node("skae._training.net", "Net", "ObjectNode", net),
        "a function among skae's": node("skae._utils.torch", "private_operator", "FunctionNode"),
    }
    for name, made in nodes.items():
        schema = json.loads(zipfile.ZipFile(io.BytesIO(data)).read("schema.json"))
        schema["content"]["content"]["n_components"] = made
        changed = io.BytesIO(with_schema(data, lambda _, schema=schema: json.dumps(schema)))
        with zipfile.ZipFile(changed, "a") as archive:
            archive.writestr("harm", harmful)
        yield name, changed.getvalue()


def test_hostile_files_are_refused_and_run_nothing(saved, tmp_path):
    marker = tmp_path / "harm"
    command = f"touch {marker}"
    harmful = pickle.dumps(Harmful(command))
    pickle.loads(harmful)
    assert marker.exists()  # it is harmful
    marker.unlink()
    path = tmp_path / "model.skops"
    for name, data in hostile_files(saved[1], harmful, command):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=re.escape(str(path))):
            load(path)
        assert not marker.exists(), name


# -- saving --------------------------------------------------------------------------------------


def test_what_cannot_be_saved_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "model.skops"
    path.write_text("before")
    pair = (nn.Linear(6, 2), nn.Linear(2, 6))
    with pytest.raises(TypeError, match="AutoencoderTransformer holds something that skops cannot"):
        save(AutoencoderTransformer(architecture=pair), path)
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["model.skops"]
    with pytest.raises(OSError, match=re.escape("model.skops")):
        save(AutoencoderTransformer(), path / "model.skops")


def test_missing_skops_says_how_to_install_it(saved, tmp_path, monkeypatch):
    path = tmp_path / "model.skops"
    path.write_bytes(saved[1])
    monkeypatch.setitem(sys.modules, "skops.io", None)
    for call in (lambda: save(saved[0], path), lambda: load(path)):
        with pytest.raises(ImportError, match=re.escape("pip install 'skae[save]'")):
            call()


def test_code_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in python_blocks("saving.rst"):
        exec(block, names)
    assert_array_equal(names["again"].transform(names["X"]), names["model"].transform(names["X"]))
