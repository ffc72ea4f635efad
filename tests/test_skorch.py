"""The skorch net inside: what a skorch user can do with it, and with callbacks."""

import copy
import io
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from skorch import callbacks as sc
from torch.optim import SGD, lr_scheduler

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae._data.selection import merge_rows, split_rows
from skae.io import load, save
from skae.losses import LOSSES, Mixed
from tests.pages import python_blocks


def new(n_components=2, **params):
    defaults = {"random_state": 0, "max_iter": 4, "hidden_layer_sizes": (8,)}
    return AutoencoderTransformer(n_components, **(defaults | params))


def fit(X, n_components=2, **params):
    return new(n_components, **params).fit(X)


def assert_predicts(model, X, net=None):
    """Check that the net predicts what the estimator reconstructs, but for float32."""
    expected = np.asarray(model.reconstruct(X))
    found = (model.net_ if net is None else net).predict(X)
    assert found.shape == expected.shape
    scale = np.nanstd(expected, axis=0).max() or 1.0
    assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * scale)


def held_out(model, X):
    """Return the rows of X that the fit held out, found without the net."""
    index, _ = merge_rows(X, None)
    split = copy.deepcopy(model._fitted.split_generator)
    return X[index[split_rows(len(index), model.validation_fraction, split)[1]]]


# -- predictions -----------------------------------------------------------------------------------


def in_domain(name, digits):
    rng = np.random.default_rng(0)
    counts = np.round(16 * digits)
    if name == "mixed":
        colours = rng.integers(3, size=(200, 1)) == np.arange(3)
        X = np.c_[rng.normal(size=(200, 3)), colours]
        return Mixed([([0, 1, 2], "squared_error"), ([3, 4, 5], "multinomial")]), X
    if name == "categorical_cross_entropy":
        return name, rng.integers(4, size=(200, 6)).astype(float)
    if name == "binary_cross_entropy":
        return name, digits
    if name in ("poisson", "multinomial"):
        return name, counts
    return name, digits


@pytest.mark.parametrize("name", LOSSES)
def test_the_net_predicts_reconstructions_for_every_loss(name, digits):
    loss, X = in_domain(name, digits)
    assert_predicts(fit(X, loss=loss), X)


def gaps(X):
    return np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)


def sequences():
    X = np.random.default_rng(0).normal(size=(120, 6, 2)).cumsum(1)
    for i, length in enumerate(np.random.default_rng(1).integers(2, 7, size=120)):
        X[i, length:] = np.nan
    return X


FORMS = {
    "float32": (lambda X: X.astype(np.float32), {}),
    "missing": (gaps, {"max_iter": 12}),
    "frame": (pd.DataFrame, {}),
    "sparse": (lambda X: sparse.csr_array(np.where(X > 0.4, X, 0)), {}),
    "sparse multinomial": (
        lambda X: sparse.csr_array(np.round(16 * X)),
        {"loss": "multinomial"},
    ),
    "far from zero": (lambda X: 1e6 + X, {}),
    "sequences": (
        lambda X: sequences(),
        {"architecture": "recurrent", "input_shape": (6, 2)},
    ),
    "images": (
        lambda X: X.reshape(-1, 8, 8),
        {
            "architecture": "convolutional",
            "input_shape": (8, 8),
            "hidden_layer_sizes": (4,),
            "early_stopping": False,
        },
    ),
    "stopped early": (lambda X: X, {"n_iter_no_change": 1, "tol": 0.5, "max_iter": 30}),
    "start": (lambda X: X, {"max_iter": 0}),
    "all rows": (lambda X: X, {"early_stopping": False}),
    "denoising": (lambda X: X, {"corruption": "masking"}),
    "variational": (lambda X: X, {"penalty": "variational", "max_iter": 12}),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_net_predicts_reconstructions_for_every_x(form, digits):
    make, params = FORMS[form]
    X = make(digits)
    model = fit(X, **params)
    assert_predicts(model, X)
    assert_predicts(pickle.loads(pickle.dumps(model)), X)
    if form != "start":
        assert model.best_iter_ > 0
    model.partial_fit(X).partial_fit(X)
    assert_predicts(model, X)
    model.set_params(warm_start=True).fit(X)
    assert_predicts(model, X)
    assert_predicts(copy.deepcopy(model), X)


def test_a_gap_is_filled_where_there_were_none_in_the_fit(digits):
    model = fit(digits)
    assert_predicts(model, gaps(digits))


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "multinomial"])
def test_forward_yields_the_predictor_of_the_loss(loss, digits):
    X = np.round(16 * digits)
    model = fit(X, loss=loss)
    net = model.net_
    parts = list(net.forward_iter(X))
    assert all(isinstance(part, torch.Tensor) for part in parts)
    eta = torch.cat(parts).double()
    assert_array_equal(net.forward(X), torch.cat(parts))
    assert_array_equal(net.forward(X, training=True).detach(), torch.cat(parts))
    if loss == "squared_error":
        rebuilt = X.mean(0) + np.sqrt(X.var(0).mean()) * eta.numpy()
    elif loss == "poisson":
        rebuilt = np.exp(eta.numpy())
    else:
        rebuilt = torch.softmax(eta, 1).numpy() * X.sum(1, keepdims=True)
    assert_allclose(rebuilt, model.reconstruct(X), rtol=1e-4, atol=1e-4)


# -- training --------------------------------------------------------------------------------------


def losses(net, name="train_loss"):
    return net.history[:, name]


@pytest.mark.parametrize("form", [np.asarray, torch.tensor, pd.DataFrame, sparse.csr_array])
def test_the_net_trains_on_its_own(form, digits):
    model = fit(digits)
    before, rows = model.reconstruct(digits), model.history_
    net, X = model.net_, form(digits)
    assert net.fit(X) is net
    assert losses(net, "epoch") == [1, 2, 3, 4]
    assert losses(net)[-1] < rows[-1]["train_loss"]
    reached = losses(net)[-1]
    net.partial_fit(X, X)
    assert losses(net, "epoch") == list(range(1, 9))
    assert losses(net)[-1] < reached
    assert_array_equal(model.reconstruct(digits), before)
    assert model.history_ == rows
    assert not np.allclose(net.predict(digits), before, atol=1e-4)


def test_the_net_holds_out_the_estimator_s_rows(digits):
    seen = []

    class Watch(sc.Callback):
        def on_epoch_begin(self, net, dataset_train, dataset_valid, **kwargs):
            seen.append((dataset_train.array(), dataset_valid.array()))

    model = fit(digits, max_iter=1, callbacks=[Watch()])
    model.net_.fit(digits)
    for found, expected in zip(seen[1], seen[0], strict=True):
        assert_array_equal(found, expected)


def test_a_copied_or_loaded_net_trains_as_the_net(digits):
    model = fit(digits)
    nets = [
        pickle.loads(pickle.dumps(model)).net_,
        copy.deepcopy(model.net_),
        pickle.loads(pickle.dumps(model.net_)),
        model.net_,
    ]
    found = [losses(net.fit(digits)) for net in nets]
    for other in found:
        assert_allclose(other, found[-1], rtol=1e-4)
        assert len(other) == 4


def test_the_net_trains_on_other_rows(digits):
    model = fit(digits)
    model.net_.partial_fit(digits[:130])
    model.net_.partial_fit(digits)
    assert losses(model.net_, "epoch") == list(range(1, 13))
    assert losses(model.net_)[-1] < losses(model.net_)[0]


def test_the_net_learns_with_gaps(digits):
    net = fit(digits).net_
    net.fit(gaps(digits))
    assert np.isfinite(losses(net)).all()


def test_a_stream_s_net_goes_on(digits):
    model = new()
    for _ in range(3):
        model.partial_fit(digits)
    net = model.net_
    for _ in range(3):
        net.partial_fit(digits)
    for _ in range(3):
        model.partial_fit(digits)
    assert losses(net, "epoch") == list(range(1, 7))
    # The estimator takes other batches, so that the losses are alike and not the same.
    assert_allclose(losses(net)[-1], losses(model.net_)[-1], rtol=0.05)
    assert losses(net)[-1] < losses(net)[2] < losses(net)[0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda net, X: net.fit(X, sample_weight=X[:, 0]), TypeError, "rows alone.*sample_weight"),
        (lambda net, X: net.fit(X[:, :5]), ValueError, "X has 5 features.*built for 64"),
        (lambda net, X: net.predict(X[:, :5]), ValueError, "X has 5 features.*built for 64"),
        (
            lambda net, X: net.set_params(module__width=3),
            ValueError,
            "module__width.*cannot be set",
        ),
        (lambda net, X: net.set_params(iterator_train__shuffle=True), ValueError, "cannot be set"),
        (lambda net, X: clone(net), TypeError, "cannot be cloned"),
    ],
)
def test_what_is_refused_is_said(call, error, message, digits):
    net = fit(digits, max_iter=1).net_
    with pytest.raises(error, match=message):
        call(net, digits)


def test_rows_outside_the_domain_are_refused(digits):
    net = fit(digits, loss="poisson", max_iter=1).net_
    with pytest.raises(ValueError, match="Negative"):
        net.fit(-digits)


# -- parameters ------------------------------------------------------------------------------------


def test_parameters_of_the_net(digits):
    recorder = Recorder()
    net = fit(digits, callbacks=[("mine", recorder)]).net_
    params = net.get_params()
    assert params["lr"] == net.lr
    assert params["callbacks__mine"] is recorder
    assert len(repr(net)) < 1500
    assert "initialized" in repr(net)
    net.set_params(lr=1e-3, max_epochs=2, callbacks__mine=None)
    assert net.optimizer_.param_groups[0]["lr"] == 1e-3
    assert "mine" not in dict(net.callbacks_)
    n_seen = len(recorder.seen_)
    net.partial_fit(digits)
    assert len(net.history) == 6
    assert len(recorder.seen_) == n_seen
    net.set_params(callbacks=[sc.EpochScoring("r2", lower_is_better=False)]).partial_fit(digits)
    assert len(net.history[6:, "r2"]) == 2
    net.set_params(callbacks__EpochScoring__name="other").partial_fit(digits)
    assert len(net.history[8:, "other"]) == 2


@pytest.mark.parametrize("use_safetensors", [False, True])
@pytest.mark.parametrize("optimizer", ["adam", "adagrad", "sgd"])
def test_parameters_are_saved_and_loaded(use_safetensors, optimizer, digits, tmp_path):
    if use_safetensors:
        pytest.importorskip("safetensors")
    model, other = (
        fit(digits, random_state=seed, optimizer=optimizer, max_iter=8) for seed in (0, 1)
    )
    names = ["f_params", "f_criterion", *([] if use_safetensors else ["f_optimizer"])]
    files = {name: tmp_path / name for name in names}
    kwargs = {"use_safetensors": use_safetensors}
    model.net_.save_params(**files, f_history=tmp_path / "history.json", **kwargs)
    assert np.abs(other.net_.predict(digits) - model.net_.predict(digits)).max() > 1e-3
    other.net_.load_params(**files, f_history=tmp_path / "history.json", **kwargs)
    assert_array_equal(other.net_.predict(digits), model.net_.predict(digits))
    assert losses(other.net_) == losses(model.net_)
    if not use_safetensors:
        for own, its in zip(
            other.net_.optimizer_.state.values(), model.net_.optimizer_.state.values(), strict=True
        ):
            for key, value in its.items():
                assert_array_equal(torch.as_tensor(own[key]), torch.as_tensor(value))
    other.net_.partial_fit(digits)
    # A file that is open does as well.
    buffer = io.BytesIO()
    model.net_.save_params(f_params=buffer, **kwargs)
    buffer.seek(0)
    other.net_.load_params(f_params=buffer, **kwargs)
    assert_array_equal(other.net_.predict(digits), model.net_.predict(digits))


def test_safetensors_hold_no_optimizer(digits, tmp_path):
    pytest.importorskip("safetensors")
    net = fit(digits, max_iter=1).net_
    with pytest.raises(ValueError, match="can only store tensors"):
        net.save_params(f_optimizer=tmp_path / "optimizer", use_safetensors=True)


# -- skorch's callbacks ----------------------------------------------------------------------------


class Recorder(sc.Callback):
    def initialize(self):
        self.seen_ = []
        return self

    def on_epoch_end(self, net, **kwargs):
        self.seen_.append(net.history[-1, "epoch"])


def mean_error(net, X, y):
    return np.abs(net.predict(X) - y).mean()


def error_of_items(net, rows, y=None):
    return mean_error(net, rows, np.stack([target for _, target in rows]))


class Rates(sc.Callback):
    """Collects the learning rate of every step."""

    def __init__(self, rates):
        self.rates = rates

    def on_grad_computed(self, net, **kwargs):
        self.rates.append(net.optimizer_.param_groups[0]["lr"])


def scheduled(make, every_step=False):
    """Return a check that the rates are those of torch's scheduler alone."""

    def check(model, X, tmp_path, **kwargs):
        rates = dict(model.net_.callbacks_)["Rates"].rates
        n_steps = len(rates) // model.n_iter_
        optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=model.net_.lr)
        scheduler, expected = make(optimizer), []
        for row in model.history_[1:]:
            optimizer.step()
            for _ in range(n_steps):
                expected.append(optimizer.param_groups[0]["lr"])
                if every_step:
                    scheduler.step()
            if not every_step:
                loss = [row["train_loss"]]
                plateau = isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
                scheduler.step(*(loss if plateau else []))
        assert_allclose(rates, expected, rtol=1e-6)
        assert len(set(rates)) > 1
        first = model.history_[0]["learning_rate"], model.history_[1]["learning_rate"]
        assert first[0] == rates[0]
        if not every_step:
            assert [row["event_lr"] for row in model.history_[1:]] == rates[::n_steps]
            assert [row["learning_rate"] for row in model.history_[1:]] == rates[::n_steps]

    return check


def check_score(name, score):
    def check(model, X, tmp_path, **kwargs):
        rows = held_out(model, X)
        found = model.history_[model.best_iter_][name]
        assert model.best_iter_ == model.n_iter_, "The test needs the last epoch to be the best."
        assert_allclose(found, score(rows, model.reconstruct(rows)), rtol=1e-4)

    return check


def check_batch_score(model, X, tmp_path, **kwargs):
    # The held-out rows are one batch.
    check_score("mean_error", lambda y, p: np.abs(p - y).mean())(model, X, tmp_path)
    [batch] = [b for b in model.net_.history[-1, "batches"] if "mean_error" in b]
    assert batch["mean_error"] == model.history_[-1]["mean_error"]


def check_training_score(model, X, tmp_path, **kwargs):
    rows = [row["train_r2"] for row in model.history_[1:]]
    # The net sees noise while it is trained, and its weights move.
    assert_allclose(rows[-1], r2_score(X, model.reconstruct(X)), atol=0.1)
    assert rows[-1] > rows[0]


def check_checkpoint(model, X, tmp_path, callback, **kwargs):
    assert {path.name for path in tmp_path.iterdir()} == {
        "params.pt",
        "optimizer.pt",
        "criterion.pt",
        "history.json",
        "net.pkl",
    }
    assert any(row["event_cp"] for row in model.history_[1:])
    other = fit(X, random_state=1, max_iter=1).net_
    other.load_params(checkpoint=callback)
    assert_allclose(other.predict(X), model.reconstruct(X), atol=1e-4)
    loaded = pickle.loads((tmp_path / "net.pkl").read_bytes())
    assert_allclose(loaded.predict(X), model.reconstruct(X), atol=1e-4)


def check_train_end_checkpoint(model, X, tmp_path, callback, **kwargs):
    other = fit(X, random_state=1, max_iter=1).net_
    other.load_params(checkpoint=callback.checkpoint_)
    assert_allclose(other.predict(X), model.reconstruct(X), atol=1e-4)
    assert len(other.history) == model.n_iter_


def check_stopped(model, X, tmp_path, callback, **kwargs):
    assert model.n_iter_ == 3
    assert_predicts(model, X)


def check_table(model, X, tmp_path, callback, out, **kwargs):
    text = "\n".join(lines)
    assert all(name in text for name in ("train_loss", "valid_loss", "dur", "learning_rate"))
    assert len(lines) == model.n_iter_ + 2
    assert f"{model.history_[-1]['train_loss']:.4f}" in lines[-1]
    lines.clear()


def check_bar(model, X, tmp_path, callback, err, **kwargs):
    assert "/14" in err
    # The last epoch: eleven batches of 32 rows or a few more, and the held-out rows.
    assert callback.pbar_.n == 12


def check_timed(model, X, tmp_path, **kwargs):
    assert all(0 < row["dur" if "dur" in row else "duration"] < 60 for row in model.history_[1:])


def check_frozen(model, X, tmp_path, **kwargs):
    start = fit(X, max_iter=0, early_stopping=model.early_stopping).module_
    frozen, moved = model.module_.f[0].weight, model.module_.g[-1].weight
    assert_array_equal(frozen.detach(), start.f[0].weight.float().detach())
    assert not torch.equal(moved, start.g[-1].weight)


def check_mapped(model, X, tmp_path, **kwargs):
    # It is set before the first step, and from there on it is trained.
    bias = model.module_.f[0].bias.detach()
    assert 0 < (bias - 3).abs().max() < 0.5


class Norms(sc.Callback):
    def __init__(self):
        self.norms = []

    def on_grad_computed(self, net, named_parameters, **kwargs):
        squares = [p.grad.square().sum() for _, p in named_parameters if p.grad is not None]
        self.norms.append(torch.stack(squares).sum().sqrt().item())


def check_clipped(model, X, tmp_path, **kwargs):
    norms = dict(model.net_.callbacks_)["Norms"].norms
    assert max(norms) <= 1e-3 * (1 + 1e-4)
    assert max(norms) > 0.9e-3


lines = []
CALLBACKS = {
    "score": (
        lambda path: [sc.EpochScoring("r2", lower_is_better=False)],
        check_score("r2", r2_score),
    ),
    "function": (
        lambda path: [sc.EpochScoring(mean_error)],
        check_score("mean_error", lambda y, p: np.abs(p - y).mean()),
    ),
    "uncached function": (
        lambda path: [sc.EpochScoring(error_of_items, use_caching=False)],
        check_score("error_of_items", lambda y, p: np.abs(p - y).mean()),
    ),
    "training score": (
        lambda path: [sc.EpochScoring("r2", False, on_train=True, name="train_r2")],
        check_training_score,
    ),
    "batch score": (lambda path: [sc.BatchScoring(mean_error)], check_batch_score),
    "uncached batch score": (
        lambda path: [sc.BatchScoring(mean_error, use_caching=False)],
        check_batch_score,
    ),
    "checkpoint": (
        lambda path: [sc.Checkpoint(dirname=str(path), f_pickle="net.pkl")],
        check_checkpoint,
    ),
    "train-end checkpoint": (
        lambda path: [sc.TrainEndCheckpoint(dirname=str(path))],
        check_train_end_checkpoint,
    ),
    "step": (
        lambda path: [sc.LRScheduler("StepLR", step_size=2, gamma=0.5), Rates([])],
        scheduled(lambda o: lr_scheduler.StepLR(o, 2, 0.5)),
    ),
    "cosine": (
        lambda path: [sc.LRScheduler(lr_scheduler.CosineAnnealingLR, T_max=6), Rates([])],
        scheduled(lambda o: lr_scheduler.CosineAnnealingLR(o, 6)),
    ),
    "plateau": (
        lambda path: [
            sc.LRScheduler("ReduceLROnPlateau", patience=0, threshold=0.9, factor=0.5),
            Rates([]),
        ],
        scheduled(
            lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0, threshold=0.9, factor=0.5)
        ),
    ),
    "one cycle": (
        lambda path: [
            sc.LRScheduler(
                lr_scheduler.OneCycleLR,
                step_every="batch",
                max_lr=0.002,
                total_steps=200,
                cycle_momentum=False,
            ),
            Rates([]),
        ],
        scheduled(
            lambda o: lr_scheduler.OneCycleLR(o, 0.002, total_steps=200, cycle_momentum=False), True
        ),
    ),
    "restarts": (
        lambda path: [sc.LRScheduler("WarmRestartLR", max_lr=0.002, base_period=3), Rates([])],
        scheduled(lambda o: sc.WarmRestartLR(o, max_lr=0.002, base_period=3)),
    ),
    "stopping": (
        lambda path: [sc.EarlyStopping(patience=2, threshold=0.99, sink=lines.append)],
        check_stopped,
    ),
    "table": (lambda path: [sc.PrintLog(sink=lines.append)], check_table),
    "bar": (lambda path: [sc.ProgressBar(detect_notebook=False)], check_bar),
    "timer": (lambda path: [("timer", sc.EpochTimer())], check_timed),
    "freezer": (lambda path: [sc.Freezer("f.0.*")], check_frozen),
    "initializer": (
        lambda path: [sc.Initializer("f.0.bias", fn=lambda p: torch.nn.init.constant_(p, 3.0))],
        check_mapped,
    ),
    "mapper": (
        lambda path: [
            sc.ParamMapper(
                lambda name: name.startswith("f.0"), fn=lambda p: p.requires_grad_(False)
            )
        ],
        check_frozen,
    ),
    "clipping": (
        lambda path: [sc.GradientNormClipping(1e-3), Norms()],
        check_clipped,
    ),
    "a name": (
        lambda path: [("mine", sc.EpochScoring("r2", lower_is_better=False))],
        check_score("r2", r2_score),
    ),
    "a class": (lambda path: [Recorder], lambda model, X, tmp_path, **kwargs: None),
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_callback_of_skorch_does_its_work(name, digits, tmp_path, capsys):
    make, check = CALLBACKS[name]
    lines.clear()
    given = make(tmp_path)
    model = fit(digits, callbacks=given, max_iter=6)
    printed = capsys.readouterr()
    callback = given[0][1] if isinstance(given[0], tuple) else given[0]
    used = [each for _, each in model.net_.callbacks_]
    assert isinstance(callback, type) or any(each is callback for each in used)
    check(model, digits, tmp_path=tmp_path, callback=callback, out=printed.out, err=printed.err)
    assert_predicts(model, digits)


def alone(model, rows):
    """Return what the net makes of rows without its fallback to PCA, as in its training."""
    model.module_.fallback = None
    return model.reconstruct(rows)


@pytest.mark.parametrize(
    "params",
    [
        {"loss": "poisson"},
        {"corruption": "masking"},
        {"penalty": "variational"},
        {"architecture": "recurrent", "input_shape": (8, 8)},
        {"trim": 0.1, "penalty": "sparse"},
    ],
    ids=str,
)
def test_a_score_is_of_reconstructions_in_the_units_of_x(params, digits):
    X = np.round(16 * digits)
    model = fit(X, callbacks=[sc.EpochScoring(mean_error)], max_iter=12, **params)
    best, rows = model.best_iter_, held_out(model, X)
    assert best > 0
    expected = np.abs(alone(model, rows) - rows).mean()
    assert_allclose(model.history_[best]["mean_error"], expected, rtol=1e-4)


def test_a_score_of_compositions_is_of_their_shares(digits):
    X = np.round(16 * digits)
    callbacks = [sc.EpochScoring(mean_error)]
    model = fit(X, callbacks=callbacks, max_iter=12, loss="multinomial")
    best, rows = model.best_iter_, held_out(model, X)
    assert best > 0
    shares = [x / x.sum(1, keepdims=True) for x in (alone(model, rows), rows)]
    expected = np.abs(shares[0] - shares[1]).mean()
    assert_allclose(model.history_[best]["mean_error"], expected, rtol=1e-4)


def test_a_score_of_rows_with_gaps(digits):
    def error(net, rows, y):
        return np.nanmean(np.abs(net.predict(rows) - y))

    X = gaps(digits)
    model = fit(X, callbacks=[sc.EpochScoring(error)], max_iter=12)
    best, rows = model.best_iter_, held_out(model, X)
    assert best > 0
    expected = np.nanmean(np.abs(alone(model, rows) - rows))
    assert_allclose(model.history_[best]["error"], expected, rtol=1e-4)


def test_callbacks_see_calls_of_partial_fit(digits, tmp_path):
    recorder = Recorder()
    checkpoint = sc.Checkpoint(monitor="train_loss_best", dirname=str(tmp_path))
    given = [
        recorder,
        sc.EpochScoring("r2", lower_is_better=False, on_train=True),
        checkpoint,
        sc.LRScheduler("StepLR", step_size=2, gamma=0.5),
        sc.Freezer("f.0.*"),
        sc.GradientNormClipping(1.0),
        sc.PrintLog(sink=lines.append),
        ("mine", Recorder()),
    ]
    lines.clear()
    model = new(callbacks=given)
    for _ in range(5):
        model.partial_fit(digits)
    # They go on: what they have collected is not thrown away.
    assert recorder.seen_ == [1, 2, 3, 4, 5]
    rates = [row["event_lr"] for row in model.history_[1:]]
    # The drop comes twice, once when the scheduler is built anew, as in any net of skorch.
    assert_allclose(rates, rates[0] * np.array([1, 1, 0.25, 0.25, 0.0625]))
    assert all(0 < row["r2"] < 1 for row in model.history_[1:])
    assert len(lines) == 7
    other = fit(digits, random_state=1, max_iter=1).net_
    other.load_params(checkpoint=checkpoint)
    assert_allclose(other.predict(digits), model.reconstruct(digits), atol=1e-4)
    assert [name for name, _ in model.net_.callbacks_].count("mine") == 1


def test_what_callbacks_have_collected_is_pickled(digits):
    recorder = Recorder()
    model = fit(
        digits, callbacks=[recorder, ("early", sc.EarlyStopping("train_loss", patience=50))]
    )
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        [its] = again.callbacks[:1]
        assert its is dict(again.net_.callbacks_)["Recorder"]
        assert its.seen_ == [1, 2, 3, 4]
        assert again.net_.callbacks_[-1][0] == "early_stopping"
        again.partial_fit(digits)
        assert its.seen_ == [1, 2, 3, 4, 5]
    assert recorder.seen_ == [1, 2, 3, 4]


@pytest.mark.parametrize("kind", [AutoencoderTransformer, AutoencoderAnomalyDetector])
def test_callbacks_taken_out_are_not_stored(kind, digits, tmp_path):
    class CannotBeStored(sc.Callback):
        def __getstate__(self):
            raise TypeError

    callbacks = [("local", CannotBeStored()), CannotBeStored()]
    model = kind(n_components=2, max_iter=2, random_state=0, callbacks=callbacks).fit(digits)
    with pytest.raises(TypeError):
        pickle.dumps(model)
    model.set_params(callbacks=None)
    again = pickle.loads(pickle.dumps(model))
    score = "score_samples" if kind is AutoencoderAnomalyDetector else "transform"
    assert_array_equal(getattr(again, score)(digits), getattr(model, score)(digits))
    save(model, tmp_path / "model.skops")
    loaded = load(tmp_path / "model.skops")
    assert_array_equal(loaded.reconstruct(digits), model.reconstruct(digits))
    again.partial_fit(digits)


def test_callbacks_see_each_net_of_a_detector(digits, tmp_path):
    n_epochs = []

    class Count(sc.Callback):
        def on_epoch_end(self, net, **kwargs):
            n_epochs.append(net.history[-1, "epoch"])

    count, norms = Count(), Norms()
    checkpoint = sc.TrainEndCheckpoint(dirname=str(tmp_path))
    model = AutoencoderAnomalyDetector(
        max_iter=3,
        random_state=0,
        hidden_layer_sizes=(8,),
        callbacks=[
            count,
            ("norms", norms),
            sc.EpochScoring(mean_error, on_train=True),
            sc.Freezer("f.0.*"),
            checkpoint,
        ],
    ).fit(digits)
    assert n_epochs == [1, 2, 3] * len(model.nets_)
    for net in model.nets_:
        assert dict(net.callbacks_)["Count"] is count
        assert 0 < net.history[-1, "mean_error"] < 2 * np.abs(digits - digits.mean(0)).mean()
    assert len(norms.norms) > 6
    # the files are those of the last net
    found = model.nets_[-1].predict(digits)
    model.nets_[0].load_params(checkpoint=checkpoint.checkpoint_)
    assert_array_equal(
        model.nets_[0].module_.g[0].weight.detach(), model.nets_[-1].module_.g[0].weight.detach()
    )
    assert_allclose(model.models_[-1].reconstruct(digits), found, atol=1e-4)
    model.partial_fit(digits)
    assert len(n_epochs) == 4 * len(model.nets_)


@pytest.mark.parametrize("kind", [sc.Checkpoint, sc.TrainEndCheckpoint])
def test_a_fit_goes_on_from_a_checkpoint(kind, digits, tmp_path):
    checkpoint = kind(dirname=str(tmp_path))
    first = fit(digits, callbacks=[checkpoint], max_iter=8)
    n_saved = first.best_iter_ if kind is sc.Checkpoint else 8
    again = new(callbacks=[sc.LoadInitState(checkpoint)], max_iter=3)
    if kind is sc.TrainEndCheckpoint:
        checkpoint.initialize()
    again.fit(digits)
    reached = first.history_[first.best_iter_]["valid_loss"]
    assert_allclose(again.history_[0]["valid_loss"], reached, rtol=1e-5)
    assert again.n_iter_ == n_saved + 3
    assert [row["epoch"] for row in again.history_] == list(range(n_saved + 4))
    assert_predicts(again, digits)


def test_loaded_weights_that_no_epoch_beats_are_kept(digits, tmp_path):
    checkpoint = sc.Checkpoint(dirname=str(tmp_path))
    first = fit(digits, callbacks=[checkpoint], max_iter=8)
    again = new(
        callbacks=[sc.LoadInitState(checkpoint)], max_iter=1, learning_rate=1e-12, schedule=None
    ).fit(digits)
    assert again.best_iter_ == 0
    assert_predicts(again, digits)
    assert_allclose(again.reconstruct(digits), first.reconstruct(digits), atol=1e-5)


@pytest.mark.parametrize(
    "callback",
    [
        lambda path: sc.Checkpoint(monitor="first_best", dirname=str(path), load_best=True),
        lambda path: sc.EarlyStopping("first", patience=99, lower_is_better=False, load_best=True),
    ],
)
def test_the_best_epoch_is_the_estimator_s_choice(callback, digits, tmp_path):
    def first(net, rows, y):
        return -net.history[-1, "epoch"]

    scoring = sc.EpochScoring(first, lower_is_better=False)
    model = fit(digits, callbacks=[scoring, callback(tmp_path)])
    alone = fit(digits)
    assert model.best_iter_ == alone.best_iter_ > 1
    assert_array_equal(model.reconstruct(digits), alone.reconstruct(digits))
    assert model.n_iter_ == len(model.net_.history) == 4
    assert_predicts(model, digits)


def test_a_module_s_shape_cannot_be_set(digits):
    with pytest.raises(ValueError, match="'module__input_dim' cannot be set"):
        fit(digits, callbacks=[sc.InputShapeSetter()])


def test_a_checkpoint_without_held_out_rows_says_so(digits, tmp_path):
    checkpoint = sc.Checkpoint(dirname=str(tmp_path))
    with pytest.raises(Exception, match="Make sure you have validation data"):
        fit(digits, callbacks=[checkpoint], early_stopping=False)


def test_safetensors_checkpoints(digits, tmp_path):
    pytest.importorskip("safetensors")
    checkpoint = sc.Checkpoint(dirname=str(tmp_path), f_optimizer=None, use_safetensors=True)
    model = fit(digits, callbacks=[checkpoint])
    other = fit(digits, random_state=1, max_iter=1).net_
    other.load_params(checkpoint=checkpoint, use_safetensors=True)
    assert_allclose(other.predict(digits), model.reconstruct(digits), atol=1e-4)


def test_a_callback_may_predict_in_the_middle_of_an_epoch(digits):
    modes = set()

    class Predicts(sc.Callback):
        def on_batch_end(self, net, training=False, **kwargs):
            if training:
                net.predict(digits[:3])
                modes.add(net.module_.training)

    model = fit(digits, callbacks=[Predicts()])
    assert modes == {True}
    assert_array_equal(model.reconstruct(digits), fit(digits).reconstruct(digits))


# -- the user's objects ----------------------------------------------------------------------------


class Writes(sc.Callback):
    def __init__(self, file, sink):
        self.file = file
        self.sink = sink

    def on_epoch_end(self, net, **kwargs):
        self.file.write(f"{net.history[-1, 'epoch']}\n")
        self.sink.append(net.history[-1, "train_loss"])


def test_the_objects_given_are_used(digits, tmp_path):
    sink = []
    with (tmp_path / "log").open("w") as file:
        callback = Writes(file, sink)
        model = fit(digits, callbacks=(("mine", callback),))
    assert dict(model.net_.callbacks_)["mine"] is callback
    assert (tmp_path / "log").read_text() == "1\n2\n3\n4\n"
    assert sink == [row["train_loss"] for row in model.history_[1:]]


def test_a_search_clones_them(digits):
    recorder = Recorder()
    search = GridSearchCV(new(callbacks=[recorder]), {"n_components": [1, 2]}, cv=2).fit(digits)
    assert not hasattr(recorder, "seen_")
    assert search.best_estimator_.callbacks[0].seen_ == [1, 2, 3, 4]


class Pruned(Exception):
    """What a search that gives up on a fit raises."""


def raising(event, error):
    def raise_it(self, net, **kwargs):
        if self.armed:
            raise error

    def __init__(self):
        self.armed = False

    return type("Raising", (sc.Callback,), {"__init__": __init__, event: raise_it})()


EVENTS = ["on_train_begin", "on_epoch_begin", "on_batch_begin", "on_grad_computed"]
EVENTS += ["on_batch_end", "on_epoch_end", "on_train_end"]


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("error", [Pruned, KeyboardInterrupt])
@pytest.mark.parametrize("event", EVENTS)
def test_an_exception_leaves_the_estimator_as_it_was(event, error, method, digits):
    callback = raising(event, error)
    model = new(callbacks=[callback], warm_start=True)
    getattr(model, method)(digits)
    before = {name: value for name, value in vars(model).items() if name != "callbacks"}
    rebuilt, predicted = model.reconstruct(digits), model.net_.predict(digits)
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    callback.armed = True
    if error is KeyboardInterrupt and event not in ("on_train_begin", "on_train_end"):
        getattr(model, method)(digits)
        # A warm start counts anew, and an epoch that is not finished does not count.
        finished = event == "on_epoch_end"
        assert model.n_iter_ == finished + (method == "partial_fit")
        assert_predicts(model, digits)
    else:
        with pytest.raises(error):
            getattr(model, method)(digits)
        for name, value in before.items():
            assert getattr(model, name) is value
        assert_array_equal(model.reconstruct(digits), rebuilt)
        assert_array_equal(model.net_.predict(digits), predicted)
    assert torch.get_num_threads() == threads
    assert_array_equal(torch.random.get_rng_state(), state)
    callback.armed = False
    assert_predicts(getattr(model, method)(digits), digits)


def test_a_callback_ends_the_training_after_an_epoch(digits):
    class Stops(sc.Callback):
        def on_epoch_end(self, net, **kwargs):
            if net.history[-1, "epoch"] == 3:
                raise KeyboardInterrupt

    model = fit(digits, callbacks=[Stops()], max_iter=20)
    assert model.n_iter_ == 3
    row = min(model.history_, key=lambda row: row["valid_loss"])
    assert model.best_iter_ == row["epoch"]
    assert_predicts(model, digits)


def test_fits_without_callbacks_are_the_same(digits):
    model = fit(digits, callbacks=[Recorder()])
    assert_array_equal(model.reconstruct(digits), fit(digits).reconstruct(digits))


def test_the_code_of_the_guide_runs(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train, test = images
    blocks = python_blocks("how_to/callbacks.rst")
    [block] = [block for block in blocks if "import Checkpoint" in block]
    names = {"AutoencoderTransformer": AutoencoderTransformer, "train": train, "test": test}
    exec(block, names)
    model = names["autoencoder"]
    assert model.history_[-1]["explained_variance"] > 0
    assert_allclose(names["other"].net_.predict(train), alone(model, train), atol=1e-3)
