"""The private skorch net: one loop over tensor slices, early stopping, the best epoch."""

import math
import sys
import time
import traceback
from contextlib import contextmanager
from pathlib import Path

import skorch
import torch
from threadpoolctl import threadpool_limits
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from ._data import batches, n_batches

# Weights averaged over some fifty steps do better on unseen rows than the last ones, at any rate.
_DECAY = 0.98
# A loss a thousand times the start's is no noise: PCA's own loss is at most about one.
_DIVERGED = 1e3


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
    """The mean over the rows of a per-sample loss, weighted where the rows are."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, eta, target, weight=None):
        loss = self.loss.per_sample(eta, target)
        return loss.mean() if weight is None else (loss * weight).mean()


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
    callbacks : list
        Skorch callbacks, the net's own to keep.
    device : str
    verbose : int
    """

    def __init__(
        self, module, criterion, *, optimizer, lr, alpha, gradient_clip, callbacks, device, verbose
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

    @property
    def _default_callbacks(self):
        return []

    def initialize_optimizer(self, triggered_directly=None):
        self.optimizer_ = self.optimizer.build(self.module_.parameters(), self.lr, self.alpha)
        return self

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.history.new_epoch()
        # The start is epoch 0 and has a row of its own.
        self.history.record("epoch", len(self.history) - 1)

    def train_step(self, batch, **fit_params):
        """Take one step and return the loss before it, as a tensor on the device."""
        self.optimizer_.zero_grad(set_to_none=True)
        loss = self.loss_of(batch)
        loss.backward()
        if self.callbacks_:
            named = list(self.module_.named_parameters())
            self.notify("on_grad_computed", named_parameters=named, batch=batch, training=True)
        if self.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.module_.parameters(), self.gradient_clip, foreach=True)
        self.optimizer_.step()
        return {"loss": loss.detach()}

    def loss_of(self, rows, module=None):
        """Return the weighted mean loss of some rows, under another module if one is given."""
        module = module or self.module_
        return self.criterion_(module(rows.x), module.head.target(rows.x), rows.weight)

    @torch.no_grad()
    def evaluate(self, rows, module=None, chunk=8192):
        """Return the mean loss of all rows as a float, some rows at a time."""
        total = 0.0
        for start in range(0, len(rows.x), chunk):
            part = type(rows)(*(None if t is None else t[start : start + chunk] for t in rows))
            total += self.loss_of(part, module).item() * len(part.x)
        return total / len(rows.x)

    def run_epoch(self, train, batch_size, generator, scheduler=None, average=None):
        """Train on every row once and return the mean loss of the batches."""
        total = torch.zeros((), device=train.x.device)
        for count, batch in enumerate(batches(train, batch_size, generator), start=1):
            if self.callbacks_:
                self.notify("on_batch_begin", batch=batch, training=True)
            step = self.train_step(batch)
            if scheduler is not None:
                scheduler.step()
            if average is not None:
                average.update_parameters(self.module_)
            if self.callbacks_:
                self.notify("on_batch_end", batch=batch, training=True, **step)
            total += step["loss"]
        return total.item() / count

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
        losses = {"train_loss": self.evaluate(train)}
        if valid is not None:
            losses["valid_loss"] = self.evaluate(valid)
        self.record(started, **losses)

    def run(self, train, valid, *, n_epochs, batch_size, schedule, tol, patience, generator):
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
        generator : torch.Generator

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
            average = AveragedModel(self.module_, multi_avg_fn=get_ema_multi_avg_fn(_DECAY))
        monitor = "train_loss" if valid is None else "valid_loss"
        best, best_loss, best_state = 0, self.history[-1, monitor], None
        since, target = 0, best_loss
        self.notify("on_train_begin", X=train.x, y=None)
        for epoch in self._progress(n_epochs):
            started = time.perf_counter()
            self.notify("on_epoch_begin", dataset_train=train, dataset_valid=valid)
            step_scheduler = scheduler if every_step else None
            losses = {
                "train_loss": self.run_epoch(train, batch_size, generator, step_scheduler, average)
            }
            if valid is not None:
                losses["valid_loss"] = self.evaluate(valid, average.module)
            self.record(started, **losses)
            loss = losses[monitor]
            if loss < best_loss or valid is None:
                best, best_loss = epoch, loss
                if valid is not None:
                    best_state = _copy_state(average.module)
            if scheduler is not None and not every_step:
                scheduler.step(*([loss] if schedule.needs_loss else []))
            since, target = (0, loss) if loss < target - tol * abs(target) else (since + 1, target)
            if self._stopped_by_callback(train, valid) or since >= patience:
                break
        if best_state is not None:
            self.module_.load_state_dict(best_state)
        self.notify("on_train_end", X=train.x, y=None)
        return best

    def _stopped_by_callback(self, train, valid):
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


def _copy_state(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def resolve_batch_size(batch_size, n_rows):
    """Return the number of rows of a batch; "auto" aims at the same number of steps for any X."""
    if batch_size is None:
        return n_rows
    if batch_size == "auto":
        return min(n_rows, 256, max(32, 2 ** math.ceil(math.log2(n_rows / 400))))
    return min(batch_size, n_rows)
