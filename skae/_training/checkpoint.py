"""A file from which a training that was killed goes on, to the same bits."""

import io
import os
import time
import warnings
from numbers import Integral
from pathlib import Path

import joblib
import numpy as np
import torch
from skorch.callbacks import Callback

from .._utils.files import written_whole
from .._version import __version__
from .reports import logger

# A file is written after an epoch once this many times the time that the last writing took is over.
_RARELY = 20
# What callbacks hold that belongs to one process, or is made anew when a training begins.
_PASSING = {"train_", "valid_", "current_", "bar_", "scheduler_", "epoch_", "fitted_now_"}
# Parameters that change nothing of what is learnt.
_WITHOUT_EFFECT = {"checkpoint", "verbose", "n_jobs"}


def check_checkpoint(params, resumed):
    """Check that a fit with some parameters can be resumed from a file.

    `resumed` says whether it goes on from an earlier fit.
    """
    path, seed = Path(params["checkpoint"]), params["random_state"]
    reasons = {
        f"random_state to be an int, got {seed!r}": not isinstance(seed, Integral),
        "callbacks=None, as what callbacks hold cannot be resumed": params["callbacks"],
        "distributed=False": params["distributed"],
        "warm_start=False, or an estimator that is not fitted yet": resumed,
    }
    for reason, holds in reasons.items():
        if holds:
            raise ValueError(f"checkpoint={str(path)!r} needs {reason}.")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ValueError(
            f"checkpoint={str(path)!r} must be a file in a folder that can be written to."
        )


def fold_checkpoint(path, fold):
    """Return the file of the training on a fold."""
    return f"{os.fspath(path)}.{fold}"


def remove_checkpoints(path, n_folds=0):
    """Remove the files of a fit, or of its trainings on folds, when it has ended."""
    for own in [path, *(fold_checkpoint(path, fold) for fold in range(n_folds))]:
        Path(own).unlink(missing_ok=True)


class Checkpoint(Callback):
    """Write the state of a training to a file, and let a training of the same go on from it.

    It comes before all other callbacks: the state at the beginning of an epoch is that at the end
    of the last one.

    Parameters
    ----------
    path : path-like
        The file.
    params : dict
        The parameters of the fit.
    data : tuple
        The arrays that the net is fitted to.
    draws : torch.Generator
        What layers draw from that have no generator of their own.
    """

    def __init__(self, path, params, data, draws):
        self.path = Path(path)
        known = {key: value for key, value in params.items() if key not in _WITHOUT_EFFECT}
        self.made_of = {
            "data": joblib.hash(data),
            "parameters": joblib.hash(known),
            "versions": f"skae {__version__}, torch {torch.__version__}",
        }
        self.draws = draws
        self.state_ = self._read() if self.path.exists() else None
        self.n_epochs_ = len(self.state_["history"]) if self.state_ else 0
        self.next_ = 0.0

    def _read(self):
        try:
            # weights_only: tensors and plain values are read, and no code is run
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            made_of = {name: state["made_of"][name] for name in self.made_of}
        except Exception as error:
            raise ValueError(
                f"checkpoint={str(self.path)!r} is no checkpoint of skae, or is damaged "
                f"({type(error).__name__}). Delete it to train from the start."
            ) from error
        for name, value in self.made_of.items():
            if made_of[name] != value:
                raise ValueError(
                    f"checkpoint={str(self.path)!r} belongs to a fit with other {name}. Pass "
                    "another file, or delete this one to train from the start."
                )
        return state

    def on_epoch_begin(self, net, **kwargs):
        began = time.perf_counter()
        if self.state_ is not None:
            self._restore(net, **kwargs)
        elif len(net.history) > 1 and began >= self.next_:
            self._write(net)
            now = time.perf_counter()
            self.next_ = now + _RARELY * (now - began)

    def _restore(self, net, **kwargs):
        state, self.state_ = self.state_, None
        net.history.pop()
        for row in state["history"]:
            net.history.new_epoch()
            for key, value in row.items():
                net.history.record(key, value)
        net.on_epoch_begin(net, **kwargs)
        callbacks = dict(net.callbacks_)
        # makes the scheduler, which sets a rate of its own
        callbacks["learning_rate"].on_epoch_begin(net, **kwargs)
        if state["scheduler"] is not None:
            callbacks["learning_rate"].scheduler_.load_state_dict(state["scheduler"])
        for name, own in state["callbacks"].items():
            vars(callbacks[name]).update(own)
        average = callbacks.get("average")
        if average is not None and average.average_ is not None:
            average.average_ = [part.to(net.device) for part in average.average_]
        if "report" in callbacks and callbacks["report"].bar_ is not None:
            callbacks["report"].bar_.update(self.n_epochs_)
        net.module_.load_state_dict(state["weights"])
        for optimizer, own in zip(net.optimizers(), state["optimizers"], strict=True):
            optimizer.load_state_dict(own)
        logger.info("going on after epoch %d, from %s", self.n_epochs_, self.path)
        net.generator_.set_state(state["generator"])
        self.draws.set_state(state["draws"])

    def _write(self, net):
        scheduler = dict(net.callbacks_)["learning_rate"].scheduler_
        state = {
            "made_of": self.made_of,
            "history": [_plain(row, {"batches"}) for row in net.history[:-1]],
            "callbacks": {
                name: _plain({k: v for k, v in vars(callback).items() if k.endswith("_")}, _PASSING)
                for name, callback in net.callbacks_
                if callback is not self
            },
            "scheduler": None if scheduler is None else _plain(scheduler.state_dict()),
            "weights": net.module_.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in net.optimizers()],
            "generator": net.generator_.get_state(),
            "draws": self.draws.get_state(),
        }
        # A full disk is an OSError of Python's own, and none of torch's.
        data = io.BytesIO()
        torch.save(state, data)
        try:
            with (
                written_whole(self.path, f"{self.path.name}.unfinished") as unfinished,
                unfinished.open("wb") as file,
            ):
                file.write(data.getbuffer())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            warnings.warn(
                f"The checkpoint {str(self.path)!r} was not written: {error.strerror or error}. "
                "The training goes on, and the file stays as it was.",
                stacklevel=2,
            )

    def train(self, net, rows):
        """Train a net on rows for the epochs that are left, or raise what has interrupted it."""
        net.callbacks_.insert(0, ("checkpoint", self))
        try:
            net.partial_fit(rows, epochs=net.max_epochs - self.n_epochs_)
        finally:
            net.callbacks_.remove(("checkpoint", self))
        patience = dict(net.callbacks_)["early_stopping"]
        if len(net.history) < net.max_epochs and patience.misses_ < patience.patience:
            raise KeyboardInterrupt


def _plain(values, left_out=frozenset()):
    """Return a dict without NumPy's scalars, which are no plain values to torch."""
    return {
        key: value.item() if isinstance(value, np.generic) else value
        for key, value in values.items()
        if key not in left_out
    }
