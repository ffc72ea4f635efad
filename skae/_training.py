"""The private skorch net's training: epochs, early stopping, the best epoch."""

import copy
import math
import sys
import time
import traceback
from pathlib import Path

import skorch
import torch
from scipy import stats
from tqdm import tqdm

from ._data import n_batches
from ._distributed import world
from ._steps import Steps

# Weights averaged over some fifty steps do better on unseen rows than the last ones, at any rate.
_DECAY = 0.98
# A loss a thousand times the start's is no noise: PCA's own loss is at most about one.
_DIVERGED = 1e3
# The level of the test that a gain over the start must pass: one standard error, for many rows.
_LEVEL = 0.16
# What max_iter="auto" aims at: more steps gain little on the benchmark's sets.
_STEPS, _MIN_EPOCHS, _MAX_EPOCHS = 16_000, 30, 200


class WeightAverage:
    """A copy of a module whose weights are the running mean of the module's.

    torch's AveragedModel walks through the modules at every step, which costs a small net a fifth
    of its time.
    """

    def __init__(self, module, flat):
        self.source = module
        # the copied module and the copied vectors belong together as the originals do
        self.module, averages = copy.deepcopy((module, flat))
        rest = {id(p) for p in flat.parameters}
        pairs = [(mine, its) for mine, its in zip(averages.vectors, flat.vectors, strict=True)]
        for mine, its in zip(self.module.parameters(), module.parameters(), strict=True):
            if id(its) not in rest:
                pairs.append((mine, its))
        self._pairs = [(mine.detach(), its.detach()) for mine, its in pairs]

    def update(self):
        for average, current in self._pairs:
            average.lerp_(current, 1 - _DECAY)

    def take_buffers(self):
        """Take over what is no parameter, such as the means of batch normalisation."""
        for mine, its in zip(self.module.buffers(), self.source.buffers(), strict=True):
            mine.copy_(its)


class Net(Steps):
    """The skorch net behind the estimators: see `Steps` for its parameters."""

    def record(self, started, **values):
        """Write an epoch's figures to the history and stop if the loss is lost."""
        values["learning_rate"] = self.optimizer_.param_groups[0]["lr"]
        values["duration"] = time.perf_counter() - started
        for key, value in values.items():
            self.history.record(key, value)
        start = self.history[0, "train_loss"]
        if not values["train_loss"] <= _DIVERGED * (1 + start):
            raise ValueError(
                f"The training diverged: the loss is {values['train_loss']:.3g} after epoch "
                f"{self.history[-1, 'epoch']}, and it was {start:.3g} before the first. Lower "
                f"learning_rate (now {self.lr:g}) or gradient_clip (now {self.gradient_clip})."
            )

    def record_start(self, started, train, valid):
        """Make the start epoch 0 of the history."""
        self.history.new_epoch()
        self.history.record("epoch", 0)
        figures = self.figures("train", train)
        if valid is not None:
            figures |= self.figures("valid", valid)
        self.record(started, **figures)

    def run(self, train, valid, *, n_epochs, batch_size, schedule, tol, patience):
        """Train, and end with the weights of the best epoch where rows are held out.

        Parameters
        ----------
        train : Table
        valid : Table or None
            None: every epoch is trained on all rows and the last weights stay.
        n_epochs : int
        batch_size : int
        schedule : skae.schedules.Schedule or None
        tol : float
            The relative gain that counts as one.
        patience : int
            Epochs without a gain before the training ends.

        Returns
        -------
        best : int
            The epoch whose weights the module has; 0 is the start.
        """
        scheduler, every_step = None, False
        if schedule is not None:
            n_steps = n_batches(len(train), batch_size)
            scheduler = schedule.build(self.optimizer_, n_epochs, n_steps)
            every_step = schedule.every_step
        average = None
        if valid is not None:
            average = WeightAverage(self.module_, self.flat_)
        monitor = "train_loss" if valid is None else "valid_loss"
        best, best_loss, best_state = 0, self.history[-1, monitor], None
        since, target = 0, best_loss
        start_losses = None
        if valid is not None:
            start_losses, _ = self.evaluate(valid, held_out=True)
        self.notify("on_train_begin", X=train, y=None)
        for epoch in self._progress(n_epochs):
            started = time.perf_counter()
            self.notify("on_epoch_begin", dataset_train=train, dataset_valid=valid)
            step_scheduler = scheduler if every_step else None
            figures = self.run_epoch(
                train, batch_size, step_scheduler, average, epoch - 1, n_epochs
            )
            if valid is not None:
                average.take_buffers()
                figures |= self.figures("valid", valid, average.module)
            self.record(started, **figures)
            loss = figures[monitor]
            if loss < best_loss or valid is None:
                best, best_loss = epoch, loss
                if valid is not None:
                    best_state = _copy_state(average.module)
            if scheduler is not None and not every_step:
                scheduler.step(*([loss] if schedule.needs_loss else []))
            since, target = (0, loss) if loss < target - tol * abs(target) else (since + 1, target)
            if any(world().gather(self.end_epoch(train, valid))) or since >= patience:
                break
        if best_state is not None:
            self.module_.load_state_dict(best_state)
            if not _is_gain(start_losses, self.evaluate(valid, held_out=True)[0]):
                best = 0
        self.notify("on_train_end", X=train, y=None)
        return best

    def end_epoch(self, train, valid):
        """Tell the callbacks, and return whether one of them ends the training."""
        # skorch's callbacks stop a fit by raising KeyboardInterrupt themselves; the user's Ctrl-C
        # is raised wherever it strikes, and is the user's to see.
        try:
            self.notify("on_epoch_end", dataset_train=train, dataset_valid=valid)
        except KeyboardInterrupt as stop:
            raised_in = Path(traceback.extract_tb(stop.__traceback__)[-1].filename)
            if Path(skorch.__file__).parent not in raised_in.parents:
                raise
            return True
        return False

    def _progress(self, n_epochs):
        epochs = range(1, n_epochs + 1)
        if self.verbose == 1:
            with tqdm(epochs, unit="epoch", file=sys.stderr) as bar:
                for epoch in bar:
                    yield epoch
                    bar.set_postfix(self._losses())
            return
        for epoch in epochs:
            yield epoch
            if self.verbose > 1:
                losses = ", ".join(f"{key} {value}" for key, value in self._losses().items())
                print(f"epoch {epoch}/{n_epochs}: {losses}")

    def _losses(self):
        row = self.history[-1]
        return {key: f"{row[key]:.4g}" for key in ("train_loss", "valid_loss") if key in row}


def _is_gain(start, best):
    """Return whether held-out rows are typically better off than at the start, beyond chance.

    The best of many epochs looks better than the start on a few rows even where it is not, and the
    start is the safe choice: it must be refuted, by a paired t test. The test is on the logarithms,
    because a few rows with large losses would hide what all the others say.
    """
    n_rows = len(start)
    if n_rows < 2:
        return False
    tiny = torch.finfo(start.dtype).tiny
    gain = torch.log(start + tiny) - torch.log(best + tiny)
    error = gain.std().item() / math.sqrt(n_rows)
    return gain.mean().item() > stats.t.ppf(1 - _LEVEL, n_rows - 1) * error


def _copy_state(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def resolve_batch_size(batch_size, n_rows):
    """Return the number of rows of a batch; "auto" grows with the number of rows."""
    if batch_size is None:
        return n_rows
    if batch_size == "auto":
        return min(n_rows, 256, max(32, 2 ** math.ceil(math.log2(n_rows / 400))))
    return min(batch_size, n_rows)


def resolve_max_iter(max_iter, n_batches):
    """Return the number of epochs; "auto" stops at as many steps for any number of rows."""
    if max_iter == "auto":
        return max(_MIN_EPOCHS, min(_MAX_EPOCHS, math.ceil(_STEPS / n_batches)))
    return max_iter
