"""The private skorch net: one loop over tensor slices, early stopping, the best epoch."""

import copy
import math
import sys
import time
import traceback
from contextlib import contextmanager
from pathlib import Path

import skorch
import torch
from scipy import stats
from threadpoolctl import threadpool_limits
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

from ._data import batches, n_batches

# Weights averaged over some fifty steps do better on unseen rows than the last ones, at any rate.
_DECAY = 0.98
# A loss a thousand times the start's is no noise: PCA's own loss is at most about one.
_DIVERGED = 1e3
# The level of the test that a gain over the start must pass: one standard error, for many rows.
_LEVEL = 0.16
# Rows that tell the reconstruction error well enough to set the size of a corruption by it.
_ERROR_ROWS = 512
# What max_iter="auto" aims at: more steps gain little on the benchmark's sets.
_STEPS, _MIN_EPOCHS, _MAX_EPOCHS = 16_000, 30, 200
# What a trimmed row counts: with nothing at all, nets were free to explode on such rows.
_TRIMMED = 0.01
# Rows evaluated at once.
_CHUNK = 8192


@contextmanager
def one_thread():
    """Run torch and BLAS on one thread, then give them back what they had.

    The nets are small enough for one thread to be as fast, more threads wait for each other when
    a neighbour is busy, and sums over several threads would make a result depend on the machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


class Criterion(nn.Module):
    """The loss of each row, weighted where the rows are."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, eta, target, weight=None):
        loss = self.loss.per_sample(eta, target)
        return loss if weight is None else loss * weight


class WeightAverage:
    """A copy of a module whose weights are the running mean of the module's.

    torch's AveragedModel walks through the modules at every step, which costs a small net a fifth
    of its time; the mean is torch's own.
    """

    def __init__(self, module):
        self.module = copy.deepcopy(module)
        self.parameters = list(module.parameters())
        self.averages = [p.detach() for p in self.module.parameters()]
        self._update = get_ema_multi_avg_fn(_DECAY)

    def update(self):
        self._update(self.averages, self.parameters, None)


class Net(skorch.NeuralNet):
    """The skorch net behind the estimators.

    Takes a built module and strategies instead of classes, trains on `Rows` already on the device,
    and leaves out what skorch does for each row and each batch.

    Parameters
    ----------
    module : nn.Module
        With ``encode``, ``decode`` and a ``head``.
    criterion : Criterion
    optimizer : skae.optimizers.Optimizer
    lr : float
    alpha : float
        Weight decay.
    gradient_clip : float or None
        The largest norm of a step's gradient.
    trim : float
        Share of each batch's rows, those with the largest losses, that count next to nothing.
    corruption : skae.corruptions.Corruption or None
    callbacks : list
        Skorch callbacks, the net's own to keep.
    device : str
    verbose : int
    """

    def __init__(
        self,
        module,
        criterion,
        *,
        optimizer,
        lr,
        alpha,
        gradient_clip,
        trim,
        corruption,
        callbacks,
        device,
        verbose,
    ):
        super().__init__(
            module,
            criterion,
            optimizer=optimizer,
            lr=lr,
            train_split=None,
            callbacks=callbacks,
            device=device,
            verbose=verbose,
        )
        self.alpha = alpha
        self.gradient_clip = gradient_clip
        self.trim = trim
        self.corruption = corruption

    @property
    def _default_callbacks(self):
        return []

    def initialize_optimizer(self, triggered_directly=None):
        # Listed once: walking through the modules costs a small net a tenth of a step.
        self.parameters_ = list(self.module_.parameters())
        self.optimizer_ = self.optimizer.build(self.parameters_, self.lr, self.alpha)
        return self

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.history.new_epoch()
        # The start is epoch 0 and has a row of its own.
        self.history.record("epoch", len(self.history) - 1)

    def train_step(self, batch, **fit_params):
        """Take one step and return the loss before it, as a tensor on the device."""
        self.optimizer_.zero_grad(set_to_none=True)
        corrupted = None
        if self.corruption is not None:
            corrupted = self.corruption.corrupt(batch.x, self.error_, self.generator_)
        losses = self.loss_of(batch, corrupted=corrupted)
        if self.trim:
            losses = losses * _influence(losses, batch.weight, self.trim)
        loss = losses.mean()
        loss.backward()
        if self.callbacks_:
            named = list(self.module_.named_parameters())
            self.notify("on_grad_computed", named_parameters=named, batch=batch, training=True)
        if self.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.parameters_, self.gradient_clip, foreach=True)
        self.optimizer_.step()
        return {"loss": loss.detach()}

    def loss_of(self, rows, module=None, corrupted=None):
        """Return the weighted loss of each of some rows.

        Another module can stand in for the net's own, and corrupted rows for the input.
        """
        module = module or self.module_
        eta = module(rows.x if corrupted is None else corrupted)
        return self.criterion_(eta, module.head.target(rows.x), rows.weight)

    @torch.no_grad()
    def measure_error(self, rows):
        """Note the root mean squared error of (a sample of) the rows, for the corruption."""
        x = rows.x[:: -(-len(rows.x) // _ERROR_ROWS)]
        residual = self.module_.head.to_net(self.module_(x)) - x
        self.error_ = residual.square().mean().sqrt().item()

    @torch.no_grad()
    def evaluate(self, rows, module=None):
        """Return the weighted loss of each row, computed some rows at a time."""
        parts = range(0, len(rows.x), _CHUNK)
        losses = [self.loss_of(rows.take(slice(i, i + _CHUNK)), module) for i in parts]
        return torch.cat(losses)

    def run_epoch(self, train, batch_size, scheduler=None, average=None):
        """Train on every row once and return the mean loss of the batches."""
        if self.corruption is not None:
            self.measure_error(train)
        total = torch.zeros((), device=train.x.device)
        for batch in batches(train, batch_size, self.generator_):
            if self.callbacks_:
                self.notify("on_batch_begin", batch=batch, training=True)
            step = self.train_step(batch)
            if scheduler is not None:
                scheduler.step()
            if average is not None:
                average.update()
            if self.callbacks_:
                self.notify("on_batch_end", batch=batch, training=True, **step)
            total += step["loss"]
        return total.item() / n_batches(len(train.x), batch_size)

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
        losses = {"train_loss": self.evaluate(train).mean().item()}
        if valid is not None:
            losses["valid_loss"] = self.evaluate(valid).mean().item()
        self.record(started, **losses)

    def run(self, train, valid, *, n_epochs, batch_size, schedule, tol, patience):
        """Train, and end with the weights of the best epoch where rows are held out.

        Parameters
        ----------
        train : Rows
        valid : Rows or None
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
            n_steps = n_batches(len(train.x), batch_size)
            scheduler = schedule.build(self.optimizer_, n_epochs, n_steps)
            every_step = schedule.every_step
        average = None
        if valid is not None:
            average = WeightAverage(self.module_)
        monitor = "train_loss" if valid is None else "valid_loss"
        best, best_loss, best_state = 0, self.history[-1, monitor], None
        since, target = 0, best_loss
        start_losses = None if valid is None else self.evaluate(valid)
        self.notify("on_train_begin", X=train.x, y=None)
        for epoch in self._progress(n_epochs):
            started = time.perf_counter()
            self.notify("on_epoch_begin", dataset_train=train, dataset_valid=valid)
            step_scheduler = scheduler if every_step else None
            losses = {"train_loss": self.run_epoch(train, batch_size, step_scheduler, average)}
            if valid is not None:
                losses["valid_loss"] = self.evaluate(valid, average.module).mean().item()
            self.record(started, **losses)
            loss = losses[monitor]
            if loss < best_loss or valid is None:
                best, best_loss = epoch, loss
                if valid is not None:
                    best_state = _copy_state(average.module)
            if scheduler is not None and not every_step:
                scheduler.step(*([loss] if schedule.needs_loss else []))
            since, target = (0, loss) if loss < target - tol * abs(target) else (since + 1, target)
            if self.end_epoch(train, valid) or since >= patience:
                break
        if best_state is not None:
            self.module_.load_state_dict(best_state)
            if not _is_gain(start_losses, self.evaluate(valid)):
                best = 0
        self.notify("on_train_end", X=train.x, y=None)
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


def _influence(losses, weight, trim):
    """Return how much each row counts in a step: next to nothing for those with large losses."""
    losses = losses.detach()
    if weight is not None:
        # A row is judged by its own loss, not by its weight.
        losses = losses / weight
    n_kept = max(1, round((1 - trim) * len(losses)))
    influence = torch.full_like(losses, _TRIMMED)
    influence[torch.topk(losses, n_kept, largest=False)[1]] = 1.0
    return influence


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
