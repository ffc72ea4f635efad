"""Recurrent nets for sequences of equal or different lengths."""

from numbers import Integral

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from .._utils.sklearn import Interval, StrOptions
from .._utils.torch import is_tracing
from ._base import Architecture

_CELLS = {"gru": nn.GRU, "lstm": nn.LSTM}


class _Encoder(nn.Module):
    """Maps sequences to vectors: a linear layer of the last states of the last recurrent layer."""

    def __init__(self, shape, cells, embedding, last):
        super().__init__()
        self.shape = shape
        self.cells = cells
        self.embedding = embedding
        self.last = last

    def forward(self, x):
        x = x.unflatten(1, self.shape)
        observed = ~torch.isnan(x[:, :, 0])
        x = self.embedding(torch.nan_to_num(x))
        if is_tracing():
            lengths = observed.sum(1).clamp(min=1)
            for cell in self.cells:
                x, hidden = _unpacked(cell, x, lengths)
            return self.last(hidden)
        if not observed.all():
            # torch needs at least one step, even of a sequence that is all padding.
            lengths = observed.sum(1).clamp(min=1).cpu()
            x = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        for cell in self.cells:
            x, state = cell(x)
        hidden = state[0] if isinstance(state, tuple) else state
        return self.last(hidden.transpose(0, 1).flatten(1))


def _unpacked(cell, x, lengths):
    """Return a layer's outputs and last states for sequences of these lengths, without packing.

    Packed sequences cannot be traced. The direction that reads backwards gets each sequence
    reversed, but for its padding; and what is beyond the end of a sequence changes no step before.
    """
    last = lengths[:, None] - 1
    steps = torch.arange(x.shape[1], device=x.device)
    backwards = torch.where(steps <= last, last - steps, steps)
    outputs, states = [], []
    for suffix in ("", "_reverse")[: 1 + cell.bidirectional]:
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        weights = [getattr(cell, name + suffix) for name in names]
        start = x.new_zeros(1, x.shape[0], cell.hidden_size)
        seen = _steps_at(x, backwards) if suffix else x
        options = (True, 1, 0.0, False, False, True)
        if isinstance(cell, nn.LSTM):
            out = torch.lstm(seen, (start, start), weights, *options)[0]
        else:
            out = torch.gru(seen, start, weights, *options)[0]
        states.append(_steps_at(out, last)[:, 0])
        outputs.append(_steps_at(out, backwards) if suffix else out)
    return torch.cat(outputs, 2), torch.cat(states, 1)


def _steps_at(x, positions):
    """Return the steps of each sequence at these positions."""
    return x.gather(1, positions[:, :, None].expand(-1, -1, x.shape[2]))


class _Decoder(nn.Module):
    """Maps vectors to sequences: the vector is the input of the recurrent layers at every step."""

    def __init__(self, n_steps, first, cells, last):
        super().__init__()
        self.n_steps = n_steps
        self.first = first
        self.cells = cells
        self.last = last

    def forward(self, z):
        x = self.first(z)[:, None].expand(-1, self.n_steps, -1)
        for cell in self.cells:
            x, _ = cell(x)
        return self.last(x)


class Recurrent(Architecture, name="recurrent", also=("rnn", "lstm", "gru")):
    """Recurrent layers from a sequence to its code, a vector, and back to a sequence.

    The encoder computes the code from the last states of its last layer. The decoder gets the code
    as input at every step. Each entry of ``hidden_layer_sizes`` is the number of units of a layer.

    ``input_shape`` is (T, F) for sequences of T steps of F values, or (T,) for one value per step.
    Without it a sample is a sequence of shape (n_features,). Sequences with fewer than T steps are
    padded with NaN at their ends. The encoder and the loss ignore the padding.

    Parameters
    ----------
    cell : {"gru", "lstm"}, default="gru"
        The kind of the recurrent layers.
    bidirectional : bool, default=False
        Whether each layer reads the sequence in both directions.
    embedding_size : int or None, default=None
        The width of a linear layer that is applied to each step before the recurrent layers: for
        tokens, whose steps are as wide as the vocabulary, an embedding. None: no such layer.
    linear_path : bool or "auto", default="auto"
        Whether a linear encoder and decoder are added to the layers, as the PCA start needs them.
        With "auto" they are added if ``init="pca"``.

    References
    ----------
    I. Sutskever et al., "Sequence to Sequence Learning with Neural Networks", NIPS 2014.

    K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical
    Machine Translation", EMNLP 2014.

    S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997.

    Examples
    --------
    >>> import numpy as np
    >>> from skae import AutoencoderTransformer
    >>> steps = np.arange(20)
    >>> X = np.sin(np.random.default_rng(0).uniform(0.2, 1.0, (100, 1)) * steps)
    >>> X[:50, 15:] = np.nan  # shorter sequences
    >>> model = AutoencoderTransformer(
    ...     2, architecture="recurrent", input_shape=(20,), max_iter=2, random_state=0
    ... )
    >>> model.fit_transform(X).shape
    (100, 2)
    """

    default_sizes = (64,)
    zeroes = True
    series = True
    draws = False
    padded = True
    _parameter_constraints: dict = {
        "cell": [StrOptions(set(_CELLS))],
        "bidirectional": ["boolean"],
        "embedding_size": [Interval(Integral, 1, None, closed="left"), None],
        "linear_path": ["boolean", StrOptions({"auto"})],
    }

    def __init__(
        self,
        cell: str = "gru",
        bidirectional: bool = False,
        embedding_size: int | None = None,
        linear_path: bool | str = "auto",
    ):
        self.cell = cell
        self.bidirectional = bidirectional
        self.embedding_size = embedding_size
        self.linear_path = linear_path

    def build(self, plan):
        if len(plan.shape) > 2 or not plan.hidden_layer_sizes:
            raise ValueError(
                "A Recurrent needs sequences, input_shape=(T,) or (T, F), and at least one entry "
                f"in hidden_layer_sizes; got {plan.shape!r} and {plan.hidden_layer_sizes!r}."
            )
        n_steps, width = plan.shape if len(plan.shape) == 2 else (*plan.shape, 1)
        sizes, n_directions = plan.hidden_layer_sizes, 1 + self.bidirectional
        embedding, n_inputs = nn.Identity(), width
        if self.embedding_size is not None:
            n_inputs = self.embedding_size
            embedding = nn.Linear(width, n_inputs, bias=False)
        last = plan.end(nn.Linear(n_directions * sizes[-1], plan.n_outputs))
        f = _Encoder((n_steps, width), self._cells(n_inputs, sizes), embedding, last)
        first = nn.Linear(plan.n_components, sizes[-1])
        last = plan.end(nn.Linear(n_directions * sizes[0], width))
        return f, _Decoder(n_steps, first, self._cells(sizes[-1], sizes[::-1]), last)

    def _cells(self, n_inputs, sizes):
        cell, cells = _CELLS[self.cell], nn.ModuleList()
        for size in sizes:
            cells.append(cell(n_inputs, size, batch_first=True, bidirectional=self.bidirectional))
            n_inputs = (1 + self.bidirectional) * size
        return cells
