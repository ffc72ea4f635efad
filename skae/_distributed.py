"""One fit over several processes: who takes which rows, and what they tell each other."""

import datetime
import functools
import math
import os
import pickle
import re
import zlib
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch
import torch.distributed as dist
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from ._runtime import one_thread
from ._state import resolve_device

# How often a process that waits for the others looks whether one of them has failed.
_LOOK = datetime.timedelta(seconds=0.5)
# Rows and entries of X that are compared between the processes at most.
_COMPARED_ROWS, _COMPARED_ENTRIES = 4096, 2**22
# Parameters that may differ: the first process's seed counts, and the others do not change the fit.
_OWN = {"callbacks", "device", "random_state", "verbose"}


class Alone:
    """The only process of a fit: what it has is everything, and nothing is sent."""

    rank = 0
    size = 1

    def resolve_device(self, device):
        """Return the name of the device to train on."""
        return resolve_device(device)

    def part(self, start, stop):
        """Return the slice of some rows that this process takes; what follows is about them."""
        return slice(start, stop)

    def share(self, index):
        """Return the rows of a batch that this process takes."""
        return index

    def pad(self, own):
        """Return this process's rows amid zeros in the place of the others'.

        What is drawn for them is then what one process would draw for the whole batch.
        """
        return own

    def own(self, whole):
        """Return this process's rows out of those of all processes; None stays None."""
        return whole

    def whole(self, own):
        """Return the rows of all processes."""
        return own

    def sum_step(self, parameters, values):
        """Turn means over own rows into means over the batch.

        Parameters
        ----------
        parameters : list of Tensor
            Their gradients are changed in place.
        values : dict of str to Tensor of shape ()

        Returns
        -------
        values : dict of str to Tensor of shape ()
        """
        return values

    def gather(self, value):
        """Return the values of all processes, in their order."""
        return [value]

    def first(self, function):
        """Return what a function returns in the first process; the others do not call it."""
        return function()

    def seed(self, seed):
        """Return the seed of the first process, a fresh one where it has none."""
        return seed

    def broadcast(self, module):
        """Give a module the weights and buffers that it has in the first process."""

    def check_input(self, estimator, X, sample_weight, resumed):
        """Raise a ValueError if the processes are not about to do the same."""

    def check_net(self, net):
        """Raise a ValueError if a step of the net cannot be put together from parts of a batch."""

    def leave(self, error):
        """Tell the others that this process ends the fit by an error."""


class World(Alone):
    """One of several processes that fit together.

    Everything is sent over gloo, which notices when a peer is gone.

    Parameters
    ----------
    state : accelerate.PartialState
    """

    def __init__(self, state):
        self.rank = state.process_index
        self.size = state.num_processes
        self.device = state.device
        self._group = _group()

    def resolve_device(self, device):
        return str(self.device) if str(device) in ("auto", "cuda") else resolve_device(device)

    # -- rows ------------------------------------------------------------------------------------

    def part(self, start, stop):
        n_rows = stop - start
        small, n_larger = divmod(n_rows, self.size)
        begin = self.rank * small + min(self.rank, n_larger)
        end = begin + small + (self.rank < n_larger)
        self._before, self._n_own, self._after = begin, end - begin, n_rows - end
        return slice(start + begin, start + end)

    def share(self, index):
        if len(index) < self.size:
            raise ValueError(
                f"A batch of {len(index)} rows cannot be shared by {self.size} processes: raise "
                "batch_size, or start fewer of them."
            )
        return index[self.part(0, len(index))]

    def pad(self, own):
        return functional.pad(own, [0, 0] * (own.dim() - 1) + [self._before, self._after])

    def own(self, whole):
        return None if whole is None else whole[self._before : self._before + self._n_own]

    def whole(self, own):
        whole = self.pad(own)
        self._send(dist.all_reduce, whole)
        return whole

    # -- what is sent ----------------------------------------------------------------------------

    def sum_step(self, parameters, values):
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients] + [v.reshape(1) for v in values.values()])
        flat *= self._n_own / (self._before + self._n_own + self._after)
        self._send(dist.all_reduce, flat)
        parts = flat.split([g.numel() for g in gradients] + [1] * len(values))
        for gradient, part in zip(gradients, parts, strict=False):
            gradient.copy_(part.view_as(gradient))
        return dict(zip(values, (part[0] for part in parts[len(gradients) :]), strict=True))

    def gather(self, value):
        data = torch.frombuffer(bytearray(pickle.dumps(value)), dtype=torch.uint8)
        sizes = list(torch.zeros(self.size, dtype=torch.int64).split(1))
        self._send(dist.all_gather, sizes, torch.tensor([len(data)]))
        # gloo gathers equal sizes only
        longest = int(max(sizes))
        found = [torch.empty(longest, dtype=torch.uint8) for _ in sizes]
        self._send(dist.all_gather, found, functional.pad(data, (0, longest - len(data))))
        return [pickle.loads(one.numpy().tobytes()) for one in found]

    def first(self, function):
        return self.gather(function() if self.rank == 0 else None)[0]

    def seed(self, seed):
        return self.first(lambda: np.random.SeedSequence(seed).entropy)

    def broadcast(self, module):
        for tensor in module.state_dict().values():
            self._send(dist.broadcast, tensor, src=0)

    # -- checks ----------------------------------------------------------------------------------

    def check_input(self, estimator, X, sample_weight, resumed):
        everyone = self.gather(_facts(estimator, X, sample_weight, resumed))
        for rank, facts in enumerate(everyone):
            for name, value in everyone[0].items():
                if facts.get(name) != value:
                    raise ValueError(
                        f"distributed=True needs the same {name} in every process, but process 0 "
                        f"has {value} and process {rank} has {facts.get(name)}."
                    )

    def check_net(self, net):
        if net.penalty is not None and not net.penalty.rowwise:
            raise ValueError(
                f"distributed=True does not go with penalty={net.penalty!r}, which compares the "
                "rows of a batch: each process has only its own. Penalties that look at each row "
                "by itself do, such as 'variational' and 'ordered'."
            )
        if any(isinstance(layer, _BatchNorm) for layer in net.module_.modules()):
            raise ValueError(
                "distributed=True does not go with batch normalisation, which takes the mean of a "
                "batch: each process has only its own rows. Layer normalisation does."
            )

    # -- failures --------------------------------------------------------------------------------

    def leave(self, error):
        store, key = _store(), self._key()
        try:
            if not store.check([key]):
                store.set(key, f"process {self.rank} ended by {type(error).__name__}: {error}")
        except RuntimeError:
            # The process that keeps the store is gone: the others know already.
            pass
        # The others cannot tell where this one stopped: the next fit starts with a new group.
        # Nobody else holds this one, so that its connections close now.
        group, self._group = self._group, None
        dist.destroy_process_group(group)
        _group.cache_clear()

    def _send(self, collective, *tensors, **kwargs):
        """Run a collective operation; raise a RuntimeError if another process has failed."""
        failed = None
        try:
            work = collective(*tensors, group=self._group, async_op=True, **kwargs)
            while failed is None and not self._wait(work):
                failed = self._failure()
        except RuntimeError as error:
            reason = str(error).split(". ")[0]
            failed = self._failure() or f"the connection to a process is lost: {reason}"
        # Outside of the except clause: the other error's traceback would keep the group alive.
        if failed is not None:
            raise RuntimeError(f"The distributed fit failed: {failed}")

    @staticmethod
    def _wait(work):
        try:
            return work.wait(_LOOK)
        except RuntimeError:
            if work.is_completed():
                raise
            return False

    def _failure(self):
        """Return what another process says of its failure, or None."""
        try:
            store, key = _store(), self._key()
            return store.get(key).decode() if store.check([key]) else None
        except RuntimeError:
            return "the process that keeps the others together has ended"

    def _key(self):
        return f"skae/{self._group.group_name}"


_WORLD = ContextVar("world", default=Alone())  # noqa: B039 (it has no state)


def world():
    """Return the processes that the running fit is shared by."""
    return _WORLD.get()


def together(fit):
    """Let a method of an estimator with `distributed` and `device` run in its `world`."""

    @functools.wraps(fit)
    def wrapper(self, *args, **kwargs):
        # The nets of a detector are fitted in the detector's own.
        if not self.distributed or world().size > 1:
            return fit(self, *args, **kwargs)
        with _joined(_join(self.device)):
            return fit(self, *args, **kwargs)

    return wrapper


@contextmanager
def _joined(found):
    token = _WORLD.set(found)
    try:
        yield
    except BaseException as error:
        found.leave(error)
        raise
    finally:
        _WORLD.reset(token)


def _join(device):
    """Meet the processes that were launched with this one, if any."""
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise ImportError(
            "distributed=True needs accelerate: install it with pip install 'skae[distributed]'."
        ) from error
    asked = os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("1", "true", "yes")
    cpu = asked or torch.device(resolve_device(device)).type != "cuda"
    # Accelerate sets torch's number of threads where OMP_NUM_THREADS does not.
    with one_thread():
        state = PartialState(cpu=cpu)
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if state.num_processes == 1 and launched > 1:
        raise RuntimeError(
            f"This is one of {launched} processes, but an accelerate.PartialState was made in it "
            "that knows of no others. Leave that to fit, or pass it cpu=True."
        )
    return Alone() if state.num_processes == 1 else World(state)


@functools.cache
def _group():
    """Return connections of skae's own, kept between fits."""
    return dist.new_group(backend="gloo")


def _store():
    # There is no public way to the key-value store that the launcher or process 0 keeps.
    return dist.distributed_c10d._get_default_store()


def _facts(estimator, X, sample_weight, resumed):
    """Return what must be the same in all processes, by names that an error message can use."""
    facts = {"estimator": type(estimator).__name__, "X": _describe(X)}
    facts["sample_weight"] = "none" if sample_weight is None else _describe(sample_weight)
    facts["last fit"] = "none"
    if resumed:
        nets = getattr(estimator, "estimators_", [estimator])
        states = [net.module_.state_dict() for net in nets]
        weights = [value.numpy().ravel() for state in states for value in state.values()]
        facts["last fit"] = _describe(np.concatenate(weights))
    for name, value in estimator.get_params().items():
        if name.split("__")[0] not in _OWN:
            facts[name] = re.sub(r" at 0x[0-9a-f]+", "", repr(value))
    return facts


def _describe(array):
    """Return shape, type and a checksum of at most some thousand rows."""
    n_rows = max(1, min(_COMPARED_ROWS, _COMPARED_ENTRIES // math.prod(array.shape[1:])))
    rows = array[:: -(-array.shape[0] // n_rows)]
    rows = rows.toarray() if hasattr(rows, "toarray") else rows
    checksum = zlib.crc32(np.ascontiguousarray(rows).tobytes())
    return f"{array.dtype} of shape {array.shape} with checksum {checksum:08x}"
