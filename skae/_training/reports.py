"""What a training tells of itself while it runs: a bar, lines, a log."""

import logging
import sys

from skorch.callbacks import Callback
from tqdm import tqdm

from .._utils.stored import Stored

logger = logging.getLogger("skae")


class ProgressReport(Stored, Callback):
    """Show a progress bar (``verbose=1``) or print a line an epoch (above)."""

    def on_train_begin(self, net, **kwargs):
        self.bar_ = None
        if net.verbose == 1:
            self.bar_ = tqdm(total=net.max_epochs, unit="epoch", file=sys.stderr)

    def on_epoch_end(self, net, **kwargs):
        row = net.history[-1]
        losses = _losses(row)
        if self.bar_ is not None:
            self.bar_.set_postfix(losses, refresh=False)
            self.bar_.update()
        elif net.verbose > 1:
            print(f"epoch {row['epoch']}/{net.max_epochs}: {_as_text(losses)}")

    def on_train_end(self, net, **kwargs):
        if self.bar_ is not None:
            self.bar_.close()


def reading(n_rows):
    """Return a context during which a line says that so many rows are read."""
    text = f"reading {n_rows:,} rows"
    return tqdm(desc=text, bar_format="{desc}", leave=False, file=sys.stderr)


class EpochLog(Stored, Callback):
    """Log a line for each epoch."""

    def on_epoch_end(self, net, **kwargs):
        row = net.history[-1]
        logger.debug("epoch %d of %d: %s", row["epoch"], net.max_epochs, _as_text(_losses(row)))


def _losses(row):
    """Return the losses of a row of the history, to four digits."""
    return {key: f"{row[key]:.4g}" for key in ("train_loss", "valid_loss") if key in row}


def _as_text(losses):
    return ", ".join(f"{key} {value}" for key, value in losses.items())
