"""Where the time of a step of the defaults goes."""

import time
from contextlib import ExitStack, contextmanager
from unittest import mock

from skae import AutoencoderTransformer
from skae._data.rows import Rows
from skae._training.callbacks import BestEpoch, WeightAverage
from skae._training.fast import DenseGradient, FlatParameters
from skae._training.net import Net
from skae.corruptions import ResidualNoise
from skae.schedules import OneCycle

from ._data import images, low_rank
from ._engine import SPEED, Case, part

# What is called once an epoch; what it calls itself belongs to it.
EPOCH = {"held-out rows": (Net, "run_single_epoch"), "size of the noise": (Net, "measure_error")}
STEP = {
    "gather rows": (Rows, "batch"),
    "draw noise": (ResidualNoise, "corrupt"),
    "loss and gradient": (DenseGradient, "__call__"),
    "forward": (DenseGradient, "_paths"),
    "clip": (FlatParameters, "clip"),
    "optimizer": (FlatParameters, "step"),
    "average of weights": (WeightAverage, "on_batch_end"),
}
CASES = [
    (500, 10, 2, (128,), 32, 40, low_rank),
    (5_000, 30, 8, (256, 128), 128, 8, low_rank),
    (20_000, 784, 32, (256, 128), 32, 2, lambda n_rows, _: images(n_rows)),
    (20_000, 784, 32, (256, 128), 512, 2, lambda n_rows, _: images(n_rows)),
]


class Clock:
    """Adds up the seconds within functions, without those of the functions they call."""

    def __init__(self):
        self.seconds = dict.fromkeys([*EPOCH, *STEP, "schedule"], 0.0)
        self._inner = []

    def timed(self, name, function):
        def wrapper(*args, **kwargs):
            # The steps of an epoch are no part, but what they call.
            if kwargs.get("step_fn") is not None and kwargs["training"]:
                return function(*args, **kwargs)
            if self._inner and self._inner[0][0] in EPOCH:
                return function(*args, **kwargs)
            self._inner.append((name, []))
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.perf_counter() - began
                _, inner = self._inner.pop()
                self.seconds[name] += spent - sum(inner)
                if self._inner:
                    self._inner[-1][1].append(spent)

        return wrapper

    @contextmanager
    def running(self):
        build = OneCycle.build

        def build_timed(*args):
            scheduler = build(*args)
            scheduler.step = self.timed("schedule", scheduler.step)
            return scheduler

        with ExitStack() as stack:
            for name, (owner, method) in {**EPOCH, **STEP}.items():
                function = self.timed(name, getattr(owner, method))
                stack.enter_context(mock.patch.object(owner, method, function))
            stack.enter_context(mock.patch.object(OneCycle, "build", build_timed))
            stack.enter_context(
                mock.patch.object(BestEpoch, "measure_start", self._after(BestEpoch.measure_start))
            )
            yield

    def _after(self, function):
        """Return a function after which the clock begins anew: the start is no epoch."""

        def wrapper(*args):
            function(*args)
            self.seconds = dict.fromkeys(self.seconds, 0.0)

        return wrapper


def step_times(X, k, hidden, batch_size, n_epochs, seed):
    """Return the microseconds of a step by what they go to."""
    clock = Clock()
    with clock.running():
        model = AutoencoderTransformer(
            k,
            hidden_layer_sizes=hidden,
            batch_size=batch_size,
            max_iter=n_epochs,
            random_state=seed,
        )
        model.fit(X)
    n_train = len(X) - -(-len(X) // 10)
    n_steps = n_epochs * (n_train // batch_size)
    total = sum(row["duration"] for row in model.history_[1:])
    found = dict(clock.seconds)
    found["the rest"] = total - sum(found.values())
    return {"whole step": 1e6 * total / n_steps} | {
        name: 1e6 * seconds / n_steps for name, seconds in found.items()
    }


@part(SPEED, "profile")
def profile():
    for n_rows, n_features, k, hidden, batch_size, n_epochs, make in CASES:
        X = make(n_rows, n_features)

        def defaults(seed, X=X, args=(k, hidden, batch_size, n_epochs)):
            return step_times(X, *args, seed)

        name = f"{n_rows:,} x {n_features}, hidden {hidden}, batch {batch_size}"
        yield Case(name, {"skae (defaults)": defaults}, n_rows, n_features, k)
