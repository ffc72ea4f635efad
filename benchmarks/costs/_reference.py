"""The floor of what skae can cost: a torch loop written by hand over the same net."""

import copy
import time

import numpy as np
import torch
from torch.nn.functional import mse_loss

from skae import AutoencoderTransformer

RATE = 1e-3
# What skae does that the loop does not.
SAME_WORK = {
    "learning_rate": RATE,
    "corruption": None,
    "schedule": None,
    "gradient_clip": None,
    "early_stopping": False,
}


def net_rows(X, of=None):
    """Return rows as the net has them: centred and divided by the one scale of X (or of others)."""
    of = X if of is None else of
    of = of.astype(np.float64)
    mean = of.mean(0)
    scale = np.sqrt(((of - mean) ** 2).mean())
    return torch.from_numpy(((X - mean) / scale).astype(np.float32))


def start_module(X, k, hidden, seed=0):
    """Return the module of skae at its start, in float32: PCA, with a linear path."""
    model = AutoencoderTransformer(
        k, hidden_layer_sizes=hidden, max_iter=0, random_state=seed, **SAME_WORK
    ).fit(X)
    return float_module(model)


def float_module(model):
    """Return a copy of a fitted estimator's module in float32."""
    return copy.deepcopy(model.module_).float()


def torch_loop(module, x, batch_size, n_epochs, seed=0):
    """Train a module with the mean squared error and fused Adam on permuted slices of rows.

    Parameters
    ----------
    module : torch.nn.Module
        Maps rows to rows; is trained in place.
    x : Tensor of shape (n, n_features)
    batch_size : int
        Batches are as many as skae's, so that both take the same steps.
    n_epochs : int
    seed : int

    Returns
    -------
    losses : list of float
        The mean loss of each epoch's batches, each before its step.
    durations : list of float
        The seconds of each epoch.
    """
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE, fused=True)
    generator = torch.Generator().manual_seed(seed)
    n_batches = max(1, len(x) // batch_size)
    losses, durations = [], []
    module.train()
    for _ in range(n_epochs):
        began = time.perf_counter()
        total = torch.zeros(())
        for index in torch.randperm(len(x), generator=generator).tensor_split(n_batches):
            batch = x[index]
            optimizer.zero_grad(set_to_none=True)
            loss = mse_loss(module(batch), batch)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        losses.append(total.item() / n_batches)
        durations.append(time.perf_counter() - began)
    return losses, durations
