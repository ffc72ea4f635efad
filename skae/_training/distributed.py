"""Training steps that several processes take together, by Hugging Face Accelerate.

Every process holds the same rows and does the same: the start, the losses of held-out rows, the
callbacks. Only the gradient of a batch is computed in parts.
"""

import functools
import math
import os
import re
import warnings
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from importlib.util import find_spec
from types import SimpleNamespace

import joblib
import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from .._utils.torch import drawing_from, resolve_device
from .net import Net, _influence

# After this time without an answer another process counts as failed.
_TIMEOUT = timedelta(seconds=45)
# Rows and entries of X that are compared between the processes at most.
_COMPARED_ROWS, _COMPARED_ENTRIES = 4096, 2**22
# Parameters that may differ: the first process's seed counts, and the others do not change the fit.
_OWN = {"callbacks", "device", "random_state", "verbose"}


class DistributedNet(Net):
    """A net whose steps several processes take together in `fit_together`, and in nothing else."""

    team_ = None

    def fit_together(self, rows):
        """Train as `partial_fit` does, together with the processes launched with this one."""
        from accelerate import Accelerator, PartialState

        state, verbose = PartialState(), self.verbose
        if state.num_processes == 1:
            return self.partial_fit(rows)
        _check_net(self, state.num_processes)
        cpu = state.device.type == "cpu"
        with _preserved():
            accelerator = Accelerator(device_placement=False, mixed_precision="no", cpu=cpu)
            wrapper = accelerator.prepare(_Losses(self))
        masks = torch.Generator().manual_seed(self.seed + state.process_index)
        self.team_ = SimpleNamespace(losses=wrapper.__call__, state=state, masks=masks)
        self.own_, self.stopped_, self.ends_ = None, False, False
        self.verbose = verbose if state.is_main_process else 0
        try:
            return self.partial_fit(rows)
        finally:
            self.team_, self.verbose = None, verbose

    def train_step_single(self, batch, **fit_params):
        if self.team_ is None:
            return super().train_step_single(batch, **fit_params)
        state, (rows, _) = self.team_.state, batch
        # What is drawn is drawn for the whole batch, as one process would.
        seen = self.seen_in_training(rows["x"])
        self.n_rows_ = len(seen)
        with state.split_between_processes(torch.arange(len(seen), device=seen.device)) as own:
            self.own_ = own
        part = {name: values[own] for name, values in rows.items()}
        with drawing_from(self.team_.masks) if self.model.architecture.draws else nullcontext():
            losses, terms, eta = self.team_.losses(part, seen[own], self.generator_)
        terms = {name: term * (len(own) / len(seen)) for name, term in terms.items()}
        whole, terms = _exchange("reduce", (self._amid_zeros(losses.detach()), terms), "sum")
        influence = torch.ones_like(whole)
        if self.settings.trim:
            influence = _influence(whole, rows.get("sample_weight"), self.settings.trim)
        # The wrapper takes the mean of the gradients of all processes.
        loss = (losses * influence[own]).sum() * (state.num_processes / len(seen))
        self.flat_.zero_grad()
        with _answered():
            loss.backward()
        self.own_ = None
        return {"loss": (whole * influence).mean(), "y_pred": eta.detach(), **terms}

    def coded(self, encoded):
        if self.team_ is None or self.own_ is None:
            return super().coded(encoded)
        # As much is drawn as for the whole batch.
        names = ("x", "code", "extra")
        whole = {name: self._amid_zeros(getattr(encoded, name)) for name in names}
        code, terms = super().coded(replace(encoded, **whole))
        return code[self.own_], {name: term[self.own_] for name, term in terms.items()}

    def _amid_zeros(self, own):
        return own.new_zeros(self.n_rows_, *own.shape[1:]).index_copy(0, self.own_, own)

    def losses_of(self, rows, seen, generator=None, training=True):
        losses, terms, eta = super().losses_of(rows, seen, generator, training)
        if self.team_ is not None and not training:
            # Later decisions depend on these, and must be the same in all processes.
            losses, terms = _exchange("broadcast", (losses, terms))
        return losses, terms, eta

    def notify(self, method_name, **cb_kwargs):
        if self.team_ is None or method_name in ("on_train_begin", "on_train_end"):
            super().notify(method_name, **cb_kwargs)
            return
        error = None
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt:
            # All processes end together, after the epoch.
            self.stopped_ = True
        except Exception as caught:
            if method_name != "on_epoch_end":
                raise
            error = caught
        if method_name == "on_epoch_end":
            self._end_epoch(error)

    def _end_epoch(self, error):
        """Tell the other processes how this one has ended its epoch, and end with those that do."""
        text = None if error is None else f"{type(error).__name__}: {error}"
        everyone = _exchange("gather_object", [(text, self.stopped_)])
        failed = [f"process {i} ended by {text}" for i, (text, _) in enumerate(everyone) if text]
        if failed:
            self.team_ = None
            raise error or RuntimeError(f"The distributed fit failed: {failed[0]}")
        if any(stopped for _, stopped in everyone):
            self.ends_ = True
            raise KeyboardInterrupt

    def fit_loop(self, X, y=None, epochs=None, **fit_params):
        try:
            return super().fit_loop(X, y, epochs, **fit_params)
        except BaseException as error:
            if self.team_ is not None and not self.ends_:
                # The others do not know. They wait for this process and notice that it is gone.
                self.team_ = None
                torch.distributed.destroy_process_group()
                if isinstance(error, KeyboardInterrupt):
                    raise RuntimeError("The distributed fit was interrupted here.") from error
            raise

    def __getstate__(self):
        return super().__getstate__() | {"team_": None}


class _Losses(nn.Module):
    """A net's losses of rows as the output of a module, which can be wrapped."""

    def __init__(self, net):
        super().__init__()
        # The module itself has buffers, which would be sent at each step.
        self.weights = nn.ParameterList(net.flat_.parameters)
        self.losses_of = net.losses_of

    def forward(self, rows, seen, generator):
        losses, terms, eta = self.losses_of(rows, seen, generator)
        # The wrapper waits for the gradients of all weights, also of those that take no part.
        return losses + 0.0 * sum(p.sum() for p in self.weights), terms, eta


# -- what is refused -------------------------------------------------------------------------------


def _check_net(net, size):
    """Raise a ValueError if a step cannot be put together from parts of a batch."""
    if net.batch_size < size:
        raise ValueError(
            f"A batch of {net.batch_size} rows cannot be divided among {size} processes: raise "
            "batch_size, or start fewer of them."
        )
    penalty = net.settings.penalty
    if penalty is not None and (net.module_.critic is not None or not penalty.rowwise):
        raise ValueError(
            f"distributed=True does not go with penalty={penalty!r}, which compares the rows "
            "of a batch: each process has only its own. Penalties that look at each row by itself "
            "do, such as 'variational' and 'ordered'."
        )
    if any(isinstance(layer, _BatchNorm) for layer in net.module_.modules()):
        raise ValueError(
            "distributed=True does not go with an architecture with batch normalisation, which "
            "takes the mean of a batch: each process has only its own rows. Layer normalisation "
            "does."
        )


def check_same(settings, X, sample_weight, previous, target=None):
    """Raise a ValueError if the processes are not about to do the same fit."""
    if not _meet(settings):
        return
    facts = {"X": _describe(X), "sample_weight": "none", "target": "none", "last fit": "none"}
    if sample_weight is not None:
        facts["sample_weight"] = _describe(sample_weight)
    if target is not None:
        facts["target"] = _describe(target)
    if previous is not None:
        weights = previous.model.module.state_dict().values()
        facts["last fit"] = _describe(torch.cat([w.flatten() for w in weights]).numpy())
    for name in settings.params.keys() - _OWN:
        facts[name] = re.sub(r" at 0x[0-9a-f]+", "", repr(settings.params[name]))
    _agree(facts)


def first_seed(params, seed):
    """Return the seed of the first process; `params` are an estimator's or its settings."""
    if not _meet(params):
        return seed
    return _agree({"last fit": "none"}, np.random.SeedSequence(seed).entropy)


def _describe(array):
    """Return shape, type and a checksum of at most some thousand rows."""
    n_rows = max(1, min(_COMPARED_ROWS, _COMPARED_ENTRIES // math.prod(array.shape[1:])))
    checksum = joblib.hash(array[:: -(-array.shape[0] // n_rows)])
    return f"{array.dtype} of shape {array.shape} with checksum {checksum}"


def _agree(facts, value=None):
    """Return the first process's value; raise an error in all processes where facts differ."""
    everyone = _exchange("gather_object", [(facts, value)])
    first, value = everyone[0]
    for rank, (its, _) in enumerate(everyone):
        for name in first:
            if its.get(name, first[name]) != first[name]:
                raise ValueError(
                    f"distributed=True needs the same {name} in every process, but process 0 "
                    f"has {first[name]} and process {rank} has {its[name]}."
                )
    return value


# -- the processes ---------------------------------------------------------------------------------


def _meet(params):
    """Meet the processes launched with this one; return whether a fit is one with others."""
    if not params.distributed:
        return False
    device = torch.device(resolve_device(params.device)).type
    asked = os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("1", "true", "yes")
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if find_spec("accelerate") is None:
        raise ImportError(
            "distributed=True needs accelerate: install it with pip install 'skae[distributed]'."
        )
    state = _state(asked or device != "cuda")
    if state.num_processes == 1 and launched > 1:
        raise RuntimeError(
            f"This is one of {launched} processes, but an accelerate.PartialState was made in it "
            "that knows of no others. Leave that to fit, or pass it cpu=True."
        )
    if state.num_processes > 1 and not torch.distributed.is_initialized():
        raise RuntimeError("A distributed fit of these processes has failed: start new ones.")
    if state.num_processes > 1 and state.device.type != device:
        raise ValueError(
            f"device={params.device!r} does not go with distributed=True here: Accelerate has "
            f"prepared {state.device.type!r}, and keeps to it until the process ends."
        )
    return state.num_processes > 1


@functools.cache
def _state(cpu):
    with _preserved():
        from accelerate import PartialState

        return PartialState(cpu=cpu, timeout=_TIMEOUT)


@contextmanager
def _preserved():
    """Keep what libraries change at their first use: threads, warnings, environment variables."""
    n_threads, names = torch.get_num_threads(), set(os.environ)
    with warnings.catch_warnings(), _answered():
        # One warning is of a number of threads that does not stay.
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            if torch.get_num_threads() != n_threads:
                torch.set_num_threads(n_threads)
            for name in set(os.environ) - names:
                del os.environ[name]


def _exchange(name, *values):
    """Call a function of accelerate.utils that all processes call."""
    from accelerate import utils

    with _answered():
        return getattr(utils, name)(*values)


@contextmanager
def _answered():
    """Explain what it means if something that all processes do together fails."""
    try:
        yield
    except RuntimeError as error:
        raise RuntimeError(
            "The distributed fit failed: another process has failed or does not answer, and its "
            f"own output tells why. Here it was noticed by: {str(error).split('. ')[0]}"
        ) from error
