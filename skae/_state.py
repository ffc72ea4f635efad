"""Between tensors on a device and the arrays that a fitted estimator is stored as."""

from typing import Any

import numpy as np
import torch


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


def to_numpy(value: Any):
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy().copy()
    if isinstance(value, dict):
        return {key: to_numpy(item) for key, item in value.items()}
    return [to_numpy(item) for item in value] if isinstance(value, list) else value


def to_torch(value: Any):
    if isinstance(value, np.ndarray):
        return torch.tensor(np.asarray(value))
    if isinstance(value, dict):
        return {key: to_torch(item) for key, item in value.items()}
    return [to_torch(item) for item in value] if isinstance(value, list) else value
