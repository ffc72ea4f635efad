"""The loop: the best epoch, early stopping, optimizers, schedules, callbacks, interruptions."""

import copy
import gc
import signal
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import ttest_rel
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback, EarlyStopping

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae._data.selection import resolve_batch_size, resolve_max_iter
from skae._training.callbacks import is_gain
from skae.architectures import Dense
from skae.corruptions import ResidualNoise
from skae.losses import Huber, SquaredError
from skae.optimizers import OPTIMIZERS, SGD, Adam, Momentum
from skae.schedules import SCHEDULES, Exponential, OneCycle, Plateau, Step


def fit(X, n_components=2, **params):
    return AutoencoderTransformer(n_components, **({"random_state": 0} | params)).fit(X)


# -- early stopping ------------------------------------------------------------------------------


def test_the_best_epoch_is_kept(digits):
    model = fit(digits, max_iter=12)
    losses = [row["valid_loss"] for row in model.history_]
    assert len(losses) == model.n_iter_ + 1 == 13
    assert model.best_iter_ == int(np.argmin(losses)) > 0
    assert model.loss_ == min(losses)


def test_patience_and_tolerance_end_the_training():
    X = np.random.default_rng(0).normal(size=(80, 20))
    assert fit(X, 10, max_iter=100, n_iter_no_change=4).n_iter_ < 100
    assert fit(X, 10, max_iter=30, n_iter_no_change=4, tol=1e9).n_iter_ == 4


def test_without_early_stopping_all_rows_are_trained_on(digits):
    model = fit(digits, max_iter=4, early_stopping=False)
    assert model.best_iter_ == model.n_iter_ == 4
    assert "valid_loss" not in model.history_[-1]
    assert model.loss_ == model.history_[-1]["train_loss"]
    assert model.history_[-1]["train_loss"] < model.history_[0]["train_loss"]


def test_a_gain_must_be_more_than_chance():
    start = torch.tensor([1.0, 1.1, 1.2, 1.3])
    assert is_gain(start, start - torch.tensor([0.1, 0.11, 0.12, 0.13]))
    assert not is_gain(start, start * torch.tensor([0.5, 1.9, 0.6, 1.7]))
    found = set()
    rng = np.random.default_rng(0)
    for n_rows in [12, 60] * 100:
        one, other = rng.exponential(size=(2, n_rows))
        other **= rng.uniform(0.5, 3)
        level = 0.05 if n_rows == 60 else 0.02  # less for fewer than 30 rows
        tests = [
            ttest_rel(convert(one), convert(other), alternative="greater").pvalue < level
            for convert in (np.asarray, np.log)
        ]
        assert is_gain(torch.tensor(one), torch.tensor(other)) == all(tests)
        # a loss of one's own may be negative, and has no logarithm then
        assert is_gain(torch.tensor(one - 9), torch.tensor(other - 9)) == tests[0]
        found.add(tuple(tests))
    assert len(found) == 4
    assert not is_gain(start, start)
    assert not is_gain(start[:1], start[:1] - 1)


def test_auto_sizes():
    sizes = [resolve_batch_size("auto", n, "auto") for n in (5, 127, 128, 20_000, 10**6)]
    assert sizes == [5, 32, 64, 64, 256]
    assert [resolve_batch_size("auto", 640, n) for n in (1, 39, 40)] == [32, 32, 64]
    assert resolve_batch_size(None, 77, "auto") == 77
    assert resolve_batch_size(50, 20, "auto") == 20
    assert resolve_max_iter("auto", 1) > resolve_max_iter("auto", 100) > 1
    assert resolve_max_iter(7, 100) == 7


# -- optimizers ----------------------------------------------------------------------------------


def test_full_batch_sgd_is_gradient_descent(wine):
    params = {
        "optimizer": "sgd",
        "learning_rate": 0.5,
        "schedule": None,
        "batch_size": None,
        "corruption": None,
        "early_stopping": False,
        "gradient_clip": None,
        "init": "random",
        "hidden_layer_sizes": (4,),
    }
    by_hand = fit(wine, 3, max_iter=0, **params).module_
    model = fit(wine, 3, max_iter=3, **params)
    x = torch.tensor((wine - wine.mean(0)) / np.sqrt(wine.var(0).mean()))
    for _ in range(3):
        by_hand.zero_grad()
        ((by_hand(x) - x) ** 2).mean().backward()
        with torch.no_grad():
            for weight in by_hand.parameters():
                weight -= 0.5 * weight.grad
    for ours, expected in zip(model.module_.parameters(), by_hand.parameters(), strict=True):
        assert_allclose(ours.detach(), expected.detach(), atol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss(name, digits):
    model = fit(digits, 4, optimizer=name, max_iter=25)
    assert model.loss_ < 0.95 * model.history_[0]["valid_loss"]


def one_step(optimizer, gradient, n_steps, learning_rate=0.1, alpha=0.0):
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    stepper = optimizer.build([weight], learning_rate, alpha)
    for _ in range(n_steps):
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        stepper.step()
    return weight.detach().numpy()


G, W = np.array([0.5, -1.0]), np.array([1.0, -2.0])


def test_sgd_momentum_and_nesterov_by_hand():
    assert_allclose(one_step(SGD(), G, 2), W - 0.2 * G)
    assert_allclose(one_step(SGD(momentum=0.9), G, 2), W - 0.1 * (G + 1.9 * G))
    expected = W - 0.1 * (G + 0.9 * G) - 0.1 * (G + 0.9 * 1.9 * G)
    assert_allclose(one_step(Momentum(), G, 2), expected)


def test_adam_by_hand():
    weight, m, v = W.copy(), 0.0, 0.0
    for t in (1, 2):
        m, v = 0.8 * m + 0.2 * G, 0.9 * v + 0.1 * G**2
        weight = weight - 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.9**t)) + 1e-8)
    assert_allclose(one_step(Adam(beta_1=0.8, beta_2=0.9), G, 2), weight)


def test_adagrad_and_rmsprop_by_hand():
    expected = W - 0.1 * G / (np.abs(G) + 1e-10)
    assert_allclose(one_step(OPTIMIZERS["adagrad"](), G, 1), expected)
    v = 0.01 * G**2
    assert_allclose(one_step(OPTIMIZERS["rmsprop"](), G, 1), W - 0.1 * G / (np.sqrt(v) + 1e-8))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_shrinks(name):
    shrunk = one_step(OPTIMIZERS[name](), [0.0, 0.0], 1, alpha=0.1)
    assert (np.abs(shrunk) < np.abs(W)).all()


def test_nesterov_needs_momentum(iris):
    with pytest.raises(ValueError, match=r"nesterov.*momentum"):
        fit(iris, optimizer=SGD(nesterov=True))


def test_gradient_clip_bounds_the_step(digits):
    class Norms(Callback):
        def initialize(self):
            self.norms_ = []

        def on_batch_end(self, net, **kwargs):
            squares = [(p.grad**2).sum().item() for p in net.module_.parameters()]
            self.norms_.append(np.sqrt(sum(squares)))

    free, clipped = Norms(), Norms()
    params = {"max_iter": 1, "loss": "poisson"}
    fit(16 * digits, gradient_clip=None, callbacks=[free], **params)
    fit(16 * digits, gradient_clip=0.05, callbacks=[clipped], **params)
    assert max(free.norms_) > 0.06
    assert max(clipped.norms_) <= 0.0501


# -- schedules -----------------------------------------------------------------------------------


def rates(X, schedule, n_epochs=8, **params):
    model = fit(X, schedule=schedule, max_iter=n_epochs, learning_rate=0.01, **params)
    return np.array([row["learning_rate"] for row in model.history_[1:]])


def test_rates_of_the_schedules(digits):
    assert_allclose(rates(digits, None), 0.01)
    epochs = np.arange(1, 9)
    assert_allclose(
        rates(digits, Exponential(final=0.1)) * 0.1 ** (1 / 8), 0.01 * 0.1 ** (epochs / 8)
    )
    steps = rates(digits, Step(n_steps=3, factor=0.5))
    assert_allclose(steps, 0.01 * 0.5 ** ((epochs - 1) // 2))
    cosine = rates(digits, "cosine")
    assert_allclose(cosine, 0.005 * (1 + np.cos(np.pi * epochs / 8)), atol=1e-9)
    cycle = rates(digits, OneCycle(warm_up=0.5))
    assert cycle.argmax() == 3
    assert_allclose(cycle.max(), 0.01, rtol=0.05)
    assert cycle[-1] < 1e-4


def test_plateau_waits_for_the_loss():
    X = np.random.default_rng(0).normal(size=(80, 20))
    falling = rates(X, Plateau(patience=1, factor=0.5), n_epochs=12, n_components=10)
    assert_allclose(np.unique(falling / 0.01 % 0.5)[:1], 0, atol=1e-6)
    assert falling[-1] < 0.006


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_trains(name, digits):
    model = fit(digits, 4, schedule=name, max_iter=10)
    assert model.loss_ < model.history_[0]["valid_loss"]


# -- corruption ----------------------------------------------------------------------------------


def test_residual_noise_is_as_large_as_the_error():
    x = torch.zeros(2000, 5)
    noise = ResidualNoise(level=0.5).corrupt(x, 0.2, torch.Generator().manual_seed(0))
    assert_allclose(noise.std(), 0.1, rtol=0.05)
    assert_allclose(noise.mean(), 0, atol=0.01)
    assert not x.any()


def test_the_net_knows_its_error(digits):
    class Errors(Callback):
        def on_train_begin(self, net, X=None, **kwargs):
            net.measure_error(X)
            self.error_ = net.error_

    errors = Errors()
    fit(digits, 3, max_iter=1, early_stopping=False, callbacks=[errors])
    start = fit(digits, 3, max_iter=0)
    x = (digits - digits.mean(0)) / np.sqrt(digits.var(0).mean())
    rows = start.reconstruct(digits)
    error = np.sqrt(((rows - digits.mean(0)) / np.sqrt(digits.var(0).mean()) - x) ** 2)
    expected = np.sqrt((error**2).mean())
    assert_allclose(errors.error_, expected, rtol=1e-4)


# -- callbacks and interruptions -----------------------------------------------------------------


class Recorder(Callback):
    def initialize(self):
        self.seen_ = []

    def on_train_begin(self, net, **kwargs):
        self.seen_.append("begin")

    def on_epoch_end(self, net, **kwargs):
        self.seen_.append(net.history[-1, "epoch"])

    def on_train_end(self, net, **kwargs):
        self.seen_.append("end")


def test_callbacks_are_those_given_and_see_the_epochs(iris):
    recorder = Recorder()
    model = fit(iris, callbacks=[("mine", recorder)], max_iter=3)
    assert dict(model.net_.callbacks_)["mine"] is recorder
    assert recorder.seen_ == ["begin", 1, 2, 3, "end"]


def test_skorch_s_early_stopping_stops(digits):
    stopper = EarlyStopping(monitor="valid_loss", patience=2, threshold=1e9, sink=lambda text: None)
    assert fit(digits, callbacks=[stopper], max_iter=50).n_iter_ < 5


def interrupting(method, epoch):
    """Return a callback that interrupts a method in an epoch."""

    def interrupt(self, net, **kwargs):
        if len(net.history) == epoch:
            raise KeyboardInterrupt

    return type("Interrupting", (Callback,), {method: interrupt})()


@pytest.mark.parametrize(("method", "n_judged"), [("on_epoch_end", 4), ("on_batch_end", 3)])
def test_a_callback_may_end_the_training(method, n_judged, digits):
    whole = fit(digits, max_iter=9)
    model = fit(digits, max_iter=9, callbacks=[interrupting(method, epoch=4)])
    assert model.n_iter_ == n_judged
    losses = [row["valid_loss"] for row in whole.history_[: n_judged + 1]]
    assert [row["valid_loss"] for row in model.history_] == losses
    assert model.best_iter_ == int(np.argmin(losses)) > 0
    assert model.loss_ == min(losses)
    # the weights are those of the best epoch
    again = model.set_params(warm_start=True, callbacks=None, max_iter=0).fit(digits)
    assert again.loss_ == pytest.approx(min(losses), rel=1e-5)
    assert torch.get_num_threads() == 1


def test_a_callback_may_end_a_pass(digits):
    model = AutoencoderTransformer(
        2, batch_size=50, callbacks=[interrupting("on_batch_end", 1)], random_state=0
    )
    for _ in range(2):
        model.partial_fit(digits)
        assert model.n_iter_ == 0
        assert [row["epoch"] for row in model.history_] == [0]
        assert np.isfinite(model.transform(digits)).all()


class Interrupted(Huber):
    """A loss during which the user presses Ctrl-C, before there is anything to keep."""

    armed = False

    def per_sample(self, eta, x):
        if Interrupted.armed:
            raise KeyboardInterrupt
        return super().per_sample(eta, x)


@pytest.mark.parametrize("where", ["on_train_begin", "on_train_end", "loss"])
def test_an_interruption_is_the_user_s(where, iris, monkeypatch):
    model = fit(iris, loss=Interrupted(), max_iter=2)
    before = model.transform(iris)
    fresh = clone(model)
    for estimator in (model, fresh):
        if where == "loss":
            monkeypatch.setattr(Interrupted, "armed", True)
        else:
            estimator.set_params(callbacks=[interrupting(where, 2 * (where == "on_train_end"))])
        with pytest.raises(KeyboardInterrupt):
            estimator.fit(iris)
        monkeypatch.setattr(Interrupted, "armed", False)
    assert_array_equal(model.transform(iris), before)
    with pytest.raises(NotFittedError):
        fresh.transform(iris)
    assert torch.get_num_threads() == 1


@pytest.mark.extended
def test_ctrl_c_ends_the_training_of_a_real_process():
    code = (
        "import numpy as np; from skae import AutoencoderTransformer\n"
        "from sklearn.datasets import load_digits\n"
        "X = load_digits().data\n"
        "model = AutoencoderTransformer(2, max_iter=10**6, n_iter_no_change=10**6, verbose=2)\n"
        "model.set_params(learning_rate=1e-3, schedule=None).fit(X)\n"
        "losses = [row['valid_loss'] for row in model.history_]\n"
        "assert model.n_iter_ == len(losses) - 1 < 10**6\n"
        "assert model.loss_ == min(losses) < losses[0]\n"
        "assert np.isfinite(model.transform(X)).all()\n"
        "print('kept', flush=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    # a dozen epochs
    while not process.stdout.readline().startswith("epoch 12/"):
        pass
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert output.endswith("kept\n")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_diverging_fit_says_what_to_lower(optimizer, digits):
    with pytest.raises(ValueError, match=r"training diverged.*Lower learning_rate"):
        fit(digits, optimizer=optimizer, learning_rate=1e6, schedule=None)


def test_verbose_shows_progress(iris, capsys):
    fit(iris, verbose=1, max_iter=3)
    begun, *bars = [text for text in capsys.readouterr().err.split("\r") if text.strip()]
    assert begun == "reading 150 rows"
    assert "3/3" in bars[-1]
    fit(iris, verbose=2, max_iter=3)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[2].startswith("epoch 3/3: train_loss 0.0")
    fit(iris, max_iter=3)
    assert capsys.readouterr() == ("", "")


# -- going on ------------------------------------------------------------------------------------


def test_warm_start_goes_on(digits):
    model = AutoencoderTransformer(2, max_iter=8, random_state=0).fit(digits)
    start, reached = model.history_[0]["train_loss"], model.reconstruct(digits)
    assert model.fit(digits).history_[0]["train_loss"] == start
    warm = model.set_params(warm_start=True, max_iter=0).fit(digits)
    assert warm.history_[0]["train_loss"] < 0.8 * start
    assert_allclose(warm.reconstruct(digits), reached)


def test_warm_start_takes_new_parameters_and_the_same_split(digits):
    model = fit(digits, max_iter=2, warm_start=True)
    held_out = model.history_[model.best_iter_]["valid_loss"]
    model.set_params(learning_rate=1e-4, schedule=None, optimizer="sgd", max_iter=1).fit(digits)
    assert model.history_[-1]["learning_rate"] == 1e-4
    assert type(model.optimizer_).__name__ == "SGD"
    assert_allclose(model.history_[0]["valid_loss"], held_out, rtol=1e-6)


def test_warm_start_without_a_split_before(digits):
    model = fit(digits, max_iter=2, warm_start=True, early_stopping=False)
    assert "valid_loss" in model.set_params(early_stopping=True).fit(digits).history_[0]
    chunk = AutoencoderTransformer(2, warm_start=True, max_iter=2, random_state=0)
    assert chunk.partial_fit(digits).fit(digits).n_iter_ == 2


CHANGED = {
    "n_components": (3, "it was 2 and is 3 now"),
    "architecture": (Dense(norm="layer"), r"it was Dense\(\) and is Dense\(norm='layer'\) now"),
    "hidden_layer_sizes": ((4, 4), r"it was \(8,\) and is \(4, 4\) now"),
    "activation": ("relu", "it was 'silu' and is 'relu' now"),
    "input_shape": ((8, 8), r"it was None and is \(8, 8\) now"),
    "loss": ("huber", r"it was SquaredError\(\) and is Huber\(\) now"),
    "init": ("random", "'pca'"),
    "n_folds": (4, "it was 3 and is 4 now"),
}


@pytest.mark.parametrize("kind", [AutoencoderTransformer, AutoencoderAnomalyDetector])
@pytest.mark.parametrize("way", ["warm start", "partial_fit"])
def test_a_changed_part_of_the_net_is_refused(way, kind, digits):
    X, same = digits[:40], {"hidden_layer_sizes": (8,), "init": "pca", "architecture": Dense()}
    model = kind(2, **same, max_iter=1, warm_start=True, random_state=0).fit(X)
    go_on, before = model.fit if way == "warm start" else model.partial_fit, model.transform(X)
    name = {"warm start": "warm_start"}.get(way, way)
    params = model.get_params()
    for changed, (value, message) in CHANGED.items():
        if changed in params:
            model.set_params(**{changed: value})
            with pytest.raises(
                ValueError, match=f"{name} can only be .*{changed} stays.*{message}"
            ):
                go_on(X)
            model.set_params(**{changed: params[changed]})
            assert_array_equal(model.transform(X), before)
    # A strategy that is changed in place is another one, and a new one like it is the same.
    model.set_params(architecture__norm="batch")
    with pytest.raises(ValueError, match="architecture stays"):
        go_on(X)
    same = {"hidden_layer_sizes": [8], "architecture": "dense", "loss": SquaredError()}
    go_on = getattr(model.set_params(**same), go_on.__name__)
    assert go_on(X).reconstruct(X).shape == X.shape


class Failing(Callback):
    """Fails at the end of an epoch, once it is told how many to wait."""

    left = None

    def on_epoch_end(self, net, **kwargs):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise RuntimeError("a callback of mine")


def answers(model, X):
    return model.transform(X), model.reconstruct(X), getattr(model, "score_samples", len)(X)


@pytest.mark.parametrize("kind", [AutoencoderTransformer, AutoencoderAnomalyDetector])
@pytest.mark.parametrize("way", ["fit", "warm start", "partial_fit"])
@pytest.mark.parametrize("why", ["diverged", "a callback of mine"])
def test_a_failed_fit_changes_nothing(why, way, kind, digits):
    failing = Failing()
    model = kind(2, max_iter=2, callbacks=[failing], random_state=0).fit(digits)
    model.set_params(warm_start=way == "warm start", schedule=None)
    twin, before = copy.deepcopy(model), answers(model, digits)
    fit_again = model.partial_fit if way == "partial_fit" else model.fit
    X = digits if way != "fit" else digits[:, :50]
    if why != "diverged":
        # The second of a detector's nets.
        failing.left = 1 if way == "partial_fit" else 3
        failing.left -= 2 * (kind is AutoencoderTransformer) if way != "partial_fit" else 1
    else:
        model.set_params(learning_rate=1e6, batch_size=8, max_iter=9)
    with pytest.raises((ValueError, RuntimeError), match=why):
        fit_again(X)
    failing.left = None
    assert vars(model).keys() == vars(twin).keys()
    assert model.n_features_in_ == 64
    for found, expected in zip(answers(model, digits), before, strict=True):
        assert_array_equal(found, expected)
    for one in (model, twin):
        one.set_params(learning_rate="auto", batch_size=100, max_iter=2).partial_fit(digits)
    for found, expected in zip(answers(model, digits), answers(twin, digits), strict=True):
        assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", [AutoencoderTransformer, AutoencoderAnomalyDetector])
@pytest.mark.parametrize("way", ["fit", "partial_fit"])
def test_a_failed_first_fit_is_no_fit(way, kind, digits):
    failing = Failing()
    failing.left = 0
    model = kind(2, max_iter=2, callbacks=[failing], random_state=0)
    with pytest.raises(RuntimeError, match="a callback of mine"):
        getattr(model, way)(digits)
    assert vars(model).keys() == model.get_params(deep=False).keys()
    with pytest.raises(NotFittedError):
        model.transform(digits)


def test_callbacks_may_stop_partial_fit(digits):
    stopper = EarlyStopping(monitor="train_loss", patience=1, sink=lambda text: None)
    model = AutoencoderTransformer(2, callbacks=[stopper], random_state=0)
    for _ in range(3):
        model.partial_fit(digits)
    assert model.n_iter_ == 3


def test_partial_fit_is_one_pass(digits):
    class Steps(Callback):
        def __init__(self):
            self.sizes_ = []

        def on_batch_end(self, net, batch=None, **kwargs):
            self.sizes_.append(len(batch[0]["x"]))

    steps = Steps()
    model = AutoencoderTransformer(2, callbacks=[steps], batch_size=50, random_state=0)
    for n_passes in (1, 2, 3):
        model.partial_fit(digits)
        assert model.n_iter_ == n_passes
        assert sum(steps.sizes_) == n_passes * len(digits)
    losses = [row["train_loss"] for row in model.history_]
    assert losses[3] < losses[2] < losses[0]
    # the optimizer counts its steps over all calls
    counts = {int(state["step"]) for state in model.net_.optimizer_.state.values()}
    assert counts == {3 * 8}


def test_a_fitted_estimator_does_not_hold_x():
    X = np.random.default_rng(0).normal(size=(100, 4))
    held = weakref.ref(X)
    model = fit(X, max_iter=2, callbacks=[Recorder()]).partial_fit(X)
    del X
    gc.collect()
    assert held() is None
    assert model.n_iter_ == 3


def test_refits_are_equal_to_the_last_bit(iris):
    one, other = (fit(iris, max_iter=20) for _ in range(2))
    assert_array_equal(one.transform(iris), other.transform(iris))
    assert [r["valid_loss"] for r in one.history_] == [r["valid_loss"] for r in other.history_]
    again = one.fit(iris)
    assert_array_equal(again.transform(iris), other.transform(iris))
