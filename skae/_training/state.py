"""What a net needs to go on in another pass, or from a file."""

import copy

import torch
from sklearn.base import clone

from .callbacks import GrowingAverage


def net_state(net):
    """Return what a net needs to go on: optimizers, running mean of a stream, and history."""
    average, found = dict(net.callbacks_).get("average"), {}
    if isinstance(average, GrowingAverage):
        found = average.state()
    history = [{k: v for k, v in row.items() if k != "batches"} for row in net.history]
    return {
        "optimizers": [optimizer.state_dict() for optimizer in net.optimizers()],
        "average": found,
        "history": history,
    }


def training_params(net):
    """Return what `_build_net` takes to build a net that trains as this one does."""
    names = ("lr", "max_epochs", "batch_size", "train_split", "seed", "refinements")
    # A clone is free of what a training leaves behind. What the average has is in the state.
    own = [
        (name, type(callback)() if name == "average" else clone(callback))
        for name, callback in net.own_callbacks
    ]
    return {name: getattr(net, name) for name in names} | {
        "own": own,
        "kept": net.user_callbacks(),
    }


def resume(net, state):
    """Let a net go on with the optimizers and the history of another."""
    for optimizer, its_state in zip(net.optimizers(), state["optimizers"], strict=True):
        # A copy, because the optimizer takes over what it is given and changes it.
        optimizer.load_state_dict(copy.deepcopy(its_state))
    for row in state["history"]:
        net.history.new_epoch()
        for key, value in row.items():
            net.history.record(key, value)


def has_weights(net, model):
    """Return whether a net has the weights of a model, rounded to its own float type."""
    own, other = net.module_.state_dict(), model.module.state_dict()
    return all(torch.equal(own[key].cpu(), other[key].to(own[key].dtype)) for key in own)
