"""The optimizers on a deep net of images: the error of test images against epochs and seconds."""

import gzip
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer
from skae._data.selection import resolve_batch_size
from skae.optimizers import OPTIMIZERS

from .costs import _engine
from .datasets import FASHION, FOLDERS, Unavailable, find_file

WIDTHS, WIDTH = (1000, 500, 250), 30
N_TRAIN, N_TEST = 10_000, 5_000
# Rounds of steps that all optimizers take in turn, and steps of one in a round: with ten of them
# one of SOAP's is an update of its bases.
ROUNDS, STEPS = 3, 10
# Epochs of the fits to all training images: some four and ten minutes on two cores.
WHOLE = (10, 24)


@dataclass(frozen=True)
class Choice:
    """An optimizer, how it was set, and the numbers of epochs of its fits."""

    optimizer: str
    batch_size: int | str = "auto"
    learning_rate: float | str = "auto"
    alpha: float = 0.0
    params: tuple[tuple[str, object], ...] = ()
    lengths: tuple[int, ...] = (4, 8)

    def net(self, n_epochs, seed, batch_size=None, transform_max_iter=0):
        return AutoencoderTransformer(
            WIDTH,
            hidden_layer_sizes=WIDTHS,
            optimizer=OPTIMIZERS[self.optimizer](**dict(self.params)),
            batch_size=batch_size or self.batch_size,
            learning_rate=self.learning_rate,
            alpha=self.alpha,
            max_iter=n_epochs,
            random_state=seed,
            # where the training is compared, codes are the encoder's
            transform_max_iter=transform_max_iter,
        )


# But for the default, chosen by the error of other training images after 8 epochs, see
# docs/benchmarks/tried.rst; of AdamW's weight decay one value was tried.
CHOICES = {
    "adam (default)": Choice("adam", lengths=(4, 8, 16)),
    "adam": Choice("adam", 128, 3e-3, lengths=(4, 8, 16)),
    "adamw": Choice("adamw", 128, 3e-3, alpha=0.02),
    "soap": Choice("soap", 128, 5e-3),
    "muon": Choice("muon", 256, 5e-3, params=(("n_iter", 3),)),
}


def images(kind, n_rows, seed):
    """Return some images, or all, of a file in MNIST's format: rows of 784 pixels in [0, 1]."""
    name = f"{kind}-images-idx3-ubyte"
    try:
        path, reader = find_file(FASHION, f"{name}.gz"), gzip.open
    except Unavailable:
        path, reader = find_file(FASHION, name), open
    with reader(path, "rb") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784)
    rows = np.random.default_rng(seed).choice(len(pixels), n_rows or len(pixels), replace=False)
    return pixels[rows].astype(np.float32) / 255


def squared_error(model, test):
    """Return the mean squared error of an image, whose values are clipped to [0, 1]."""
    codes = model.transform(test)
    rebuilt = np.clip(model.inverse_transform(codes), 0, 1)
    return float(((rebuilt - test) ** 2).sum(1).mean())


def folder():
    """Return the name of the folder of images."""
    return Path(os.environ.get(FASHION, FOLDERS[FASHION])).name


def deep(names, n_seeds, done, leave_out, peers=None) -> Iterator[dict]:
    """Yield the seconds of a step of each optimizer, and the error after fits of some lengths.

    Parameters
    ----------
    names : list of str
        Parts: "steps", "fits" or "whole".
    n_seeds : int
    done : set of tuple
        Keys of the rows that are there already.
    leave_out : callable
        Told of what is not measured, and why.
    peers : list of str or None
        Of `CHOICES`; None: all, and PCA.
    """
    try:
        for name in names:
            for seed in range(n_seeds):
                for row in PARTS[name](seed, done, peers):
                    yield {"set": name, "images": folder(), "seed": seed} | row
    except Unavailable as reason:
        leave_out("fits", "every peer", str(reason))


def _steps(seed, done, peers):
    """Yield the seconds of the processor of a step, all optimizers turn by turn."""
    if peers is not None or ("steps", "adam", 0, seed) in done:
        return
    nets, batches = {}, {}
    for peer, choice in CHOICES.items():
        size = choice.batch_size
        if size == "auto":
            size = resolve_batch_size(size, round(0.9 * N_TRAIN), max(choice.lengths))
        X = images("train", 2 * size, seed)
        model = choice.net(1, seed, size).fit(X)
        nets[peer] = model.net_
        rows, _ = nets[peer].get_split_datasets(X)
        batches[peer] = (rows.batch(slice(size)), None)
    spent = defaultdict(list)
    for _ in range(ROUNDS):
        for peer, net in nets.items():
            net.begin_epoch(True)
            began = time.process_time()
            for _ in range(STEPS):
                net.train_step(batches[peer])
            spent[peer].append((time.process_time() - began) / STEPS)
            net.end_epoch(True, "train")
    for peer, seconds in spent.items():
        size = len(batches[peer][0]["x"])
        yield _row(peer, 0, float(np.median(seconds)), n_rows=size, batch_size=size)


def _fits(seed, done, peers):
    """Yield the error and the seconds of the processor of each fit."""
    train, test = images("train", N_TRAIN, seed), images("t10k", N_TEST, seed)
    if peers is None and ("fits", "PCA", 0, seed) not in done:
        began = time.process_time()
        model = PCA(WIDTH, random_state=seed).fit(train)
        seconds = time.process_time() - began
        yield _row("PCA", 0, seconds, squared_error(model, test), n_rows=N_TRAIN)
    for peer in peers or CHOICES:
        choice = CHOICES[peer]
        for n_epochs in choice.lengths:
            if ("fits", peer, n_epochs, seed) in done:
                continue
            began = time.process_time()
            model = choice.net(n_epochs, seed).fit(train)
            seconds = time.process_time() - began
            error = squared_error(model, test)
            size = model.net_.batch_size
            best = model.history_.index(min(model.history_, key=lambda row: row["valid_loss"]))
            yield _row(peer, n_epochs, seconds, error, best, N_TRAIN, size)


def _whole(seed, done, peers):
    """Yield the error and the seconds of fits to all training images, with all cores."""
    train, test = images("train", None, seed), images("t10k", None, seed)
    if peers is None and ("whole", "PCA", 0, seed) not in done:
        model = PCA(WIDTH, random_state=seed)
        seconds, error = _timed(model, train, test)
        yield _row("PCA", 0, seconds, error, n_rows=len(train))
    for n_epochs in WHOLE:
        if "adam" not in (peers or CHOICES) or ("whole", "adam", n_epochs, seed) in done:
            continue
        model = CHOICES["adam"].net(n_epochs, seed, transform_max_iter=2)
        seconds, error = _timed(model, train, test)
        size = model.net_.batch_size
        yield _row("adam", n_epochs, seconds, error, model.best_iter_, len(train), size)


def _timed(model, train, test):
    """Return the seconds of a fit by the clock, with all cores, and the error of test images."""
    with _engine.all_threads():
        return _engine.seconds(lambda: model.fit(train)), squared_error(model, test)


def _row(peer, n_iter, seconds, error=None, best_iter=None, n_rows=None, batch_size=None):
    return {
        "peer": peer,
        "n_rows": n_rows,
        "batch_size": batch_size,
        "n_iter": n_iter,
        "best_iter": best_iter,
        "error": error,
        "seconds": round(seconds, 4),
    }


PARTS = {"steps": _steps, "fits": _fits, "whole": _whole}


def summarise_deep(rows):
    """Return the figures of each optimizer's fits, and of its steps.

    ``seconds_over_adam`` are the seconds of a fit over those of Adam, as it was chosen, until its
    error is as low, by a line between its fits in the logarithm of the seconds.
    """
    steps = {row["peer"]: row for row in rows if row["set"] == "steps"}
    fits = [row for row in rows if row["set"] == "fits"]
    adam = sorted((row["error"], np.log(row["seconds"])) for row in fits if row["peer"] == "adam")
    summary = {}
    for row in sorted(fits, key=lambda row: (row["peer"] != "PCA", row["peer"], row["n_iter"])):
        name = row["peer"]
        entry = {"error": row["error"], "seconds": row["seconds"]}
        if name in steps and "adam" in steps:
            entry["step_over_adam"] = steps[name]["seconds"] / steps["adam"]["seconds"]
        if adam and adam[0][0] <= row["error"] <= adam[-1][0]:
            until = np.exp(np.interp(row["error"], *zip(*adam, strict=True)))
            entry["seconds_over_adam"] = float(row["seconds"] / until)
        summary[name if name == "PCA" else f"{name}, {row['n_iter']} epochs"] = entry
    return summary
