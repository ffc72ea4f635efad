"""What skae needs of torch that is private, or that belongs to the whole process.

Threads, random generators, devices, the state of a fit, private operators, and optimizers that do
without torch's compiler.
"""

import contextvars
import ctypes
import inspect
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

try:
    from torch.utils._python_dispatch import TorchDispatchMode, _pop_mode, _push_mode
except ImportError:
    TorchDispatchMode, _pop_mode, _push_mode = object, None, None  # type: ignore[assignment,misc]

# Multiply-adds of a forward pass from which two threads train a dense net clearly faster.
_LARGE_STEP = 2**25
# Multiply-adds from which it pays to start a thread for a part of a prediction.
_LARGE_PREDICTION = 2**26


# -- threads -------------------------------------------------------------------------------------


class _Threads:
    """The numbers of threads that torch and BLAS run on.

    Those of OpenMP and MKL, which torch computes with, are each thread's own. That of BLAS, which
    NumPy and SciPy compute with, is the whole process's.
    """

    def __init__(self):
        self.lock = threading.RLock()
        # The limits of BLAS that hold now, each with the thread that set it.
        self.limits = []
        # The counts of BLAS when there was no limit.
        self.counts = []
        libraries = ThreadpoolController().lib_controllers
        self.blas = [library for library in libraries if library.user_api == "blas"]
        self.openmp = [library for library in libraries if library.user_api == "openmp"]
        self.set_mkl = _mkl_setter()

    def limit_own(self, n):
        """Let torch have at most n threads in the calling thread; return what undoes it.

        torch's own function would also set the number for threads that begin later.
        """
        counts = [library.num_threads for library in self.openmp]
        self._set_openmp([min(count, n) for count in counts])
        mkl = self.set_mkl(n)

        def undo():
            self._set_openmp(counts)
            self.set_mkl(mkl)

        return undo

    def _set_openmp(self, counts):
        for library, count in zip(self.openmp, counts, strict=True):
            library.set_num_threads(count)

    def limit_blas(self, n):
        """Let BLAS have at most n threads; return what lifts this limit."""
        limit = (threading.get_ident(), n)
        with self.lock:
            if not self.limits:
                self.counts = [library.num_threads for library in self.blas]
            self.limits.append(limit)
            self._apply()
        return lambda: self._lift(limit)

    def _lift(self, limit):
        with self.lock:
            self.limits.remove(limit)
            self._apply()

    def _apply(self):
        least = min((n for _, n in self.limits), default=None)
        for library, count in zip(self.blas, self.counts, strict=True):
            wanted = count if least is None else min(count, least)
            if library.num_threads != wanted:
                # Newer versions of threadpoolctl let one thread alone set OpenBLAS's number until
                # it is done, and ignore all others. Here the last thread to leave sets it.
                release = getattr(library, "clear_controlling_thread", lambda force: None)
                release(force=True)
                library.set_num_threads(wanted)
                release(force=True)

    def after_fork(self):
        """Forget the threads that a forked process does not have."""
        self.lock = threading.RLock()
        mine = [limit for limit in self.limits if limit[0] == threading.get_ident()]
        if len(mine) < len(self.limits):
            self.limits = mine
            self._apply()


class _Own(threading.local):
    """What holds in the calling thread."""

    # The limit, and the number of threads without it.
    limit: int | None = None
    outside: int | None = None

    def start_no_threads(self):
        """Let a function that maps blocks itself start no threads in this thread."""
        self.outside = 1


_own = _Own()
_threads: _Threads | None = None
_first_use = threading.RLock()
_is_forked = False


def _mkl_setter():
    """Return what sets MKL's number of threads for the calling thread and returns the last one."""
    try:
        return ctypes.CDLL(torch._C.__file__).MKL_Set_Num_Threads_Local
    except (AttributeError, OSError):
        # There is no MKL, or it cannot be called. It then follows OpenMP.
        return lambda n: n


def _get_threads():
    global _threads
    if _threads is None:
        with _first_use:
            if _threads is None:
                _threads = _Threads()
    return _threads


@contextmanager
def limit_threads(n):
    """Run torch and BLAS on at most n threads, then give them back what they had.

    torch is limited in the calling thread alone. BLAS knows no threads of its own: while several
    threads are in such a context, the least limit holds for all of them, and the last one to leave
    gives BLAS back what the first one found.
    """
    limit, outside = _own.limit, _own.outside
    if limit is not None and limit <= n:
        yield
        return
    threads = _get_threads()
    # This also makes a thread that has not used torch yet take its number from the process, which
    # torch would do later, and undo the limit.
    count = torch.get_num_threads()
    lift = threads.limit_blas(n)
    try:
        undo = threads.limit_own(n) if count > n else None
        _own.limit, _own.outside = n, count if outside is None else outside
        try:
            yield
        finally:
            _own.limit, _own.outside = limit, outside
            if undo is not None:
                undo()
    finally:
        lift()


def threads_for(work):
    """Return the number of threads for a training step of so many multiply-adds.

    Small steps are as fast on one thread, where their sums do not depend on the machine and no
    thread waits for another one when a neighbour is busy. Larger ones get what torch has outside of
    any limit. In a forked process it is always one: the threads that OpenMP had before are not
    there any more, and it would wait for them for ever.
    """
    return _available() if work >= _LARGE_STEP else 1


def _available():
    if _is_forked:
        return 1
    return torch.get_num_threads() if _own.outside is None else _own.outside


def map_blocks(function, blocks, work):
    """Call a function of each block, each call on one thread and in inference mode.

    Where there is much to do, some of the calls run side by side, in threads that end with this
    call. How many there are changes nothing of what a single call computes. OpenMP starts no
    threads of its own, which a process that is forked later would wait for. An error is raised
    here, and no new call begins after it. `work` are the multiply-adds of all the calls together.
    """
    blocks = list(blocks)
    n_threads = min(_available(), len(blocks)) if work >= _LARGE_PREDICTION else 1

    def call(block):
        with limit_threads(1), torch.inference_mode():
            function(block)

    if n_threads <= 1:
        for block in blocks:
            call(block)
        return
    # NumPy keeps what it does about overflow and the like in the context.
    contexts = [contextvars.copy_context() for _ in blocks]
    with ThreadPoolExecutor(n_threads, initializer=_own.start_no_threads) as pool:
        list(pool.map(lambda context, block: context.run(call, block), contexts, blocks))


# -- random numbers ------------------------------------------------------------------------------

# Whoever changes the state of torch's global generators for a while holds this.
_global_state = threading.RLock()


@contextmanager
def drawing_from(source):
    """Let what torch draws at random in this thread come from a seed or a generator on the CPU.

    What is drawn is the same as from torch's global generator with the same seed. That one is
    neither read nor changed, so that several threads may be in this context at once. Where torch
    offers no way to do so, the state of the global generator is exchanged for a while, in one
    thread at a time.
    """
    generator = source
    if not isinstance(source, torch.Generator):
        generator = torch.Generator().manual_seed(source)
    if _push_mode is None:
        with _exchanged(generator):
            yield
        return
    mode = _Redirected(generator)
    # Entering the mode as torch does would set flags of the whole process, which stay set when the
    # first of two threads leaves last.
    _push_mode(mode)
    try:
        yield
    finally:
        _pop_mode(None)


class _Redirected(TorchDispatchMode):
    """Gives operators that draw random numbers a generator."""

    def __init__(self, generator):
        super().__init__()
        self.generators = {"cpu": generator}

    @classmethod
    def _should_skip_dynamo(cls):
        # Otherwise torch would import its compiler to keep it away from here.
        return False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        draws = torch.Tag.nondeterministic_seeded in function.tags
        if not draws or any(isinstance(v, torch.Generator) for v in (*args, *kwargs.values())):
            return function(*args, **kwargs)
        device = _device_of(args, kwargs)
        operator = _with_generator(function)
        if operator is not None:
            return operator(*args, **kwargs | {"generator": self._generator_on(device)})
        with _exchanged(self.generators["cpu"], device):
            return function(*args, **kwargs)

    def _generator_on(self, device):
        if device.type == "cpu":
            return self.generators["cpu"]
        if device not in self.generators:
            seed = _draw_seed(self.generators["cpu"])
            self.generators[device] = torch.Generator(device).manual_seed(seed)
        return self.generators[device]


def _with_generator(function):
    """Return the form of an operator that takes a generator by name, or None if there is none."""
    form = function._overloadname
    other = "generator" if form == "default" else f"{form}_generator"
    for operator in (function, getattr(function.overloadpacket, other, None)):
        arguments = () if operator is None else operator._schema.arguments
        if any(argument.name == "generator" and argument.kwarg_only for argument in arguments):
            return operator
    return None


def _device_of(args, kwargs):
    """Return where an operator draws: where it says, or where its tensors are."""
    if kwargs.get("device") is not None:
        return torch.device(kwargs["device"])
    for value in (*args, *kwargs.values()):
        if isinstance(value, torch.Tensor):
            return value.device
    return torch.device("cpu")


def _draw_seed(generator):
    return int(torch.randint(2**62, (), generator=generator))


@contextmanager
def _exchanged(generator, device=None):
    """Give torch's global generator the state of another one, which takes it over afterwards.

    The generators of accelerators are seeded from it, and given back as they were.
    """
    devices = [] if device is None or device.type != "cuda" else [device]
    if device is None and torch.cuda.is_available():
        devices = list(range(torch.cuda.device_count()))
    own = torch.default_generator
    with _global_state, torch.random.fork_rng(devices):
        for each in devices:
            with torch.cuda.device(each):
                torch.cuda.manual_seed(_draw_seed(generator))
        own.set_state(generator.get_state())
        try:
            yield
        finally:
            generator.set_state(own.get_state())


# -- the compiler --------------------------------------------------------------------------------


# Whether what is traced may take some of the rows, whose number no operator may then depend on.
_taking = contextvars.ContextVar("taking", default=False)


def is_tracing():
    """Return whether torch records the operators, for a compiler or an export.

    What is done for some rows alone, or only if there are such rows, must then be written for any.
    """
    return torch.compiler.is_compiling()


@contextmanager
def taking_rows():
    """Let what is traced take rows, as it does otherwise, rather than compute with all of them."""
    token = _taking.set(True)
    try:
        yield
    finally:
        _taking.reset(token)


def take_rows(x, mask):
    """Return the rows under a mask; while tracing all rows, of which the others are not used."""
    return x if is_tracing() and not _taking.get() else x[mask]


def put_rows(x, mask, rows):
    """Return x with other rows under a mask, as `take_rows` takes them."""
    if is_tracing() and not _taking.get():
        return torch.where(mask[:, None], rows, x)
    return x.index_put((mask,), rows)


def without_compiler(optimizer):
    """Return a subclass of a torch optimizer that does not import torch's compiler.

    torch wraps some methods of its optimizers to keep its compiler away from them. The first call
    of one imports the compiler, which takes longer than many a fit, sets an environment variable
    and adds a filter for warnings. The methods themselves do not need it.
    """
    methods = {}
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        methods[name] = inspect.unwrap(getattr(optimizer, name))
    methods["step"] = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), methods)


def mark_stepped(optimizer):
    """Let torch's schedulers of an optimizer take the steps of another one as its own."""
    # otherwise they warn that the rate changes before the first step
    optimizer._opt_called = True


def tangents(function, x, directions):
    """Yield the derivatives of a function at x along directions, which x can be multiplied by.

    torch's own jvp imports its compiler's symbolic shapes, or it compiles scripts. Only a gradient
    of one number does neither.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        out = function(x)
        # The gradient by x is linear in these weights, which the tangents are the gradients by.
        weight = torch.ones_like(out, requires_grad=True)
        slope = None
        if out.requires_grad:
            (slope,) = torch.autograd.grad((out * weight).sum(), x, create_graph=True)
    for direction in directions:
        if slope is None:
            yield torch.zeros_like(out)
            continue
        with torch.enable_grad():
            total = (slope * direction).sum()
        yield torch.autograd.grad(total, weight, retain_graph=True)[0]


# Operators that are not part of torch's public interface: under torch.ops, or under torch itself.
_PRIVATE_OPERATORS = {
    "elu_backward": "aten.elu_backward.grad_input",
    "gelu_backward": "aten.gelu_backward.grad_input",
    "leaky_relu_backward": "aten.leaky_relu_backward.grad_input",
    "mish_backward": "aten.mish_backward",
    "sigmoid_backward": "aten.sigmoid_backward.grad_input",
    "silu_backward": "aten.silu_backward.grad_input",
    "softplus_backward": "aten.softplus_backward.grad_input",
    "tanh_backward": "aten.tanh_backward.grad_input",
    "threshold_backward": "aten.threshold_backward.grad_input",
    "linear_pointwise": "mkldnn._linear_pointwise",
    "adam": "_fused_adam_",
    "adamw": "_fused_adamw_",
}


def private_operator(name):
    """Return an operator by its name in `_PRIVATE_OPERATORS`, or None where torch lacks it."""
    path = _PRIVATE_OPERATORS[name]
    if path.startswith("mkldnn.") and not torch.backends.mkldnn.is_available():
        return None
    found: Any = torch.ops if "." in path else torch
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


# -- forked processes ----------------------------------------------------------------------------


def _after_fork():
    """Give a forked process locks that no thread holds which it does not have."""
    global _first_use, _global_state, _is_forked
    _first_use, _global_state = threading.RLock(), threading.RLock()
    _is_forked = True
    if _threads is not None:
        _threads.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# -- devices and state ---------------------------------------------------------------------------


def resolve_device(device):
    """Return the name of a device that is there."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if str(device) == "auto":
        return "cuda" if cuda else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(
            f"The 'device' parameter must be 'auto', 'cpu', 'cuda', 'mps' or a torch.device, got "
            f"{device!r}."
        ) from error
    if (kind == "cuda" and not cuda) or (kind == "mps" and not mps):
        raise ValueError(f"device={device!r} is not available here; device='auto' takes what is.")
    return str(device)


def device_or_cpu(device):
    """Return the name of a device, or "cpu" where it is not there."""
    try:
        return resolve_device(device)
    except ValueError:
        return "cpu"


def as_double(array):
    # A copy: the array may be a read-only memory map, and the net's tensors are written to.
    return torch.tensor(np.ascontiguousarray(array), dtype=torch.float64)


def to_numpy(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy().copy()
    if isinstance(value, dict):
        return {key: to_numpy(item) for key, item in value.items()}
    return [to_numpy(item) for item in value] if isinstance(value, list) else value


def to_torch(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return torch.tensor(np.asarray(value))
    if isinstance(value, dict):
        return {key: to_torch(item) for key, item in value.items()}
    return [to_torch(item) for item in value] if isinstance(value, list) else value
