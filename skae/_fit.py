"""One fit: from rows and settings to a trained autoencoder."""

import copy
import logging
import time
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from numbers import Integral, Real
from os import PathLike

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs
from scipy import sparse
from sklearn.utils import check_random_state
from skorch.callbacks import LRScheduler

from ._data.rows import Rows, is_small
from ._data.selection import (
    merge_rows,
    n_batches,
    n_held_out,
    resolve_batch_size,
    resolve_max_iter,
)
from ._model.autoencoder import MEASURED_ROWS, Autoencoder
from ._model.start import Seen, Variances, draw_seed, row_count, start
from ._model.stream import Stream, follow, move_linear_paths, seen_from_state, start_again
from ._training.callbacks import (
    BestEpoch,
    GrowingAverage,
    LearningRate,
    NoiseLevel,
    Patience,
    Progress,
    WeightAverage,
    is_gain,
    measure_error,
    on_device,
)
from ._training.checkpoint import Checkpoint
from ._training.distributed import DistributedNet, check_same, first_seed
from ._training.net import HoldOut, Net, ReconstructionLoss
from ._training.reports import EpochLog, ProgressReport, logger, reading
from ._training.state import has_weights, net_state, resume, training_params
from ._training.together import are_alike, can_be_stacked, train_together
from ._utils.registry import RegistryOptions, check_unchanged, constraints, resolve
from ._utils.sklearn import Interval, StrOptions
from ._utils.torch import (
    device_or_cpu,
    drawing_from,
    limit_threads,
    resolve_device,
    threads_for,
    to_numpy,
    to_torch,
)
from ._utils.validation import hstack
from .architectures import ACTIVATIONS, Architecture
from .architectures._custom import as_architecture
from .corruptions import Corruption
from .losses import Loss, SquaredError
from .optimizers import Optimizer
from .penalties import Penalty
from .schedules import Schedule

# Training rows whose codes are kept, and their entries at most.
_KEPT_ROWS, _MOST_ENTRIES = 2000, 2**21

# The parameters that a net is built from.
_PARTS = (
    "n_components",
    "architecture",
    "hidden_layer_sizes",
    "activation",
    "input_shape",
    "loss",
    "init",
)

# A row may count so often; larger weights, and very small ones, can only be relative.
_MOST_OFTEN = 1e9
# Rows may weigh so little that the scale is not about them.
_LEAST_WEIGHT = 1e-20

# What both estimators take. The detector adds its own.
PARAMETER_CONSTRAINTS: dict = {
    "n_components": [
        Interval(Integral, 1, None, closed="left"),
        Interval(Real, 0, 1, closed="neither"),
        None,
    ],
    # also what stands for one: an nn.Module class, or a pair of modules
    "architecture": [*constraints(Architecture), type, tuple],
    "hidden_layer_sizes": ["array-like", StrOptions({"auto"})],
    "activation": [RegistryOptions(ACTIVATIONS, {"swish": "silu", "logistic": "sigmoid"})],
    "input_shape": [tuple, list, None],
    "penalty": [*constraints(Penalty), None],
    "corruption": [*constraints(Corruption), None],
    "loss": constraints(Loss),
    "init": [StrOptions({"pca", "random"})],
    "optimizer": constraints(Optimizer),
    "learning_rate": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
    "schedule": [*constraints(Schedule), None],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "gradient_clip": [Interval(Real, 0, None, closed="neither"), None],
    "trim": [Interval(Real, 0, 1, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left"), None],
    "max_iter": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "warm_start": ["boolean"],
    "callbacks": [list, tuple, None],
    "checkpoint": [str, PathLike, None],
    "device": [str, torch.device],
    "distributed": ["boolean"],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


@dataclass
class Settings:
    """The parameters in `PARAMETER_CONSTRAINTS`, and the strategies that they stand for."""

    params: dict

    def __post_init__(self):
        params = self.params
        vars(self).update(params)
        self.architecture = resolve_architecture(params["architecture"])
        self.loss = resolve(Loss, params["loss"])
        self.optimizer = resolve(Optimizer, params["optimizer"])
        self.corruption, self.penalty, self.schedule = (
            None if params[name] is None else resolve(kind, params[name])
            for name, kind in (
                ("corruption", Corruption),
                ("penalty", Penalty),
                ("schedule", Schedule),
            )
        )
        largest = float(np.finfo(np.float32).max)
        for name, value in (("alpha", self.alpha), ("learning_rate", self.rate)):
            if value > largest:
                raise ValueError(
                    f"The {name!r} parameter must be a float of at most {largest:.2g}, the largest "
                    f"that the nets compute with, got {value!r}."
                )
        if params["init"] == "pca" and not self.architecture.linear_path:
            raise ValueError(
                "init='pca' needs an architecture with linear_path=True. Pass init='random' with "
                f"architecture={self.architecture!r}."
            )
        if self.penalty is not None:
            self.penalty.check(self.loss, self.architecture)

    def going_on(self, new, one_pass):
        """Return the settings with which a fit with new ones goes on from a fit with these.

        A parameter that is a part of the net cannot change; another pass has the others of the
        first, but for those that a pass can change.
        """
        for name in _PARTS:
            part = "hidden_sizes" if name == "hidden_layer_sizes" else name
            check_unchanged(name, getattr(self, part), getattr(new, part), one_pass)
        if not one_pass:
            return new
        other = copy.copy(self)
        own = {name: new.params[name] for name in ("batch_size", "learning_rate", "max_iter")}
        other.params = self.params | own
        vars(other).update(own)
        return other

    @property
    def hidden_sizes(self):
        """The widths of the hidden layers."""
        if isinstance(self.hidden_layer_sizes, str):
            return self.architecture.default_sizes
        return tuple(int(width) for width in self.hidden_layer_sizes)

    @property
    def rate(self):
        """The largest learning rate."""
        if self.learning_rate == "auto":
            return self.architecture.rate * self.optimizer.default_learning_rate
        return float(self.learning_rate)


@dataclass
class Fitted:
    """What a fit returns.

    `model` is what predicts, and `learner` what another pass goes on from: the same, or the model
    is the start of a stream. `seen` is what is known of all rows so far, `missing` is that of
    `ReconstructionLoss`, and `best` the epoch whose weights the model has. A warm start draws from
    `generator`, and its held-out rows are drawn from `split_generator`.
    """

    model: Autoencoder
    learner: Autoencoder
    seen: Seen
    net: Net
    settings: Settings
    missing: float
    history: list
    best: int
    generator: np.random.Generator
    split_generator: np.random.Generator
    variances: Variances | None = None

    def to_state(self):
        """Return the state as NumPy arrays, strategies and plain Python, free of any device."""
        return vars(self) | {
            "model": self.model.to_state(),
            "learner": None if self.learner is self.model else self.learner.to_state(),
            "seen": asdict(self.seen),
            "net": to_numpy(net_state(self.net)),
            "settings": vars(self.settings),
            "training": training_params(self.net),
            "variances": self.variances and vars(self.variances),
        }

    def stored_with(self, callbacks):
        """Return what is stored of this: without callbacks where the estimator has none now."""
        if callbacks or not self.settings.callbacks:
            return self
        settings, net = copy.copy(self.settings), object.__new__(type(self.net))
        settings.callbacks, settings.params = None, settings.params | {"callbacks": None}
        vars(net).update(vars(self.net), callbacks=[], callbacks_=self.net.own_callbacks)
        return replace(self, settings=settings, net=net)

    @classmethod
    def from_state(cls, state):
        """Return what a state was made of."""
        state, settings = dict(state), Settings.__new__(Settings)
        # models stored by earlier versions have no checkpoint and no refined codes
        earlier = {"checkpoint": None, "transform_max_iter": 0}
        vars(settings).update(earlier | state["settings"])
        model = learner = Autoencoder.from_state(state["model"])
        if state["learner"] is not None:
            learner = Autoencoder.from_state(state["learner"])
        # earlier versions have another name for it
        seen = seen_from_state(state.pop("stream") if "stream" in state else state["seen"])
        own_state = to_torch(state["net"])
        training = {"refinements": 0} | state.pop("training")
        own = dict(training.pop("own"))
        if own_state["average"]:
            own["average"] = GrowingAverage(**own_state["average"])
        # The device of the fit may not be there.
        device = device_or_cpu(settings.device)
        net = _build_net(settings, learner, state["missing"], own, device=device, **training)
        resume(net, own_state)
        if state["variances"]:
            state["variances"] = Variances(**state["variances"])
        restored = {"model": model, "learner": learner, "seen": seen}
        return cls(**state | restored | {"net": net, "settings": settings})


class Training:
    """A net that is ready to be trained on rows.

    The generator is NumPy's; `fitted_now` returns what a fit would that ends now, for `tasks`.
    """

    def __init__(self, net, rows, generator, tasks, fitted_now, checkpoint):
        self.net = net
        self.rows = rows
        self.tasks = tasks
        self.fitted_now = fitted_now
        self.best = dict(net.callbacks_)["best_epoch"]
        self.seed = draw_seed(generator) if net.max_epochs else None
        self.checkpoint = checkpoint

    def begin(self):
        """Tell scikit-learn's callbacks of it."""
        if self.tasks is not None:
            self.tasks.enter(self.net, self.fitted_now)

    def run(self):
        """Train the net by skorch's own loop, on the threads that a step of it is worth."""
        net, rows = self.net, self.rows
        self.begin()
        if net.max_epochs == 0:
            with limit_threads(1):
                train, valid = net.get_split_datasets(rows)
                self.best.measure_start(net, train or rows, valid)
        else:
            source = torch.Generator().manual_seed(self.seed)
            draws = drawing_from(source) if net.model.architecture.draws else nullcontext()
            with limit_threads(threads_for(net.batch_size * net.model.n_weights)), draws:
                if self.checkpoint is not None:
                    self.checkpoint(source).train(net, rows)
                elif isinstance(net, DistributedNet):
                    net.fit_together(rows)
                else:
                    net.partial_fit(rows)
        self.end()

    def end(self):
        """Let a net that is trained have the weights to keep."""
        if self.best.start_ is None:
            # It was interrupted before there was anything to keep.
            raise KeyboardInterrupt
        if self.net.max_epochs:
            self.best.restore(self.net)
            if self.net.train_split is None:
                # The last step is in no loss yet.
                measure_error(self.net, self.rows)
        if self.tasks is not None:
            self.tasks.leave(self.net)


def fit_autoencoder(*args, **kwargs):
    """Train an autoencoder and return what was fitted. The arguments are those of `_fitting`."""
    fit = _fitting(*args, **kwargs)
    return _trained(fit, next(fit))


def fit_autoencoders(calls, n_jobs):
    """Train several autoencoders, by the arguments of a call of `fit_autoencoder` each.

    Small nets of one kind are trained step by step beside each other, others `n_jobs` at a time.
    """
    fits = [_fitting(**call) for call in calls]
    first = next(fits[0])
    if effective_n_jobs(n_jobs) > 1 and not can_be_stacked(first.net):
        # The steps of small nets are mostly Python, which threads would take turns at.
        return Parallel(n_jobs)(delayed(fit_autoencoder)(**call) for call in calls)
    trainings = [first, *map(next, fits[1:])]
    nets = [training.net for training in trainings]
    if are_alike(nets):
        for training in trainings:
            training.begin()
        # What is interrupted keeps its best epoch.
        with suppress(KeyboardInterrupt):
            for error in filter(None, _train_together(trainings)):
                raise error
        for training in trainings:
            training.end()
        return [_returned(fit) for fit in fits]
    return [_trained(fit, training) for fit, training in zip(fits, trainings, strict=True)]


def fit_side_by_side(calls):
    """Train several autoencoders at once, by the arguments of a call of `fit_autoencoder` each.

    Returns what was fitted, and None where a net has to be fitted alone: because it cannot be
    trained beside others, or because its fit fails, which will then say why.
    """
    found, started = [None] * len(calls), []
    for i, call in enumerate(calls):
        settings = call["settings"]
        if settings.distributed or settings.callbacks:
            continue
        fit = _fitting(**call)
        with suppress(Exception):
            training = next(fit)
            if can_be_stacked(training.net):
                started.append((i, fit, training))
    errors = _train_together([training for _, _, training in started])
    for (i, fit, training), error in zip(started, errors, strict=True):
        if error is None:
            with suppress(Exception):
                training.end()
                found[i] = _returned(fit)
    return found


def _train_together(trainings):
    """Train nets that can be stacked, and return what has ended the training of each, or None."""
    nets = [training.net for training in trainings]
    with limit_threads(threads_for(sum(net.batch_size * net.model.n_weights for net in nets))):
        return train_together(nets, [training.rows for training in trainings])


def _trained(fit, training):
    training.run()
    return _returned(fit)


def _returned(fit):
    """Return what a generator returns after its only `yield`."""
    try:
        next(fit)
    except StopIteration as end:
        return end.value


def _fitting(
    X,
    sample_weight,
    settings,
    previous=None,
    one_pass=False,
    keep_codes=True,
    target=None,
    tasks=None,
):
    """Yield a `Training`, and return what was fitted when it is done.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    sample_weight : ndarray of shape (n_samples,) or None
    settings : Settings
    previous : Fitted or None
        What to go on from; it stays as it is.
    one_pass : bool
        Whether to train on every row once, at a constant rate, with the optimizer as it is.
    keep_codes : bool
        Whether codes of training rows are to be kept, and the variances to be measured.
    target : ndarray or CSR matrix of the shape of X, or None
        What is to be reconstructed; None is X itself.
    tasks : EpochTasks or None
        Whether and how scikit-learn's callbacks are told of the epochs.
    """
    started = time.perf_counter()
    if sample_weight is not None and not 1 / _MOST_OFTEN < sample_weight.max() < _MOST_OFTEN:
        # They are relative: by a power of two the largest becomes about one, to the last bit.
        sample_weight = np.ldexp(sample_weight, -np.frexp(sample_weight.max())[1])
    if settings.distributed:
        check_same(settings, X, sample_weight, previous, target)
    shown = settings.verbose == 1 and not one_pass
    with limit_threads(1), reading(X.shape[0]) if shown else nullcontext():
        begun = _begin(X, sample_weight, settings, previous, one_pass, target)
    refinements = _refinements(begun, settings) if keep_codes else 0
    if one_pass:
        net = _net_of_a_pass(begun, settings, previous, refinements)
    else:
        net = _net_of_a_fit(begun, settings, previous, keep_codes, refinements)
    dict(net.callbacks_)["best_epoch"].started_ = started
    if _is_judged(begun.seen, settings, one_pass):
        # A chunk of a stream is unseen before it is trained on.
        begun.seen.judge(net, begun.rows, start_again(begun.model, begun.seen))
    checkpoint = None
    if settings.checkpoint is not None and not one_pass:
        data = X, sample_weight, target
        checkpoint = partial(Checkpoint, settings.checkpoint, settings.params, data)
    now = partial(_fitted_now, begun, net)
    yield Training(net, begun.rows, begun.generator, tasks, now, checkpoint)
    fitted = _finish(begun, net, one_pass, keep_codes)
    if tasks is not None:
        tasks.end(fitted)
    history, kept = fitted.history, fitted.history[fitted.best]
    logger.info(
        "fitted to %d rows in %.3g s: epoch %d of %d is kept, with a loss of %.4g; "
        "the start's: %.4g",
        begun.n_rows,
        time.perf_counter() - started,
        fitted.best,
        history[-1]["epoch"],
        kept.get("valid_loss", kept["train_loss"]),
        history[0].get("valid_loss", history[0]["train_loss"]),
    )
    return fitted


@dataclass
class _Begun:
    """What a training begins with; for the names see `Fitted`."""

    n_rows: float
    rows: Rows
    model: Autoencoder
    seen: Seen
    missing: float
    generator: np.random.Generator
    split_generator: np.random.Generator


def _begin(X, sample_weight, settings, previous, one_pass, target):
    """Return what a training begins with."""
    index, weight = merge_rows(X if target is None else hstack(X, target), sample_weight)
    n_rows = X.shape[0] if sample_weight is None else sample_weight.sum()
    # What the loss learns of rows must not depend on their order, where a copy is cheap.
    ordered = X[index] if sparse.issparse(X) or is_small(X) else X
    distinct = X, index, weight
    if previous is None:
        begun = _first(distinct, n_rows, ordered, settings)
        if one_pass:
            begun.seen = Stream.after_fit(begun.seen)
    elif one_pass:
        begun = _next_chunk(distinct, n_rows, ordered, settings, previous)
    else:
        begun = _again(distinct, n_rows, ordered, settings, previous)
    rows, model = begun.rows, begun.model
    is_light = weight is not None and weight.min() < _LEAST_WEIGHT * weight.sum()
    if is_light or (previous and not one_pass):
        rows.check_distances()
    if target is not None:
        rows.clean = _clean_rows(target, rows, model.loss)
    if settings.corruption is not None and not (previous and one_pass):
        transform = model.standardization.transform
        settings.corruption.fit(rows.n_features, rows.extremes, transform)
    return begun


def _first(distinct, n_rows, ordered, settings):
    """Begin with a net that is PCA, or random."""
    generator = new_generator(settings)
    settings.loss.fit(ordered)
    rows = Rows(*distinct, settings.loss.preparation)
    missing = 1.0 if settings.architecture.padded else rows.missing
    limit = min(distinct[0].shape[0], rows.n_features)
    model, components, singular = start(rows, settings, missing, limit, generator)
    seen = Seen.of(rows, n_rows, components, singular)
    return _Begun(n_rows, rows, model, seen, missing, generator, copy.deepcopy(generator))


def _again(distinct, n_rows, ordered, settings, previous):
    """Begin with the net that predicts: a warm start."""
    model = previous.model.with_penalty(settings.penalty)
    model.loss.check(ordered)
    same = previous.model is previous.learner
    seen = copy.copy(previous.seen) if same else previous.seen.untrained()
    return _going_on(distinct, n_rows, model, seen, previous)


def _next_chunk(distinct, n_rows, ordered, settings, previous):
    """Begin with the net that learns from a stream, moved to what the stream has become."""
    model = previous.learner.with_penalty(settings.penalty)
    model.loss.check(ordered)
    before, rows = Stream.after_fit(previous.seen), Rows(*distinct, model.loss.preparation)
    after = before.after(rows, n_rows, model.n_components)
    return _going_on(distinct, n_rows, follow(model, before, after), after, previous)


def _going_on(distinct, n_rows, model, seen, previous):
    rows = Rows(*distinct, model.loss.preparation, model.standardization)
    missing = 1.0 if model.architecture.padded else rows.missing
    generator = copy.deepcopy(previous.generator)
    return _Begun(n_rows, rows, model, seen, missing, generator, previous.split_generator)


def _finish(begun, net, one_pass, keep_codes):
    """Return what was fitted, when the training is done."""
    best = dict(net.callbacks_)["best_epoch"]
    rows, model, seen, settings = begun.rows, begun.model, begun.seen, net.settings
    n_best = len(net.history) if one_pass else best.best_
    # A callback may have loaded other weights before the first epoch.
    changed = n_best > 0 or (net.callbacks and not has_weights(net, model))
    if changed:
        model = model.with_module(net.module_)
        seen.trained = True
        if not one_pass:
            # It has chosen by rows that it held out.
            seen.losses = None
    elif not seen.trained:
        model.keep_start()
    if changed:
        # PCA's codes are the best ones
        model.module.refinements = net.refinements
    learner, variances = model, None
    if _is_judged(seen, settings, one_pass) and not is_gain(*torch.from_numpy(seen.losses)):
        model, n_best = start_again(model, seen), 0
    if not isinstance(model.loss, SquaredError):
        # By another loss PCA's codes are not the best ones, and are kept all the same.
        net.refinements = model.module.refinements
    if keep_codes:
        with limit_threads(1):
            if best.fallback_ is not None:
                model.module.fallback, best.fallback_ = best.fallback_, None
            net.module_.fallback = on_device(model.module.fallback, net)
            # PCA's are exact. Those of a trained net are found where it was trained, and quicker.
            trained = changed and model is learner
            module = net.module_ if trained else model.module
            most = _KEPT_ROWS if one_pass else MEASURED_ROWS if trained else len(rows)
            net.module_.refinements = model.module.refinements
            model.keep_codes(_some(rows), module)
            variances = Variances.of(rows.some(most), module, row_count(rows))
            net.module_.refinements = 0
    return Fitted(
        model,
        learner,
        seen,
        net,
        settings,
        begun.missing,
        [best.start_, *_history(net)],
        n_best,
        begun.generator,
        begun.split_generator,
        variances,
    )


def _refinements(begun, settings):
    """Return by how many steps codes are refined: not where they are more than good codes."""
    corruption, module = settings.corruption, begun.model.module
    free = settings.penalty is None and not (corruption and corruption.denoises)
    same = begun.rows.clean is None
    return settings.transform_max_iter if free and same and module.can_refine() else 0


def _is_judged(seen, settings, one_pass):
    """Return whether PCA and the net are compared by the chunks of a stream."""
    return one_pass and settings.early_stopping and seen.trained and seen.losses is not None


def _fitted_now(begun, net):
    """Return what predicts as a net does in the middle of its training."""
    model = net.model.with_module(net.module_)
    model.module.refinements = net.refinements
    with limit_threads(1):
        model.keep_codes(_some(begun.rows), model.module)
    history = [dict(net.callbacks_)["best_epoch"].start_, *_history(net)]
    state = net.settings, net.criterion_.missing, history, len(net.history)
    return Fitted(model, model, begun.seen, net, *state, begun.generator, begun.split_generator)


def resolve_architecture(value):
    """Return a new, validated architecture for a name, an object, a class or a pair of modules."""
    wrapped = as_architecture(value) if isinstance(value, tuple | type) else value
    return resolve(Architecture, wrapped)


def new_generator(params):
    """Return a generator of its own, seeded by `params.random_state` or by the system."""
    seed = params.random_state
    if seed is not None:
        seed = int(check_random_state(seed).randint(np.iinfo(np.int32).max))
    return np.random.default_rng(first_seed(params, seed) if params.distributed else seed)


def _clean_rows(target, rows, loss):
    """Return what is to be reconstructed of rows, where it is not the rows themselves."""
    if not loss.preparation.is_identity:
        raise ValueError(
            f"target needs a loss that takes rows as they are, and loss={loss!r} prepares them. "
            "Pass a loss of entries, such as 'squared_error'."
        )
    loss.check(target)
    return Rows(target, rows.index, None, loss.preparation, rows.standardization)


def _some(rows):
    """Return some rows, standardized and in float64: all, if they are few."""
    n_rows, weight = len(rows), rows.weight
    p = None if weight is None else weight / weight.sum()
    kept = min(n_rows, _KEPT_ROWS, max(1, _MOST_ENTRIES // rows.n_features))
    some = np.random.default_rng(0).choice(n_rows, kept, p is not None, p)
    return torch.from_numpy(rows.array(np.sort(some)).astype(np.float64))


# -- the training ----------------------------------------------------------------------------------


def _net_of_a_fit(begun, settings, previous, fall_back, refinements):
    """Return the net that trains for all epochs."""
    rows, generator = begun.rows, begun.generator
    n_train, split = len(rows), None
    if settings.early_stopping:
        n_train -= n_held_out(len(rows), settings.validation_fraction)
        split = HoldOut(settings.validation_fraction, begun.split_generator)
        if previous is None:
            # A warm start holds out the same of the same rows: those it was not trained on.
            generator.permutation(len(rows))
    batch_size = resolve_batch_size(settings.batch_size, max(n_train, 1), settings.max_iter)
    own = {
        "average": None if split is None else WeightAverage(),
        "best_epoch": BestEpoch(fall_back=fall_back),
        "learning_rate": LearningRate(None if _has_scheduler(settings) else settings.schedule),
        "noise_level": None if settings.corruption is None else NoiseLevel(),
        "progress": None if settings.penalty is None else Progress(),
        "report": ProgressReport() if settings.verbose else None,
        "log": EpochLog() if logger.isEnabledFor(logging.DEBUG) else None,
        "early_stopping": Patience(
            "train_loss" if split is None else "valid_loss",
            patience=settings.n_iter_no_change,
            threshold=settings.tol,
        ),
    }
    n = n_batches(n_train, batch_size)
    return _build_net(
        settings,
        begun.model,
        begun.missing,
        own,
        lr=settings.rate,
        # A single distinct row leaves nothing to learn beyond its mean.
        max_epochs=resolve_max_iter(settings.max_iter, n) if n_train else 0,
        batch_size=batch_size,
        train_split=split,
        seed=draw_seed(generator),
        refinements=refinements,
    )


def _net_of_a_pass(begun, settings, previous, refinements):
    """Return the net that trains on every row once, and goes on from the last pass.

    The rate is constant, the mean of one that rises to the full rate and falls again, as in `fit`.
    What predicts is the running mean of the weights, which the steps themselves do not use.
    """
    params = {
        "lr": settings.rate / 2,
        "max_epochs": min(1, resolve_max_iter(settings.max_iter, 1)),
        "train_split": None,
        "batch_size": resolve_batch_size(settings.batch_size, len(begun.rows), max_iter=1),
        "seed": draw_seed(begun.generator),
        "refinements": refinements,
    }
    average, start = {}, None
    if previous is not None:
        state, start = net_state(previous.net), previous.history[0]
        average = dict(state["average"])
        if average.get("weights"):
            average["weights"] = copy.deepcopy(average["weights"])
            move_linear_paths(average["weights"], Stream.after_fit(previous.seen), begun.seen)
        # A copy goes on where it is, and the device of the fit may not be there.
        params |= {"kept": previous.net.user_callbacks(), "device": previous.net.device}
    own = {
        "average": GrowingAverage(**average),
        "best_epoch": BestEpoch(start),
        "learning_rate": LearningRate(None),
        "noise_level": None if settings.corruption is None else NoiseLevel(),
    }
    net = _build_net(settings, begun.model, begun.missing, own, **params)
    if previous is not None:
        resume(net, state)
    if not _has_scheduler(settings):
        for group in net.optimizer_.param_groups:
            group["lr"] = net.lr
    return net


def _build_net(settings, model, missing, own, *, device=None, kept=None, **params):
    """Build the skorch net around a float32 copy of the model's module.

    `own` are the callbacks that are not the user's, and None where there is none; `kept` are the
    user's with their names, where they have begun already. The other parameters are the net's.
    """
    callbacks = list(settings.callbacks or ())
    module = copy.deepcopy(model.module).float()
    module.refinements = 0
    net = (DistributedNet if settings.distributed else Net)(
        module,
        ReconstructionLoss(model.loss, missing),
        model=model,
        settings=settings,
        own_callbacks=[(name, c) for name, c in own.items() if c is not None],
        callbacks=callbacks if kept is None else [],
        device=device or resolve_device(settings.device),
        **params,
    )
    net.initialize()
    if kept is not None:
        net.take_callbacks(callbacks, kept)
    return net


def _has_scheduler(settings):
    """Return whether a callback of the user's sets the learning rate."""
    callbacks = [c[-1] if isinstance(c, tuple | list) else c for c in settings.callbacks or ()]
    kinds = [c if isinstance(c, type) else type(c) for c in callbacks]
    return any(issubclass(kind, LRScheduler) for kind in kinds)


def _history(net):
    """Return the rows of the history, without the batches and what skorch keeps for itself."""
    left_out = ("batches", "train_batch_count", "valid_batch_count")
    left_out += ("train_loss_best", "valid_loss_best")
    renamed = {"dur": "duration"}
    return [
        {
            renamed.get(key, key): value.item() if isinstance(value, np.generic) else value
            for key, value in row.items()
            if key not in left_out
        }
        for row in net.history
    ]
