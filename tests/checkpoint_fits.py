"""A fit in a process of its own, for the tests that kill it."""

import os
import tempfile

import numpy as np
import torch

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer


def estimator(checkpoint=None):
    return AutoencoderTransformer(2, max_iter=60, checkpoint=checkpoint, random_state=0)


def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6))


def fit(checkpoint, out):
    """Fit, and save the codes of the rows and the losses."""
    torch.set_num_threads(1)
    fitted = estimator(checkpoint).fit(rows())
    losses = [row["train_loss"] for row in fitted.history_]
    np.savez(out, codes=fitted.transform(rows()), losses=losses)


def fit_in(folder, begun):
    """Fit a detector whose nets take long, with a folder for all temporary files."""
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None
    torch.set_num_threads(1)
    begun.set()
    AutoencoderAnomalyDetector(max_iter=5000, random_state=0).fit(rows())
