"""Several small nets trained side by side: one product of stacked weights for all of their steps.

A step of a small net is mostly calls of torch, which then serve all of the nets. Each net has its
own rows, draws, callbacks and history, as if it were trained alone.
"""

from contextlib import suppress

import torch

from .fast import DenseGradient, Layer, Weight, known_gradient
from .net import Net, _influence, _target

# Multiply-adds of a net's step up to which several at once are faster; larger ones fill a core.
_SMALL = 2**24


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
    small = net.batch_size * net.model.n_weights <= _SMALL
    return gradient is not None and gradient.squared and small and net.max_epochs > 0


def _kind(net):
    return repr((net.settings.architecture, net.model.plan, net.settings.trim, net.device))


def train_together(nets, all_rows):
    """Train nets that are alike on their rows, as ``partial_fit`` of each would."""
    flats = [net.flat_ for net in nets]
    vectors = torch.stack([flat.vectors[0].detach() for flat in flats])
    gradients = torch.zeros_like(vectors)
    for flat, vector, gradient in zip(flats, vectors, gradients, strict=True):
        flat.move(vector, gradient)
    trainings = [_training(net, rows) for net, rows in zip(nets, all_rows, strict=True)]
    try:
        _run(nets, trainings, vectors, gradients)
    except KeyboardInterrupt:
        # Each of the others keeps what it has so far.
        for training in trainings:
            with suppress(KeyboardInterrupt, StopIteration):
                training.throw(KeyboardInterrupt)
    finally:
        for flat, vector in zip(flats, vectors, strict=True):
            flat.move(vector.clone(), torch.zeros_like(vector))


def _run(nets, trainings, vectors, gradients):
    """Let trainings run step by step until the last one ends."""
    stack, losses = None, dict.fromkeys(range(len(nets)))
    while losses:
        batches = {}
        for i, loss in losses.items():
            with suppress(StopIteration):
                batches[i] = trainings[i].send(loss)
        if len(batches) < len(nets):
            # Some nets have ended: there are fewer rows than those of the others make batches of.
            losses = {
                i: nets[i].train_step_single((batch, None))["loss"].item()
                for i, batch in batches.items()
            }
            continue
        if stack is None:
            stack = _gradient_of_all(nets[0], vectors, gradients)
        losses = dict(enumerate(_losses(stack, nets, list(batches.values()))))


def _gradient_of_all(first, vectors, gradients):
    """Return the gradient of all nets, which are laid out as the first one, at once."""
    one, origin = first.gradient_, first.flat_.vectors[0].storage_offset()

    def weight(own):
        start, size = own.value.storage_offset() - origin, own.value.numel()
        parts = (matrix[:, start : start + size] for matrix in (vectors, gradients))
        return Weight(*(part.unflatten(1, own.value.shape) for part in parts))

    def layers(stack):
        return [Layer(weight(own.weight), weight(own.bias), own.activation) for own in stack]

    E, D = (weight(one.E), weight(one.D)) if one.linear else (None, None)
    return DenseGradient(one.module, one.criterion, layers(one.f), layers(one.g), E, D)


def _losses(stack, nets, batches):
    """Return the loss of each net's batch, and leave the gradients with the nets."""
    sizes = [len(batch["x"]) for batch in batches]
    targets = _stacked([_target(batch) for batch in batches], sizes)
    seen = [net.seen_in_training(batch["x"]) for net, batch in zip(nets, batches, strict=True)]
    same = all(x is _target(batch) for x, batch in zip(seen, batches, strict=True))
    seen = targets if same else _stacked(seen, sizes)
    weight, trim = None, nets[0].settings.trim
    if len(set(sizes)) > 1 or any("sample_weight" in batch for batch in batches):
        # The mean over rows is that over as many as the longest batch has.
        weight = _stacked(
            [
                batch.get("sample_weight", targets.new_ones(size)) * (max(sizes) / size)
                for batch, size in zip(batches, sizes, strict=True)
            ],
            sizes,
        )

    def influence(losses):
        if len(set(sizes)) == 1:
            return _influence(losses, weight, trim)
        # Rows that only fill up a batch are not to be ranked.
        parts = zip(losses, weight, sizes, strict=True)
        return _stacked([_influence(loss[:n], own[:n], trim) for loss, own, n in parts], sizes)

    return stack(seen, targets, weight, influence if trim else None)[0].tolist()


def _stacked(parts, sizes):
    """Return tensors as one, with zeros at the ends of those that are shorter than the longest."""
    if len(set(sizes)) == 1:
        return torch.stack(parts)
    out = parts[0].new_zeros(len(parts), max(sizes), *parts[0].shape[1:])
    for own, part in zip(out, parts, strict=True):
        own[: len(part)] = part
    return out


def _training(net, rows):
    """Train as skorch's ``partial_fit`` does, but yield each batch and be sent its loss.

    Who sends it has left the gradient with the net.
    """
    net.module_.training_codes = None
    net.notify("on_train_begin", X=rows, y=None)
    try:
        train, valid = net.get_split_datasets(rows)
        about = {"dataset_train": train, "dataset_valid": valid}
        batches = net.get_iterator(train, training=True)
        held_out = None if valid is None else net.get_iterator(valid)
        for _ in range(net.max_epochs):
            net.notify("on_epoch_begin", **about)
            net.begin_epoch(True)
            for batch in batches:
                net.notify("on_batch_begin", batch=batch, training=True)
                loss = yield batch[0]
                net.take_step()
                net.history.record_batch("train_loss", loss)
                net.history.record_batch("train_batch_size", len(batch[0]["x"]))
                net.notify("on_batch_end", batch=batch, training=True, loss=loss)
            net.history.record("train_batch_count", len(batches))
            net.end_epoch(True, "train")
            net.run_single_epoch(held_out, False, "valid", net.validation_step)
            try:
                net.notify("on_epoch_end", **about)
            except KeyboardInterrupt:
                # So a callback ends the training of this net.
                break
    except KeyboardInterrupt:
        net.drop_unfinished_epoch()
        net.notify("on_train_end", X=rows, y=None)
        raise
    net.notify("on_train_end", X=rows, y=None)
