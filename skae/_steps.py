"""The private skorch net: its loss, a step, an epoch."""

from collections import Counter
from functools import partial

import skorch
import torch
from torch import nn

from ._data import batches, n_batches
from ._distributed import world
from ._flat import FlatParameters
from ._gradients import known_gradient
from .penalties import Coding

# Rows that tell the reconstruction error well enough to set the size of a corruption by it.
_ERROR_ROWS = 512
# What a trimmed row counts: with nothing at all, nets were free to explode on such rows.
_TRIMMED = 0.01
# What is drawn to evaluate a loss: the same at each epoch.
_EVALUATION_SEED = 0
# Of what is there, what is hidden at most to learn to fill gaps.
_MOST_HIDDEN = 0.5
# Rows evaluated at once.
_CHUNK = 8192


class Criterion(nn.Module):
    """The reconstruction loss of each row, over the entries that are there.

    Parameters
    ----------
    loss : Loss
    partial : float or True
        The share of entries that are missing; True where they are the ends of sequences.
    """

    def __init__(self, loss, partial):
        super().__init__()
        self.loss = loss
        self.partial = partial

    def forward(self, eta, target):
        return (self.loss.per_observed if self.partial else self.loss.per_sample)(eta, target)


class Steps(skorch.NeuralNet):
    """The skorch net behind the estimators, as far as one epoch goes.

    Takes a built module and strategies instead of classes, trains on `Rows` already on the device,
    and leaves out what skorch does for each row and each batch.

    Parameters
    ----------
    module : nn.Module
        With ``encode``, ``decode`` and a ``head``.
    criterion : Criterion
    optimizer : skae.optimizers.Optimizer
    lr : float
    alpha : float
        Weight decay.
    gradient_clip : float or None
        The largest norm of a step's gradient.
    trim : float
        Share of each batch's rows, those with the largest losses, that count next to nothing.
    corruption : skae.corruptions.Corruption or None
    penalty : skae.penalties.Penalty or None
    callbacks : list
        Skorch callbacks, the net's own to keep.
    device : str
    verbose : int
    """

    def __init__(
        self,
        module,
        criterion,
        *,
        optimizer,
        lr,
        alpha,
        gradient_clip,
        trim,
        corruption,
        penalty,
        callbacks,
        device,
        verbose,
    ):
        super().__init__(
            module,
            criterion,
            optimizer=optimizer,
            lr=lr,
            train_split=None,
            callbacks=callbacks,
            device=device,
            verbose=verbose,
        )
        self.alpha = alpha
        self.gradient_clip = gradient_clip
        self.trim = trim
        self.corruption = corruption
        self.penalty = penalty
        # Steps in the running mean of partial_fit.
        self.n_averaged_ = 0
        # The root mean squared error of training rows, lately.
        self.error_ = 0.0
        # The share of the training that is over, for penalties that change with it.
        self.progress_ = 0.0

    @property
    def _default_callbacks(self):
        return []

    def initialize_optimizer(self, triggered_directly=None):
        self.gradient_ = None
        # cuDNN lays out the weights of recurrent layers itself
        cudnn = self.device.startswith("cuda") and any(
            isinstance(layer, nn.RNNBase) for layer in self.module_.modules()
        )
        self.flat_ = FlatParameters(
            self.module_.own_parameters(), self.optimizer.elementwise and not cudnn
        )
        self.optimizer_ = self.optimizer.build(self.flat_.vectors, self.lr, self.alpha)
        critic = self.module_.critic
        self.critic_optimizer_ = None if critic is None else critic.build_optimizer()
        # with the module and the optimizer in a pickle or a copy, as they share their tensors
        shared = {*self.cuda_dependent_attributes_, "flat_", "critic_optimizer_"}
        self.cuda_dependent_attributes_ = sorted(shared)
        return self

    def __getstate__(self):
        return super().__getstate__() | {"gradient_": None}

    def optimizers(self):
        """Return the optimizer, and the critic's if there is one."""
        return [o for o in (self.optimizer_, self.critic_optimizer_) if o is not None]

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.history.new_epoch()
        # The start is epoch 0 and has a row of its own.
        self.history.record("epoch", len(self.history) - 1)

    def train_step(self, batch, **fit_params):
        """Take one step and return the loss before it and its terms, as tensors on the device."""
        share = world()
        x = self.hide(share.pad(batch.x), self.generator_)
        seen = share.own(self.seen(x, self.corruption, self.generator_))
        influence = partial(_influence, weight=batch.weight, trim=self.trim) if self.trim else None
        terms = {}
        if self.gradient_ is not None:
            loss = self.gradient_(seen, batch, influence)
        else:
            self.flat_.zero_grad()
            losses, terms = self.losses_of(batch, self.module_, seen, self.generator_)
            if influence is not None:
                losses = losses * influence(losses)
            loss = losses.mean()
            loss.backward()
        step = share.sum_step(self.flat_.vectors, {"loss": loss.detach(), **terms})
        if self.callbacks_:
            named = list(self.module_.named_parameters())
            self.notify("on_grad_computed", named_parameters=named, batch=batch, training=True)
            self.flat_.collect()
        if self.gradient_clip is not None:
            self.flat_.clip(self.gradient_clip)
        self.flat_.step(self.optimizer_)
        if self.critic_optimizer_ is not None:
            step["critic"] = self.critic_step(seen)
        return step

    def critic_step(self, x):
        """Let the penalty's critic take one step, and return its loss before it."""
        with torch.no_grad():
            outputs = self.module_.outputs(x)
        self.critic_optimizer_.zero_grad(set_to_none=True)
        loss = self.penalty.critic_loss(self.coding(x, outputs, self.module_, self.generator_))
        loss.backward()
        self.critic_optimizer_.step()
        return loss.detach()

    def hide(self, x, generator):
        """Return rows with as large a share of their entries missing as is missing anyway.

        The loss knows the entries hidden, so that the net learns to fill gaps, and is chosen by
        how well it does: to reconstruct what it sees takes less.
        """
        missing = self.criterion_.partial
        if not missing or self.module_.head.padded:
            return x
        draw = torch.rand(x.shape, generator=generator).to(x.device)
        return torch.where(draw < min(missing, _MOST_HIDDEN), torch.nan, x)

    def seen(self, x, corruption, generator, module=None):
        """Return rows as the encoder is to see them: completed, and corrupted if they are to be."""
        if self.criterion_.partial:
            x = (module or self.module_).complete(x)
        if corruption is None:
            return x
        corrupted = corruption.corrupt(x, self.error_, generator)
        # padding stays what it is
        return torch.where(torch.isnan(x), x, corrupted) if self.module_.head.padded else corrupted

    def coding(self, x, outputs, module, generator, training=True):
        """Return what a penalty is to see of some rows."""
        k = module.n_components
        loss = self.criterion_.loss
        temperature = 1.0
        if loss.free_scale is not None:
            temperature = loss.free_scale * module.start_loss
        # the loss is a mean over the entries
        temperature = temperature / (x.shape[1] / loss.entry_width)
        return Coding(
            x,
            outputs[:, :k],
            outputs[:, k:],
            module,
            temperature,
            generator,
            self.progress_,
            training,
        )

    def losses_of(self, rows, module, seen, generator=None, training=True):
        """Return the weighted loss of each of some rows, and the mean of each of its terms.

        Parameters
        ----------
        rows : Rows
        module : nn.Module
            The net's own or one that stands in for it.
        seen : Tensor
            The rows as the encoder is to see them.
        generator : torch.Generator
        training : bool
            Whether a step is taken.
        """
        target = module.head.target(rows.x)
        terms = {}
        if self.penalty is None:
            losses = self.criterion_(module(seen), target)
        else:
            pad, own = world().pad, world().own
            coding = self.coding(pad(seen), pad(module.outputs(seen)), module, generator, training)
            losses = self.criterion_(module.decode(own(self.penalty.draw(coding))), target)
            terms = {name: own(term) for name, term in self.penalty.terms(coding).items()}
            terms = {"reconstruction": losses, **terms}
            losses = sum(terms.values())
        if rows.weight is not None:
            losses = losses * rows.weight
            terms = {name: term * rows.weight for name, term in terms.items()}
        return losses, {name: term.detach().mean() for name, term in terms.items()}

    @torch.no_grad()
    def measure_error(self, table):
        """Note the root mean squared error of (a sample of) the rows, for the corruption."""
        x = table.some(_ERROR_ROWS).batch(slice(None)).x
        seen = self.seen(x, None, None)
        eta = self.module_(seen) if self.gradient_ is None else self.gradient_.output(seen)
        residual = self.module_.head.to_net(eta) - x
        self.error_ = residual.square().nanmean().sqrt().item()

    @torch.no_grad()
    def evaluate(self, table, module=None, held_out=False):
        """Return the loss of each row and the means of its terms, computed some rows at a time.

        Held-out rows are seen as the net will see them: corrupted, if that is what it is for, and
        with gaps, if there are any. What is drawn is the same each time, so that epochs can be
        compared.
        """
        module = module or self.module_
        generator, noise = (torch.Generator().manual_seed(_EVALUATION_SEED) for _ in range(2))
        denoises = held_out and self.corruption is not None and self.corruption.denoises
        # One tensor: small ones between large ones would keep the memory of these from reuse.
        losses, terms = torch.zeros(len(table)), Counter()
        share = world()
        for block in table.blocks(_CHUNK):
            part = share.part(block.start, block.stop)
            if part.start == part.stop:
                # The last rows are fewer than the processes.
                continue
            rows = table.batch(part)
            corruption = self.corruption if denoises else None
            x = share.pad(rows.x)
            x = self.hide(x, noise) if held_out else x
            seen = share.own(self.seen(x, corruption, noise, module))
            loss, means = self.losses_of(rows, module, seen, generator, training=False)
            losses[part] = loss.cpu()
            for name, mean in means.items():
                terms[name] += mean.item() * len(loss) / len(table)
        total = Counter()
        everyone = share.gather((losses, terms))
        for _, its_terms in everyone:
            total.update(its_terms)
        return sum(its_losses for its_losses, _ in everyone), total

    def figures(self, kind, table, module=None):
        """Return the mean loss and its terms, by the names that the history has them under."""
        losses, terms = self.evaluate(table, module, held_out=kind == "valid")
        return {f"{kind}_loss": losses.mean().item()} | {
            f"{kind}_{name}": value for name, value in terms.items()
        }

    def run_epoch(self, train, batch_size, scheduler=None, average=None, epoch=1, n_epochs=1):
        """Train on every row once and return the mean loss of the batches and its terms.

        Outside of it the module is in its evaluation mode.
        """
        if epoch < 2 or self.callbacks_:
            # only a callback may change the module meanwhile
            self.gradient_ = None
            if self.penalty is None:
                self.gradient_ = known_gradient(self.module_, self.criterion_)
        if self.corruption is not None:
            self.measure_error(train)
        self.module_.train()
        totals = {}
        n_steps = n_batches(len(train), batch_size)
        for i, batch in enumerate(batches(train, batch_size, self.generator_)):
            self.progress_ = (epoch + i / n_steps) / n_epochs
            if self.callbacks_:
                self.notify("on_batch_begin", batch=batch, training=True)
            step = self.train_step(batch)
            if scheduler is not None:
                scheduler.step()
            if average is not None:
                average.update()
            if self.callbacks_:
                self.notify("on_batch_end", batch=batch, training=True, **step)
            for name, value in step.items():
                totals[name] = totals[name] + value if i else value
        self.module_.eval()
        return {f"train_{name}": value.item() / n_steps for name, value in totals.items()}


def _influence(losses, weight, trim):
    """Return how much each row counts in a step: next to nothing for those with large losses."""
    # A row is judged by its own loss, not by its weight.
    judged = losses.detach() if weight is None else losses.detach() / weight
    losses = world().whole(judged)
    n_kept = max(1, round((1 - trim) * len(losses)))
    influence = torch.full_like(losses, _TRIMMED)
    influence[torch.topk(losses, n_kept, largest=False)[1]] = 1.0
    return world().own(influence)
