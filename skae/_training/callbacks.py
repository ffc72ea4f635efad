"""Callbacks that the training consists of: one idea each, on skorch's events.

The module holds the averaged weights from the first batch of held-out rows, or the end of the
epoch, to the beginning of the next epoch: a loss, a checkpoint and a score are then about the same
weights, those that may be kept.
"""

import copy
import math
import time

import torch
from scipy import stats
from skorch.callbacks import Callback, EarlyStopping

from .._data.selection import n_batches
from .._utils.stored import Stored

# Weights averaged over some fifty steps do better on unseen rows than the last ones, at any rate.
_DECAY = 0.98
# In the running mean of all steps of a stream step t weighs about t**_POWER: three fifths of the
# mean are the last tenth of the steps.
_POWER = 8
# A rise by a thousand times the start's loss is no noise: PCA's own loss is at most about one.
_DIVERGED = 1e3
# The level of the two tests that a gain over the start must pass. It falls with the number of rows
# below this many, whose own spread says little of heavy tails.
_LEVEL = 0.05
_MANY_ROWS = 30


def _diverged(net, name, value, epoch):
    """Return the error that ends a training whose weights have become useless."""
    start = dict(net.callbacks_)["best_epoch"].start_["train_loss"]
    return ValueError(
        f"The training diverged: the {name} is {value:.3g} after epoch {epoch}, and the loss was "
        f"{start:.3g} before the first. Lower learning_rate (now {net.lr:g}) or gradient_clip (now "
        f"{net.settings.gradient_clip})."
    )


def measure_error(net, rows):
    """Let a net note its error on rows, which must be a number."""
    net.measure_error(rows)
    check_error(net)


def check_error(net):
    """Check that the error that a net has noted is a number."""
    if not math.isfinite(net.error_):
        row = net.history[-1]
        epoch = row["epoch"] - ("train_loss" not in row)
        raise _diverged(net, "reconstruction error", net.error_, epoch)


class WeightAverage(Stored, Callback):
    """Keep a running mean of the weights over the steps, which is what predicts.

    torch's AveragedModel walks through the modules at every step, which costs a small net a fifth
    of its time.
    """

    def on_train_begin(self, net, **kwargs):
        flat = {id(p) for p in net.flat_.parameters}
        rest = [p for p in net.module_.parameters() if id(p) not in flat]
        self.current_ = [p.detach() for p in [*net.flat_.vectors, *rest]]
        # It starts with the first step: a callback may load other weights until then.
        self.average_ = None
        self.shown_ = False

    def _start(self):
        self.average_ = [p.clone() for p in self.current_]

    def on_epoch_begin(self, net, **kwargs):
        self._show(False)

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        if not training:
            self._show(True)
        elif self.average_ is None:
            self._start()

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        if training:
            weight = self.next_weight()
            for average, current in zip(self.average_, self.current_, strict=True):
                average.lerp_(current, weight)

    def on_epoch_end(self, net, **kwargs):
        self._show(True)

    def on_train_end(self, net, **kwargs):
        self._show(True)
        self.current_, self.average_ = [], []

    def next_weight(self):
        """Return the weight in the mean of the weights after a step."""
        return 1 - _DECAY

    def _show(self, shown):
        """Let the module have the averaged weights, or those that the next step starts from."""
        if shown != self.shown_ and self.average_ is not None:
            for average, current in zip(self.average_, self.current_, strict=True):
                other = current.clone()
                current.copy_(average)
                average.copy_(other)
            self.shown_ = shown


class GrowingAverage(WeightAverage):
    """A running mean of the weights over all calls of ``partial_fit``: its window grows.

    A constant rate keeps the weights moving about the minimum, by as much for ever; the mean over
    ever more of them settles, as `fit` does with a rate that falls. Unlike such a rate, it need not
    know when the training ends (polynomial-decay averaging).

    Parameters
    ----------
    n_steps : int
        The number of steps in the mean so far.
    weights : dict or None
        The state of the module from which the next step starts, where it has the mean.

    References
    ----------
    O. Shamir, T. Zhang, "Stochastic Gradient Descent for Non-smooth Optimization: Convergence
    Results and Optimal Averaging Schemes", ICML 2013.
    """

    def __init__(self, n_steps=0, weights=None):
        self.n_steps = n_steps
        self.weights = weights

    def initialize(self):
        self.n_steps_, self.last_ = self.n_steps, self.weights
        return self

    def on_train_begin(self, net, **kwargs):
        super().on_train_begin(net, **kwargs)
        if self.last_ is not None:
            self._start()
            net.module_.load_state_dict(self.last_)

    def state(self):
        """Return the parameters of the next call's average."""
        return {"n_steps": self.n_steps_, "weights": self.last_}

    def on_epoch_end(self, net, **kwargs):
        self.last_ = _copy_state(net.module_)
        super().on_epoch_end(net, **kwargs)

    def on_train_end(self, net, **kwargs):
        if not self.shown_:
            # a callback has ended the pass before its last step
            self.last_ = _copy_state(net.module_)
        super().on_train_end(net, **kwargs)

    def next_weight(self):
        self.n_steps_ += 1
        return (_POWER + 1) / (_POWER + self.n_steps_)


class LearningRate(Stored, Callback):
    """Let the learning rate follow a schedule, if there is one, and record it."""

    def __init__(self, schedule):
        self.schedule = schedule

    def on_train_begin(self, net, **kwargs):
        self.scheduler_ = None

    def on_epoch_begin(self, net, dataset_train=None, **kwargs):
        if self.schedule is not None and self.scheduler_ is None:
            for group in net.optimizer_.param_groups:
                # what an earlier training has left is the end of its schedule
                group["lr"] = net.lr
            n = n_batches(len(dataset_train), net.batch_size)
            self.scheduler_ = self.schedule.build(net.optimizer_, net.max_epochs, n)

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        if training and self.scheduler_ is not None and self.schedule.every_step:
            self.scheduler_.step()

    def on_epoch_end(self, net, **kwargs):
        net.history.record("learning_rate", net.optimizer_.param_groups[0]["lr"])
        if self.scheduler_ is not None and not self.schedule.every_step:
            row = net.history[-1]
            loss = [row.get("valid_loss", row["train_loss"])]
            self.scheduler_.step(*(loss if self.schedule.needs_loss else []))

    def on_train_end(self, net, **kwargs):
        self.scheduler_ = None

    def __getstate__(self):
        # A checkpoint may pickle the net in the middle of a training, which ends for the copy.
        return super().__getstate__() | {"scheduler_": None}


class NoiseLevel(Stored, Callback):
    """Measure the reconstruction error before each epoch, by which corruptions set their size."""

    def on_epoch_begin(self, net, dataset_train=None, **kwargs):
        measure_error(net, dataset_train)


class Progress(Stored, Callback):
    """Tell the net which fraction of the training is over, for penalties that change with it."""

    def on_train_begin(self, net, **kwargs):
        self.step_ = 0

    def on_epoch_begin(self, net, dataset_train=None, **kwargs):
        self.n_batches_ = n_batches(len(dataset_train), net.batch_size)

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        if training:
            vars(net)["progress_"] = self.step_ / self.n_batches_ / net.max_epochs
            self.step_ += 1


class BestEpoch(Stored, Callback):
    """Keep the weights of the epoch with the lowest loss on held-out rows, the start included.

    Without held-out rows the last weights stay. A training that diverges ends in an error.

    Parameters
    ----------
    start : dict or None
        The start's row of the history, where another call of ``partial_fit`` has measured it.
    fall_back : bool
        Whether the net is to be PCA for rows that it has not learnt.

    Attributes
    ----------
    started_ : float
        When the fit began, by ``time.perf_counter``.
    start_ : dict
        The start's row of the history.
    best_ : int
        The epoch whose weights the module has at the end; 0 is the start.
    fallback_ : PCAFallback or None
        That of a net that is kept, from the rows that it was trained on: rows held out judge both.
    """

    started_ = 0.0

    def __init__(self, start=None, fall_back=False):
        self.start = start
        self.fall_back = fall_back

    def initialize(self):
        self.start_ = self.start
        self.start_state_ = self.best_state_ = self.kept_ = None
        self.train_ = self.valid_ = self.fallback_ = None
        self.best_ = 0
        return self

    def on_train_begin(self, net, **kwargs):
        self.initialize()

    def measure_start(self, net, train, valid):
        """Record the losses of the start."""
        start = {"epoch": 0}
        for kind, rows in (("train", train), ("valid", valid)):
            if rows is not None:
                losses, terms = net.evaluate(rows, held_out=kind == "valid")
                start[f"{kind}_loss"] = losses.mean().item()
                start |= {f"{kind}_{name}": value for name, value in terms.items()}
        self.start_losses_ = losses
        self.best_loss_ = losses.mean().item()
        self.best_state_ = None
        self.start_state_ = None if valid is None else _copy_state(net.module_)
        start["learning_rate"] = net.optimizer_.param_groups[0]["lr"]
        self.start_ = start | {"duration": time.perf_counter() - self.started_}

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.train_, self.valid_ = dataset_train, dataset_valid
        if self.start_ is None:
            self.measure_start(net, dataset_train, dataset_valid)
            # the start has a duration of its own
            dict(net.callbacks_)["epoch_timer"].on_epoch_begin(net)

    def on_epoch_end(self, net, dataset_valid=None, **kwargs):
        row = net.history[-1]
        self._check(net, row)
        loss = row.get("valid_loss", row["train_loss"])
        if dataset_valid is None:
            self.best_ = row["epoch"]
        elif loss < self.best_loss_:
            self.best_, self.best_loss_ = row["epoch"], loss
            self.best_state_ = _copy_state(net.module_)

    def _check(self, net, row):
        start = self.start_["train_loss"]
        # The losses of a user's own may be negative.
        if not row["train_loss"] - start <= _DIVERGED * (1 + abs(start)):
            raise _diverged(net, "loss", row["train_loss"], row["epoch"])

    def on_train_end(self, net, **kwargs):
        # The net stays with the estimator, which must not hold X.
        train, valid, self.train_, self.valid_ = self.train_, self.valid_, None, None
        net.module_.refinements = net.refinements
        if self.start_state_ is not None:
            self._choose(net, train, valid)
        elif self.best_:
            self._let_fall_back(net, train)
        net.module_.fallback, net.module_.refinements = None, 0
        self.kept_ = net.history, self.best_state_ if self.best_ else self.start_state_

    def _choose(self, net, train, valid):
        if self.best_state_ is not None:
            start, of_start = self.start_losses_, net.model.module
            if of_start.fallback is not None or of_start.refinements:
                net.module_.load_state_dict(self.start_state_)
                start = self._losses(net, valid, of_start.fallback)
            net.module_.load_state_dict(self.best_state_)
            self._let_fall_back(net, train)
            if is_gain(start, self._losses(net, valid, self.fallback_)):
                return
        self.best_, self.fallback_ = 0, None
        net.module_.load_state_dict(self.start_state_)

    def _let_fall_back(self, net, train):
        if self.fall_back:
            model = net.model.with_module(net.module_)
            model.fall_back(train, net.settings.corruption, net.error_)
            self.fallback_ = model.module.fallback

    def _losses(self, net, rows, fallback):
        """Return the losses of held-out rows as they will be."""
        net.module_.fallback = on_device(fallback, net)
        return net.evaluate(rows, held_out=True)[0]

    def restore(self, net):
        """Undo what callbacks have loaded at the end: which epoch is kept is decided here."""
        if self.kept_ is not None and net.callbacks:
            net.history, weights = self.kept_
            if weights is not None:
                net.module_.load_state_dict(weights)
        self.start_state_ = self.best_state_ = self.kept_ = None

    def __getstate__(self):
        return super().__getstate__() | {"train_": None, "valid_": None, "fallback_": None}


class Patience(Stored, EarlyStopping):
    """End the training after some epochs without a fall of the loss, the start's among them."""

    # skorch's own, which is left out of the state: a function is nothing that skops trusts
    sink = print

    def __getstate__(self):
        return {k: v for k, v in super().__getstate__().items() if k != "sink"}

    def on_epoch_begin(self, net, **kwargs):
        # BestEpoch, which comes before this, has measured the start by now.
        if not math.isfinite(self.dynamic_threshold_):
            self.dynamic_threshold_ = self._calc_new_threshold(self._start(net))

    def _start(self, net):
        return dict(net.callbacks_)["best_epoch"].start_[self.monitor]

    def _calc_new_threshold(self, score):
        # The losses of a user's own may be negative.
        return score - self.threshold * abs(score)


def is_gain(start, best):
    """Return whether held-out rows are better off than at the start, beyond chance.

    The best of many epochs looks better than the start on a few rows even where it is not, and the
    start is the safe choice: it must be refuted, by a paired t test of the losses, and by one of
    their logarithms. The first is about the rows with large losses, which make up most of the mean
    where tails are heavy; the second about what is true of most rows, where no loss is negative.
    """
    start, best = start.double(), best.double()
    if not _is_lower(best, start):
        return False
    tiny = torch.finfo(torch.float32).tiny
    negative = bool((start < 0).any() or (best < 0).any())
    return negative or _is_lower((best + tiny).log(), (start + tiny).log())


def _is_lower(values, others):
    n_rows = len(values)
    if n_rows < 2:
        return False
    fall = others - values
    error = fall.std().item() / math.sqrt(n_rows)
    level = _LEVEL * min(1.0, n_rows / _MANY_ROWS)
    return fall.mean().item() > stats.t.ppf(1 - level, n_rows - 1) * error


def on_device(fallback, net):
    """Return a copy of a fallback, or None, for the module of a net."""
    return None if fallback is None else copy.deepcopy(fallback).to(net.device).float()


def _copy_state(module):
    return {key: value.clone() for key, value in module.state_dict().items()}
