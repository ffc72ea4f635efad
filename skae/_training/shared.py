"""What nets that are trained side by side share: batches and draws, and the optimizer.

A member is a net with its rows, see `skae._training.together`.
"""

import copy

import torch
from torch import nn

from .net import _ERROR_ROWS


class Source:
    """Nets that see the same batches and draw the same numbers.

    They have the same rows, corruption and state of their generators.
    """

    def __init__(self, members):
        first = members[0]
        self.members = members
        self.generator, self.corruption = first.net.generator_, first.net.settings.corruption
        self.train, self.valid = first.train, first.valid
        self.some = self.train.some(_ERROR_ROWS).batch(slice(None))
        self.errors = None

    def batches(self, training):
        """Return an iterator over the batches of an epoch."""
        rows = self.train if training else self.valid
        for batch, _ in self.members[0].net.get_iterator(rows, training=training):
            yield batch

    def each(self, values):
        """Return the same values for each of the nets."""
        return values.expand(len(self.members), *values.shape)

    @property
    def denoises(self):
        """Whether held-out rows are to be corrupted."""
        return self.corruption is not None and self.corruption.denoises

    def seen_held_out(self, x, generator):
        """Return held-out rows as each net's encoder is to see them."""
        return self.corrupted(x, generator) if self.denoises else self.each(x)

    def note_errors(self):
        self.errors = self.some["x"].new_tensor([m.net.error_ for m in self.members])[:, None, None]

    def corrupted(self, x, generator):
        """Return rows as each net's encoder is to see them."""
        if self.corruption.several:
            return self.corruption.corrupt(x[None], self.errors, generator).expand(
                len(self.members), *x.shape
            )
        return self.corruption.corrupt(x, self.members[0].net.error_, generator)[None]

    def share_out(self):
        state = self.generator.get_state()
        for member in self.members[1:]:
            member.net.generator_.set_state(state)


def row_counts(batch):
    """Return how much each row of a batch counts."""
    weight = batch.get("sample_weight")
    return batch["x"].new_ones(len(batch["x"])) if weight is None else weight


def source_key(member):
    corruption = member.net.settings.corruption
    if corruption is not None and not corruption.several:
        return id(member)
    state = member.net.generator_.get_state().numpy().tobytes()
    return member.source, member.net.batch_size, repr(corruption), state


class Steps:
    """The optimizer of nets that have the same one at the same rate, for all of them at once."""

    def __init__(self, nets, vectors, gradients):
        first = nets[0]
        self.nets = nets
        self.vectors = nn.Parameter(vectors)
        self.vectors.grad = gradients
        self.optimizer = first.optimizer.build([self.vectors], first.lr, first.settings.alpha)
        states = [_state(net) for net in nets]
        if states[0]:
            self.optimizer.state[self.vectors] = {
                name: torch.stack([state[name] for state in states])
                if _is_vector(value)
                else copy.deepcopy(value)
                for name, value in states[0].items()
            }

    def take(self):
        self.optimizer.param_groups[0]["lr"] = self.nets[0].optimizer_.param_groups[0]["lr"]
        self.optimizer.step()

    def share_out(self):
        for i, net in enumerate(self.nets):
            state = self.optimizer.state.get(self.vectors, {})
            net.optimizer_.state[net.flat_.vectors[0]] = {
                name: value[i].clone() if _is_vector(value) else copy.deepcopy(value)
                for name, value in state.items()
            }


def steps_key(member):
    net, settings = member.net, member.net.settings
    if settings.schedule is not None and settings.schedule.needs_loss:
        return id(net)
    counts = [(name, float(v)) for name, v in _state(net).items() if _is_count(v)]
    rates = net.lr, net.optimizer_.param_groups[0]["lr"], settings.alpha, net.max_epochs
    return repr((settings.optimizer, settings.schedule, rates, counts))


def _state(net):
    """Return what the optimizer of a net keeps."""
    return net.optimizer_.state.get(net.flat_.vectors[0], {})


def _is_vector(value):
    return isinstance(value, torch.Tensor) and value.dim() > 0


def _is_count(value):
    return isinstance(value, torch.Tensor) and value.dim() == 0
