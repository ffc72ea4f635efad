"""The costs: the reference does skae's work, the peers are timed alike, ratios are paired."""

import copy
import importlib.util
import io
import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA

from benchmarks import datasets, peers, run, tasks
from benchmarks.__main__ import main
from benchmarks.costs import (
    GROWTH,
    MEMORY,
    SPEED,
    TARGETS,
    _data,
    _engine,
    _fit_once,
    _reference,
    batched,
    case_ratios,
    detector,
    epochs,
    growth,
    imports,
    medians,
    memory,
    search,
    serving,
    summarise_costs,
    summarise_medians,
    to_error,
    transform,
)
from benchmarks.costs._engine import Case
from skae import AutoencoderTransformer

pytestmark = pytest.mark.extended

X = _data.low_rank(200, 8)


@pytest.fixture
def no_fashion(tmp_path, monkeypatch):
    monkeypatch.setenv(datasets.FASHION, str(tmp_path / "nowhere"))


@pytest.fixture
def toy(monkeypatch):
    """Two parts that count: one of two peers, of which one is not there, and one with no source."""
    calls = []

    def one():
        def figures(name, value):
            def measured(repeat):
                calls.append((name, repeat))
                return {"seconds": value + repeat}

            return measured

        def absent(repeat):
            raise datasets.Unavailable("no such package")

        peers = {"a": figures("a", 1.0), "b": figures("b", 2.0), "c": absent}
        yield Case("small", peers, 10, 3, 1)

    def two():
        raise datasets.Unavailable("there is only one core")
        yield

    parts = {"one": one, "two": two}
    task = tasks.Task("p", _engine.runner(parts), parts, 2, tasks.COST_KEY, summarise_medians, {})
    monkeypatch.setitem(tasks.TASKS, "speed", task)
    return calls


def test_peers_take_turns_and_what_is_not_there_is_told(toy, tmp_path, capsys):
    out = tmp_path / "s"
    assert main(["speed", "--out", str(out)]) == 0
    assert toy == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    rows, about = run.load_results(out)
    assert rows[1] == {
        "set": "one",
        "case": "small",
        "n_rows": 10,
        "n_features": 3,
        "k": 1,
        "seed": 0,
        "peer": "b",
        "metric": "seconds",
        "value": 2.0,
    }
    assert [(e["set"], e["peer"], e["why"]) for e in about["left_out"]] == [
        ("one", "c, small", "no such package"),
        ("two", "every peer", "there is only one core"),
    ]
    assert about["summary"] == {"one | small": {"a": 1.5, "b": 2.5}}
    assert "one | small: a 1.5, b 2.5" in capsys.readouterr().out


def test_a_resumed_run_measures_whole_turns_and_keeps_what_was_there(toy, tmp_path):
    out = tmp_path / "s"
    main(["speed", "--sets", "one", "--seeds", "1", "--out", str(out)])
    main(["speed", "--sets", "one", "--seeds", "2", "--out", str(out), "--resume"])
    assert toy == [("a", 0), ("b", 0), ("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    rows, _ = run.load_results(out)
    assert [(row["peer"], row["seed"]) for row in rows] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


def rows_of(part, case, metric="seconds", **values):
    """Return rows with a value of each peer for each repeat."""
    return [
        {"set": part, "case": case, "seed": seed, "peer": peer, "metric": metric, "value": value}
        for peer, its in values.items()
        for seed, value in enumerate(its)
    ]


def test_a_ratio_is_the_median_of_those_of_each_turn():
    rows = rows_of("p", "c", a=[1.0, 9.0, 2.0], b=[2.0, 3.0, 1.0])
    # the ratio of the medians would be 1
    assert case_ratios(rows, "p", "b", "a") == {"c": 0.5}
    assert medians(rows, "p") == {"c": {"a": 2.0, "b": 2.0}}


def test_what_is_never_reached_misses_its_target():
    target = next(t for t in TARGETS if t.set == "to_error")
    rows = [
        *rows_of("to_error", "iris", **{target.peer: [5.0, 6.0, 7.0], target.over: [1.0] * 3}),
        *rows_of("to_error", "wine", **{target.peer: [9.0] * 3, target.over: [None, None, 1.0]}),
    ]
    found = summarise_costs(rows)[target.title]
    assert (found["worst"], found["worst_case"]) == (0.0, "wine")
    assert (found["met"], found["cases"], found["median"]) == (1, 2, 3.0)
    assert medians(rows, "to_error")["wine"][target.over] is None


def test_targets_hold_for_the_cases_they_name():
    rows = []
    for batch, ours in ((32, 0.5), (512, 0.9)):
        rows += rows_of("epoch", f"1 x 1, batch {batch}", skae=[ours], skorch=[1.0])
    found = summarise_costs(rows)
    assert found["epoch: skae / skorch (batch 32)"]["cases"] == 1
    assert found["epoch: skae / skorch (batch 32)"]["worst"] == 0.5
    assert set(found) == {"epoch: skae / skorch (batch 32)"}


def test_targets_are_of_parts_that_are_there():
    assert {target.set for target in TARGETS} <= SPEED.keys() | MEMORY.keys()
    assert GROWTH.keys().isdisjoint(SPEED)


@pytest.mark.parametrize("hidden", [(16,), (16, 8)])
def test_the_loop_trains_the_same_net_as_skae(hidden):
    # One batch of all rows: the order of the rows does not matter.
    module = _reference.start_module(X, 3, hidden)
    losses, durations = _reference.torch_loop(module, _reference.net_rows(X), len(X), 6)
    model = AutoencoderTransformer(
        3,
        hidden_layer_sizes=hidden,
        batch_size=None,
        max_iter=6,
        random_state=0,
        **_reference.SAME_WORK,
    ).fit(X)
    assert len(durations) == 6
    assert losses[-1] < losses[0]
    # At PCA's own weights the gradient of the linear path is rounding, which Adam makes a step of:
    # the losses agree to a fiftieth of what is gained.
    its = np.array([row["train_loss"] for row in model.history_[1:]])
    assert_allclose(losses[0], its[0], rtol=1e-6)
    assert_allclose(losses, its, rtol=0, atol=(losses[0] - losses[-1]) / 50)


def test_the_loop_starts_as_pca_and_takes_as_many_steps_as_skae():
    module = _reference.start_module(X, 3, (16,))
    pca = PCA(3).fit(X)
    residual = X - pca.inverse_transform(pca.transform(X))
    share = (residual**2).mean() / X.astype(np.float64).var(0).mean()
    steps = []
    hook = module.register_forward_hook(lambda *_: steps.append(1))
    losses, _ = _reference.torch_loop(copy.deepcopy(module), _reference.net_rows(X), len(X), 1)
    assert_allclose(losses, share, rtol=1e-4)
    hook.remove()
    seen = []
    module.register_forward_hook(lambda module, rows, out: seen.append(len(rows[0])))
    _reference.torch_loop(module, _reference.net_rows(X), 64, 1)
    assert seen == [67, 67, 66]


def test_every_way_to_train_takes_the_epochs_it_is_timed_for():
    setting = epochs.Setting(X, 2, (8,), 64, 3)
    start = [p.clone() for p in setting.module.parameters()]
    ways = ["loop", "skae", "skae_defaults", "skorch", "mlp"]
    if importlib.util.find_spec("pyod") is not None:
        ways.append("pyod")
    for way in ways:
        durations = getattr(setting, way)(0)
        assert len(durations) == 3, way
        assert min(durations) > 0, way
    # all start from the same net, which none of them trains
    for before, now in zip(start, setting.module.parameters(), strict=True):
        assert_array_equal(before.detach(), now.detach())


def test_errors_of_unseen_rows_are_those_of_the_estimator():
    rng = np.random.default_rng(0)
    train, test = X.astype(np.float64) * 5 + 2, rng.normal(size=(30, 8))
    params = {"max_iter": 4, "early_stopping": False, "hidden_layer_sizes": (8,)}
    errors, model = to_error.errors_by_epoch(train, test, 2, 0, **params)
    assert len(errors) == 5
    pca = PCA(2).fit(train)
    start = ((test - pca.inverse_transform(pca.transform(test))) ** 2).mean()
    assert_allclose(errors[0], start, rtol=1e-5)
    assert_allclose(errors[-1], ((test - model.reconstruct(test)) ** 2).mean(), rtol=1e-5)


def test_a_fit_ends_where_the_error_is_reached():
    # A curve, on which the net is soon better than PCA.
    t = np.linspace(-2, 2, 200)
    train = np.column_stack([t, t**2, np.sin(3 * t)])
    params = {"max_iter": 8, "hidden_layer_sizes": (16,), "batch_size": 8}
    every, _ = to_error.errors_by_epoch(train, train, 1, 0, **params)
    best = int(np.argmin(every))
    assert best > 0
    some, model = to_error.errors_by_epoch(train, train, 1, 0, every[best], **params)
    assert model is None
    assert some == every[: best + 1]


def test_the_race_is_against_what_the_other_reached(monkeypatch):
    def mean_alone(rows, k, seed):
        return peers.Fitted(lambda rows: np.zeros_like(rows))

    def perfect(rows, k, seed):
        return peers.Fitted(lambda rows: rows)

    monkeypatch.setattr(to_error, "_TIMED", 1)
    monkeypatch.setattr(
        to_error,
        "PEERS",
        {"mean": peers.Peer(mean_alone, "numpy")}
        | {"perfect": peers.Peer(perfect, "numpy"), "absent": peers.Peer(perfect, "no_package")},
    )
    monkeypatch.setattr(
        to_error,
        "AutoencoderTransformer",
        lambda *a, **p: AutoencoderTransformer(*a, **{"max_iter": 2} | p),
    )
    race = to_error.Race("iris", 2)
    before = race.skae("mean")
    with pytest.raises(datasets.Unavailable, match="mean is not there"):
        before(0)
    with pytest.raises(datasets.Unavailable, match="no_package is not installed"):
        race.other("absent")(0)
    _, test = race.rows(0)
    assert_allclose(race.other("mean")(0)["error"], (test**2).mean())
    # PCA is better than the mean, and nothing is perfect
    figures = race.skae("mean")(0)
    assert figures["epochs"] == 0
    assert figures["seconds"] > 0
    assert race.other("perfect")(0)["error"] == 0
    figures = race.skae("perfect")(0)
    assert figures["seconds"] is None
    assert figures["error"] > 0


def test_the_bare_forward_is_the_transform_in_other_units():
    model = AutoencoderTransformer(2, hidden_layer_sizes=(8,), max_iter=2, random_state=0).fit(X)
    code = transform._bare(model, X)()
    assert code.dtype == torch.float32
    unit = np.sqrt(X.astype(np.float64).var(0).mean())
    assert_allclose(code.numpy() * unit, model.transform(X), atol=1e-4)


def test_calls_are_repeated_until_the_clock_can_tell(monkeypatch):
    ticks = itertools.count(step=2)
    monkeypatch.setattr(_engine.time, "perf_counter", lambda: next(ticks))
    calls = []
    assert _engine.seconds_a_call(lambda: calls.append(1), at_least=7) == 2
    assert len(calls) == 4


def test_a_fit_in_a_process_tells_its_memory(tmp_path):
    rows = np.zeros((200_000, 20), np.float32)
    rows[:, 0] = np.arange(len(rows))
    np.save(tmp_path / "X.npy", rows)
    task = {"peer": "PCA", "path": str(tmp_path / "X.npy"), "k": 2, "mapped": False, "params": {}}
    figures = memory.fit_in_a_process(task)
    # X alone is 16 MB, which count in all but not beyond X
    assert figures["peak_mb"] > 16
    assert 0 <= figures["beyond_mb"] < figures["peak_mb"]


def test_a_fit_that_fails_in_its_process_says_why(tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "X.npy", X)
    task = {"peer": "PCA", "path": str(tmp_path / "X.npy"), "k": 30, "mapped": True, "params": {}}
    monkeypatch.setattr(sys, "argv", ["", json.dumps(task)])
    monkeypatch.setattr(sys, "stdin", io.StringIO("fit\n"))
    monkeypatch.setattr(_fit_once.resource, "setrlimit", lambda *limits: None)
    _fit_once.main()
    ready, answer = map(json.loads, capsys.readouterr().out.splitlines())
    assert ready == {"ready": True}
    with pytest.raises(datasets.Unavailable, match="ValueError: n_components=30"):
        memory._answer(SimpleNamespace(stdout=io.StringIO(json.dumps(answer))))
    with pytest.raises(datasets.Unavailable, match="the process ended"):
        memory._answer(SimpleNamespace(stdout=io.StringIO()))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the figures are Linux'")
def test_memory_is_the_kernels(tmp_path):
    before = memory.status("self")["RssAnon"]
    held = np.ones(30_000_000)
    assert 235 < memory.status("self")["RssAnon"] - before < 260
    assert held.nbytes / 1e6 == 240


def test_files_to_read_are_written_with_holes(tmp_path):
    path = tmp_path / "X.npy"
    _data.write_sparse_file(path, 200_000, 16, 0.05)
    mapped = np.load(path, mmap_mode="r")
    assert mapped.shape == (200_000, 16)
    written = (mapped != 0).any(1)
    assert written.mean() == 0.05
    assert path.stat().st_blocks * 512 < 0.5 * path.stat().st_size


def test_texts_are_rows_of_unit_length(tmp_path):
    texts = _data.tfidf_like(50, 400, 0.02)
    assert texts.dtype == np.float32
    assert_allclose(texts.multiply(texts).sum(1), 1, rtol=1e-5)
    assert texts.nnz <= 50 * 8
    memory._save(_data.tfidf_like, 50, 400, 0.02)(tmp_path / "X.npz")
    assert_array_equal(_fit_once._read(str(tmp_path / "X.npz"), False).toarray(), texts.toarray())


def test_patches_are_cut_from_images(no_fashion):
    found = _data.patches(500)
    assert found.shape == (500, 64)
    assert found.dtype == np.float32
    assert 0 <= found.min() < found.max() <= 1
    assert len(np.unique(found, axis=0)) > 400
    assert _data.images(20).shape == (20, 784)


@pytest.mark.parametrize("name", ["transform", "search", "detector", "batched"])
def test_parts_yield_their_peers(name, monkeypatch):
    monkeypatch.setattr(transform, "SIZES", {(60, 6): (2, _data.low_rank)})
    for key, value in {"N_ROWS": 80, "N_FEATURES": 4, "N_EPOCHS": 1, "WIDTHS": [1]}.items():
        monkeypatch.setattr(search, key, value)
    monkeypatch.setattr(search.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(detector, "SIZES", [(60, 4)])
    monkeypatch.setattr(detector, "N_SCORED", 90)
    monkeypatch.setattr(batched, "SIZES", {(60, 4): (3, 1)})
    # Threads for processes, which would each import torch.
    with joblib.parallel_config("threading"):
        (case,) = SPEED[name]()
        measured = {peer: figures(0)["seconds"] for peer, figures in case.peers.items()}
    wanted = {t.peer for t in TARGETS if t.set == name} | {t.over for t in TARGETS if t.set == name}
    assert wanted <= measured.keys()
    assert min(measured.values()) > 0


def test_an_exported_model_is_measured_beside_its_estimator(monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(serving, "N_TRAINED", 60)
    for estimator in serving.FITTED.values():
        monkeypatch.setattr(estimator, "max_iter", 2)
    monkeypatch.setattr(serving, "SIZES", [3])
    cases = {case.name: case.peers for case in SPEED["serving"]()}
    for output in ("transform", "score"):
        timed, sizes = cases[f"{output}, 3 rows"], cases[f"{output}, file"]
        assert min(timed[peer](0)["seconds"] for peer in timed) > 0
        assert all(0.01 < sizes[peer](0)["mb"] < 100 for peer in sizes)
    packages = {peer: figures(0)["mb"] for peer, figures in cases["packages"].items()}
    numpy_alone = serving.installed_mb("numpy")
    assert numpy_alone < packages["onnxruntime"] < packages["skae"]
    # of packages that need none, the sum of their files
    folder = Path(np.__file__).parent
    on_disk = sum(path.stat().st_size for path in folder.rglob("*") if path.suffix != ".pyc")
    assert numpy_alone > 0.9 * on_disk / 1e6


def test_growth_has_pca_beside_it(monkeypatch, no_fashion, tmp_path):
    monkeypatch.setattr(growth, "FEATURES", [9, 12])
    monkeypatch.setattr(growth, "low_rank", lambda n, d: _data.low_rank(64, d))
    monkeypatch.setattr(
        growth,
        "AutoencoderTransformer",
        lambda k, **p: AutoencoderTransformer(k, **p | {"max_iter": 1}),
    )
    out = tmp_path / "g"
    assert main(["growth", "--sets", "features", "--seeds", "1", "--out", str(out)]) == 0
    rows, about = run.load_results(out)
    assert [row["n_features"] for row in rows] == [9, 9, 9, 12, 12, 12]
    assert {row["peer"] for row in rows} == {"PCA", "skae", "skae, one epoch"}
    assert len(about["summary"]) == 2


def test_the_new_processes_are_this_pythons(monkeypatch):
    commands = []
    monkeypatch.setattr(imports.subprocess, "run", lambda c, check: commands.append(c))
    (case,) = SPEED["import"]()
    case.peers["torch, skorch, skae"](0)
    assert commands[-1] == [sys.executable, "-c", "import torch, skorch, skae"]
