"""Small nets that are trained side by side, beside the same nets trained in turn."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback
from torch.optim.lr_scheduler import LambdaLR

from skae import AutoencoderAnomalyDetector
from skae._training import together
from skae._training.fast import DenseGradient
from skae.schedules import SCHEDULES, Schedule


@pytest.fixture
def counted(monkeypatch):
    """The numbers of nets that were trained side by side."""
    numbers = []

    def note(nets, rows):
        numbers.append(len(nets))
        return together.train_together(nets, rows)

    monkeypatch.setattr("skae._fit.train_together", note)
    return numbers


def in_turn(monkeypatch, detector, *data, **kwargs):
    with monkeypatch.context() as patch:
        patch.setattr("skae._fit.are_alike", lambda nets: False)
        return detector.fit(*data, **kwargs)


def nets_of(detector):
    return [fit.net for fit in detector._crossfit.fits]


def histories(detector):
    return [fit.history for fit in detector._crossfit.fits]


def check_same(found, expected, X):
    assert_allclose(found.score_samples(X), expected.score_samples(X), rtol=1e-3, atol=1e-4)
    for one, other in zip(histories(found), histories(expected), strict=True):
        assert [row.keys() for row in one] == [row.keys() for row in other]
        for name in ("train_loss", "learning_rate"):
            values, others = ([row[name] for row in rows] for rows in (one, other))
            assert_allclose(values, others, rtol=1e-4)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"trim": 0.0, "gradient_clip": None, "optimizer": "sgd", "schedule": "plateau"},
        {"init": "pca", "early_stopping": True, "trim": 0.0, "learning_rate": 1e-3},
        {"corruption": "gaussian", "activation": "tanh", "hidden_layer_sizes": (16,)},
        {"corruption": "masking", "optimizer": "adamw", "alpha": 0.01, "n_components": None},
        {"n_folds": 5, "batch_size": None, "architecture": "dense", "hidden_layer_sizes": ()},
        {"optimizer": "momentum", "learning_rate": 0.01, "n_folds": 2, "verbose": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("weighted", [False, True])
def test_each_net_is_as_if_it_were_trained_alone(params, weighted, counted, monkeypatch, digits):
    # 400 rows are no multiple of three: some folds, and some batches, have a row more.
    weight = np.random.default_rng(0).integers(1, 4, len(digits)) if weighted else None
    detector = AutoencoderAnomalyDetector(**{"max_iter": 6, "random_state": 0} | params)
    found = pickle.loads(pickle.dumps(detector.fit(digits, sample_weight=weight)))
    assert counted == [detector.n_folds]
    expected = in_turn(monkeypatch, detector, digits, sample_weight=weight)
    assert counted == [detector.n_folds]
    check_same(found, expected, digits + 0.1)
    for net, other in zip(nets_of(found), nets_of(expected), strict=True):
        for name, value in net.module_.state_dict().items():
            assert_allclose(value, other.module_.state_dict()[name], rtol=1e-2, atol=1e-3)


class EveryStep(Schedule):
    """One of torch's schedulers, as a user may write a schedule."""

    every_step = True

    def build(self, optimizer, n_epochs, n_batches):
        return LambdaLR(optimizer, lambda step: 1 / (1 + step))


@pytest.mark.parametrize("schedule", [*SCHEDULES, EveryStep()], ids=str)
def test_every_schedule(schedule, counted, monkeypatch, digits):
    detector = AutoencoderAnomalyDetector(max_iter=3, random_state=0, schedule=schedule)
    found = pickle.loads(pickle.dumps(detector.fit(digits)))
    assert counted == [3]
    check_same(found, in_turn(monkeypatch, detector, digits), digits + 0.1)


def test_nets_of_different_numbers_of_steps(monkeypatch, counted):
    # The folds have 256, 255 and 255 rows: two batches an epoch, and one.
    X = np.random.default_rng(0).normal(size=(766, 5))
    detector = AutoencoderAnomalyDetector(random_state=0, max_iter=5)
    found = pickle.loads(pickle.dumps(detector.fit(X)))
    steps = {len(net.history) * net.history[0]["train_batch_count"] for net in nets_of(found)}
    assert steps == {10, 5}
    assert counted == [3]
    check_same(found, in_turn(monkeypatch, detector, X), X + 0.1)


def test_a_stream_and_a_warm_start_go_on(monkeypatch, counted, digits):
    def make():
        return AutoencoderAnomalyDetector(random_state=0, max_iter=3, warm_start=True)

    found = make().fit(digits).partial_fit(digits[:200]).fit(digits)
    assert counted == [3, 3, 3]
    monkeypatch.setattr("skae._fit.are_alike", lambda nets: False)
    expected = make().fit(digits).partial_fit(digits[:200]).fit(digits)
    check_same(found, expected, digits + 0.1)


def test_every_number_of_jobs_gives_the_same_bits(digits, counted):
    one, two = (
        AutoencoderAnomalyDetector(random_state=0, max_iter=2, n_jobs=n).fit(digits) for n in (1, 2)
    )
    assert counted == [3, 3]
    assert_array_equal(one.score_samples(digits), two.score_samples(digits))


@pytest.mark.parametrize(
    "params",
    [
        {"callbacks": [Callback()]},
        {"penalty": "sparse"},
        {"loss": "huber"},
        {"architecture": "convolutional", "input_shape": (8, 8)},
        {"hidden_layer_sizes": (2000,)},
    ],
    ids=lambda params: next(iter(params)),
)
def test_other_nets_are_trained_in_turn(params, digits, counted):
    detector = AutoencoderAnomalyDetector(max_iter=1, random_state=0, **params).fit(digits)
    assert np.isfinite(detector.score_samples(digits)).all()
    assert counted == []


def test_nets_share_no_memory_afterwards(digits):
    detector = AutoencoderAnomalyDetector(max_iter=2, random_state=0).fit(digits)
    parts = [p for net in nets_of(detector) for p in net.flat_.vectors]
    assert len({p.untyped_storage().data_ptr() for p in parts}) == 3
    assert all(p.untyped_storage().nbytes() == 4 * p.numel() for p in parts)
    before = [p.detach().clone() for p in parts]
    nets_of(detector)[0].partial_fit(digits)
    assert not before[0].equal(parts[0].detach())
    assert before[1].equal(parts[1].detach())


class Interrupted:
    """The gradient of several nets, and Ctrl-C at a step."""

    def __init__(self, step):
        self.steps = iter(range(step, -1, -1))
        self.call = DenseGradient.__call__

    def __call__(self, *args, **kwargs):
        if next(self.steps) == 0:
            raise KeyboardInterrupt
        return self.call(*args, **kwargs)


def test_ctrl_c_keeps_what_each_net_has(monkeypatch, digits):
    gradient = Interrupted(3)
    monkeypatch.setattr(DenseGradient, "__call__", lambda *args, **kw: gradient(*args, **kw))
    detector = AutoencoderAnomalyDetector(random_state=0, batch_size=70).fit(digits)
    # There is one batch an epoch.
    assert [[row["epoch"] for row in rows] for rows in histories(detector)] == 3 * [[0, 1, 2, 3]]
    assert np.isfinite(detector.score_samples(digits)).all()
    monkeypatch.undo()
    shorter = AutoencoderAnomalyDetector(random_state=0, batch_size=70, schedule=None)
    assert shorter.fit(digits).n_iter_ > 3


def test_an_error_leaves_the_old_detector_whole(monkeypatch, digits):
    detector = AutoencoderAnomalyDetector(random_state=0, max_iter=3, warm_start=True).fit(digits)
    before = detector.score_samples(digits)

    def fail(*args, **kwargs):
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(DenseGradient, "__call__", fail)
        with pytest.raises(OSError, match="the disk is full"):
            detector.fit(digits)
    assert_array_equal(detector.score_samples(digits), before)


def test_a_training_that_diverges_says_so(digits):
    detector = AutoencoderAnomalyDetector(
        random_state=0, learning_rate=1e6, gradient_clip=None, trim=0.0, optimizer="sgd"
    )
    with pytest.raises(ValueError, match="diverged"):
        detector.fit(digits)
