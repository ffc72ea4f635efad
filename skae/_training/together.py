"""Several small nets trained side by side: their weights are one matrix, and a step is one step.

A step of a small net is mostly calls of torch, which then serve all of the nets. Each net has its
own rows, draws, callbacks and history, as if it were trained alone; only the figures of single
batches are left out of the history.
"""

import copy
from collections import defaultdict

import torch
from skorch.callbacks import Callback
from torch import nn

from .._utils.torch import mark_stepped
from .callbacks import check_error
from .fast import DenseGradient, Layer, Weight, known_gradient
from .net import _ERROR_ROWS, _EVALUATION_SEED, Net, _influence

# Multiply-adds of a net's step up to which several at once are faster; larger ones fill a core.
_SMALL = 2**24
# Nets in a stack, and rows that all of them evaluate at once.
_MOST_NETS, _EVALUATED_ROWS = 64, 2**14
# Callbacks whose part is done for all nets of a stack at once.
_STACKED = {"train_loss", "valid_loss", "noise_level"}


def are_alike(nets):
    """Return whether nets have the same layers and settings, and small steps."""
    stackable = len(nets) > 1 and all(map(can_be_stacked, nets))
    return stackable and len({_kind(net) for net in nets}) == 1


def can_be_stacked(net):
    """Return whether a net may be trained beside others of its kind."""
    # A user's callback may change the net in the middle of its training.
    plain = type(net) is Net and not net.callbacks and len(net.flat_.vectors) == 1
    plain = plain and net.settings.checkpoint is None
    if not plain or net.settings.penalty is not None or net.model.architecture.draws:
        return False
    gradient = known_gradient(net.module_, net.criterion_)
    if gradient is None or not gradient.squared or not net.settings.optimizer.elementwise:
        return False
    return net.batch_size * net.model.n_weights <= _SMALL and net.max_epochs > 0


def _kind(net):
    names = [name for name, _ in net.callbacks_]
    return repr((net.settings.architecture, net.model.plan, net.settings.trim, net.device, names))


def train_together(nets, all_rows):
    """Train nets that can be stacked on their rows, as ``partial_fit`` of each would.

    Returns what has ended the training of each net: an error or None. Ctrl-C ends the training of
    all nets, which keep what they have, and is raised again.
    """
    shared, kinds = {}, defaultdict(list)
    members = [_Member(*pair, shared) for pair in zip(nets, all_rows, strict=True)]
    for member in members:
        kinds[_kind(member.net), *member.n_batches].append(member)
    for alike in kinds.values():
        for start in range(0, len(alike), _MOST_NETS):
            _train(alike[start : start + _MOST_NETS])
    return [member.error for member in members]


def _train(members):
    """Train nets of one kind that have as many batches an epoch, until the last one ends."""
    stack = None
    try:
        while members:
            stack = _Stack(members)
            going_on = members
            while len(going_on) == len(members):
                stack.train_epoch()
                going_on = [m for m in members if m.epochs_left and m.error is None]
            stack.share_out()
            for member in members:
                if member not in going_on:
                    member.leave()
            members = going_on
    except KeyboardInterrupt:
        stack.share_out()
        for member in members:
            member.net.drop_unfinished_epoch()
            member.leave()
        raise
    finally:
        for member in members:
            member.own_memory()


class _Member:
    """A net that is trained beside others, on rows which nets of the same rows share.

    `source` is the same for nets that train on the same rows and hold out the same.
    """

    def __init__(self, net, rows, shared):
        self.net, self.rows, self.error = net, rows, None
        net.module_.fallback = None
        mark_stepped(net.optimizer_)
        net.notify("on_train_begin", X=rows, y=None)
        train, valid = net.get_split_datasets(rows)
        parts = [train, *([] if valid is None else [valid])]
        weights = [None if part.weight is None else part.weight.tobytes() for part in parts]
        self.source = id(rows.X), *(part.index.tobytes() for part in parts), *weights
        self.train, self.valid = shared.setdefault(self.source, (train, valid))
        self.about = {"dataset_train": self.train, "dataset_valid": self.valid}
        self.epochs_left = net.max_epochs
        evaluated = [] if valid is None else net.get_iterator(valid)
        self.n_batches = len(net.get_iterator(train, training=True)), len(evaluated)
        callbacks = dict(net.callbacks_)
        self.average, self.rate = callbacks.get("average"), callbacks["learning_rate"]
        self._listeners = {
            event: [
                getattr(callback, event)
                for name, callback in net.callbacks_
                if name not in _STACKED
                and getattr(type(callback), event) is not getattr(Callback, event)
            ]
            for event in ("on_epoch_begin", "on_epoch_end")
        }

    def notify(self, event):
        """Tell the callbacks of an epoch; what they raise ends the training of this net."""
        if self.error is not None or not self.epochs_left:
            return
        try:
            for listener in self._listeners[event]:
                listener(self.net, **self.about)
        except KeyboardInterrupt:
            self.epochs_left = 0
        except Exception as error:
            self.error = error

    def leave(self):
        """End the training of this net."""
        if self.error is None:
            self.net.notify("on_train_end", X=self.rows, y=None)
        self.own_memory()

    def note_error(self, error):
        """Let the net note its reconstruction error, which must be a number."""
        self.net.error_ = error
        try:
            check_error(self.net)
        except ValueError as failure:
            self.error = failure

    def own_memory(self):
        """Let the net's weights be in memory of its own."""
        vector = self.net.flat_.vectors[0].detach().clone()
        self.net.flat_.move(vector, torch.zeros_like(vector))
        self.net.gradient_ = None


class _Source:
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


def _row_counts(batch):
    """Return how much each row of a batch counts."""
    weight = batch.get("sample_weight")
    return batch["x"].new_ones(len(batch["x"])) if weight is None else weight


def _source_key(member):
    corruption = member.net.settings.corruption
    if corruption is not None and not corruption.several:
        return id(member)
    state = member.net.generator_.get_state().numpy().tobytes()
    return member.source, member.net.batch_size, repr(corruption), state


class _Steps:
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


def _steps_key(member):
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


class _Stack:
    """Nets of one kind that take their steps at once."""

    def __init__(self, members):
        alike = _grouped(members, _steps_key)
        self.members = [member for group in alike for member in group]
        self.nets = [member.net for member in self.members]
        flats = [net.flat_ for net in self.nets]
        self.vectors = torch.stack([flat.vectors[0].detach() for flat in flats])
        self.gradients = torch.zeros_like(self.vectors)
        for flat, vector, gradient in zip(flats, self.vectors, self.gradients, strict=True):
            flat.move(vector, gradient)
        self.averages = None
        if self.members[0].average is not None:
            self._stack_averages()
        self.steps, start = [], 0
        for group in alike:
            part = slice(start, start + len(group))
            nets = [member.net for member in group]
            self.steps.append(_Steps(nets, self.vectors[part], self.gradients[part]))
            start += len(group)
        sources = _grouped(self.members, _source_key)
        self.sources = [_Source(group) for group in sources]
        # Where the rows of each net are among those of the sources.
        place = {id(m): i for i, m in enumerate(m for group in sources for m in group)}
        self.order = torch.tensor([place[id(m)] for m in self.members], device=self.vectors.device)
        self.gradient = _gradient_of_all(self.nets[0], self.vectors, self.gradients)
        clips = [net.settings.gradient_clip or torch.inf for net in self.nets]
        self.clips = None if min(clips) == torch.inf else self.vectors.new_tensor(clips)
        self.trim = self.nets[0].settings.trim

    def _stack_averages(self):
        kept = [member.average.average_ for member in self.members]
        self.averages = torch.stack(
            [v if own is None else own[0] for own, v in zip(kept, self.vectors, strict=True)]
        )
        for member, vector, average in zip(self.members, self.vectors, self.averages, strict=True):
            member.average.current_, member.average.average_ = [vector], [average]

    def share_out(self):
        """Let each net have what it would have if it had been trained alone."""
        for part in [*self.steps, *self.sources]:
            part.share_out()

    # -- an epoch --------------------------------------------------------------------------------

    @torch.no_grad()
    def train_epoch(self):
        """Train all nets for an epoch, and note their losses."""
        for member in self.members:
            member.net.on_epoch_begin(member.net, **member.about)
            member.notify("on_epoch_begin")
        if self.nets[0].settings.corruption is not None:
            self._measure_errors()
        losses, sizes = [], []
        for batches in zip(*(source.batches(True) for source in self.sources), strict=True):
            losses.append(self._step(batches))
            sizes.append([len(batch["x"]) for batch in batches])
        sizes = self._of_nets([*zip(*sizes, strict=True)])
        losses = torch.stack(losses, 1).double()
        figures = {"train_loss": (losses * sizes).sum(1) / sizes.sum(1)}
        if self.members[0].valid is not None:
            figures["valid_loss"] = self._held_out_losses()
        figures = {name: values.tolist() for name, values in figures.items()}
        for i, member in enumerate(self.members):
            row = member.net.history[-1]
            row["train_batch_count"] = self.members[0].n_batches[0]
            row.update({name: values[i] for name, values in figures.items()})
            member.notify("on_epoch_end")
            member.epochs_left = max(member.epochs_left - 1, 0)

    def _step(self, batches):
        """Take a step by a batch of each source, and return the loss of each net."""
        sizes = [len(batch["x"]) for batch in batches]
        x = seen = self._rows(batches)
        if self.nets[0].settings.corruption is not None:
            pairs = zip(self.sources, batches, strict=True)
            seen = self._joined([s.corrupted(batch["x"], s.generator) for s, batch in pairs])
        weight = None
        if len(set(sizes)) > 1 or any("sample_weight" in batch for batch in batches):
            # The mean over rows is that over as many as the longest batch has.
            weight = self._weights(batches, [max(sizes) / size for size in sizes])
        influence = self._influence(sizes, weight) if self.trim else None
        loss, _ = self.gradient(seen, x, weight, influence)
        if self.clips is not None:
            self._clip()
        for part in self.steps:
            part.take()
        if self.averages is not None:
            self._average()
        for member in self.members:
            member.rate.on_batch_end(member.net, training=True)
        return loss

    def _influence(self, sizes, weight):
        if len(set(sizes)) == 1:
            return lambda losses: _influence(losses, weight, self.trim)
        sizes = self._of_nets(sizes).int().tolist()

        def influence(losses):
            # Rows that only fill up a batch are not to be ranked.
            out = torch.zeros_like(losses)
            for own, loss, counts, n in zip(out, losses, weight, sizes, strict=True):
                own[:n] = _influence(loss[:n], counts[:n], self.trim)
            return out

        return influence

    def _clip(self):
        norms = torch.linalg.vector_norm(self.gradients, dim=1)
        if (norms > self.clips).any():
            factors = (self.clips / (norms + 1e-6)).clamp_(max=1.0)
            self.gradients.mul_(factors[:, None])

    def _average(self):
        weights = [member.average.next_weight() for member in self.members]
        if len(set(weights)) > 1:
            self.averages.lerp_(self.vectors, self.averages.new_tensor(weights)[:, None])
        else:
            self.averages.lerp_(self.vectors, weights[0])

    # -- evaluation ------------------------------------------------------------------------------

    def _measure_errors(self):
        """Let each net note its error, as `measure_error` does for one."""
        batches = [source.some for source in self.sources]
        x = self._rows(batches)
        shares = [1 / _row_counts(batch).sum() for batch in batches]
        squares = self._losses(x, x) * self._weights(batches, shares)
        for member, error in zip(self.members, squares.sum(1).sqrt().tolist(), strict=True):
            member.note_error(error)
        for source in self.sources:
            source.note_errors()

    def _held_out_losses(self):
        """Return the loss of each net on its held-out rows."""
        for member in self.members:
            if member.average is not None:
                member.average.on_batch_begin(member.net, training=False)
        total, denoises = 0.0, any(source.denoises for source in self.sources)
        noises = [torch.Generator().manual_seed(_EVALUATION_SEED) for _ in self.sources]
        for batches in zip(*(source.batches(False) for source in self.sources), strict=True):
            x = seen = self._rows(batches)
            if denoises:
                triples = zip(self.sources, batches, noises, strict=True)
                seen = self._joined([s.seen_held_out(b["x"], noise) for s, b, noise in triples])
            weight = self._weights(batches, [1 / len(s.valid) for s in self.sources])
            total = total + (self._losses(seen, x) * weight).double().sum(1)
        return total

    def _losses(self, seen, x):
        """Return the loss of each row of each net, some rows at a time."""
        n_rows = max(1, _EVALUATED_ROWS // len(self.nets))
        parts = zip(seen.split(n_rows, 1), x.split(n_rows, 1), strict=True)
        return torch.cat([self.gradient.losses(*part) for part in parts], 1)

    # -- from sources to nets --------------------------------------------------------------------

    def _rows(self, batches):
        return self._joined([s.each(b["x"]) for s, b in zip(self.sources, batches, strict=True)])

    def _weights(self, batches, factors):
        """Return how much each row of each net counts, times a factor of its source."""
        triples = zip(self.sources, batches, factors, strict=True)
        return self._joined([s.each(_row_counts(batch) * factor) for s, batch, factor in triples])

    def _joined(self, parts):
        """Return what sources have for each of their nets in the order of the nets.

        Parts that have fewer rows than the longest one end in zeros.
        """
        longest = max(part.shape[1] for part in parts)
        for i, part in enumerate(parts):
            if part.shape[1] < longest:
                parts[i] = part.new_zeros(part.shape[0], longest, *part.shape[2:])
                parts[i][:, : part.shape[1]] = part
        return torch.cat(parts).index_select(0, self.order)

    def _of_nets(self, values):
        """Return numbers of the sources as those of their nets."""
        counts = torch.tensor([len(source.members) for source in self.sources])
        values = torch.tensor(values, dtype=torch.float64).repeat_interleave(counts, 0)
        return values.to(self.order.device).index_select(0, self.order)


def _grouped(members, key):
    groups = defaultdict(list)
    for member in members:
        groups[key(member)].append(member)
    return list(groups.values())


def _gradient_of_all(first, vectors, gradients):
    """Return the gradient of all nets, which are laid out as the first one, at once."""
    one = known_gradient(first.module_, first.criterion_)
    origin = first.flat_.vectors[0].storage_offset()

    def weight(own):
        start, size = own.value.storage_offset() - origin, own.value.numel()
        parts = (matrix[:, start : start + size] for matrix in (vectors, gradients))
        return Weight(*(part.unflatten(1, own.value.shape) for part in parts))

    def layers(stack):
        return [Layer(weight(own.weight), weight(own.bias), own.activation) for own in stack]

    E, D = (weight(one.E), weight(one.D)) if one.linear else (None, None)
    return DenseGradient(one.module, one.criterion, layers(one.f), layers(one.g), E, D)
