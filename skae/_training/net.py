"""The skorch net that trains an autoencoder."""

import copy
import math
from functools import partial

import numpy as np
import skorch
import torch
from skorch.callbacks import Callback, EpochTimer, PassthroughScoring
from torch import nn

from .._data.rows import Batches, Rows, dense_rows
from .._data.selection import merge_rows, split_rows
from .._utils.stored import Stored
from .._utils.validation import as_matrix
from ..penalties import EncodedBatch
from .fast import FlatParameters, known_gradient

# Rows that tell the reconstruction error well enough to set the size of a corruption by it.
_ERROR_ROWS = 512
# What a trimmed row counts: with nothing at all, nets were free to explode on such rows.
_TRIMMED = 0.01
# What is drawn to evaluate a loss: the same at each epoch.
_EVALUATION_SEED = 0
# Of what is there, what is hidden at most to learn to fill gaps.
_MOST_HIDDEN = 0.5
# Rows evaluated at once.
_EVALUATED_ROWS = 8192
# What skorch's callbacks are told of at every batch.
_BATCH_EVENTS = ("on_batch_begin", "on_grad_computed", "on_batch_end")
# What a fit makes and skorch would make anew, or not use at all.
_FIXED = {"module", "criterion", "compile", "dataset", "iterator_train", "iterator_valid"}


class ReconstructionLoss(nn.Module):
    """The loss of each row, over the entries that are there.

    `missing` is the fraction of entries that are missing; 1 where they are the ends of sequences.
    """

    def __init__(self, loss, missing):
        super().__init__()
        self.loss = loss
        self.missing = missing

    def forward(self, eta, target):
        return (self.loss.per_observed if self.missing else self.loss.per_sample)(eta, target)


class HoldOut(Stored):
    """skorch's ``train_split``: hold out a fraction of the rows, the same of the same rows."""

    def __init__(self, fraction, generator):
        self.fraction = fraction
        self.generator = generator

    def __call__(self, rows, y=None):
        generator = copy.deepcopy(self.generator)
        return tuple(map(rows.take, split_rows(len(rows), self.fraction, generator)))


class Net(skorch.NeuralNet):
    """The skorch net behind the estimators.

    It predicts and trains on rows of X: ``predict`` returns reconstructions in the units of X. Its
    module, in float32 on the device, is not the one that the estimator predicts with: what the net
    learns after ``fit`` is the net's alone. A dict stands for a batch of `Rows`, as skorch's
    callbacks pass one on.

    Parameters
    ----------
    module : AutoencoderModule
    criterion : ReconstructionLoss
    model : Autoencoder
        Standardizes rows and returns reconstructions to the units of X.
    settings : Settings
        Of the fit, see `skae._fit`.
    own_callbacks : list of (str, skorch.callbacks.Callback)
        What this net's training consists of, see `skae._training.callbacks`.
    seed : int
        Of the order of the rows and of what corruptions and penalties draw.
    refinements : int
        Steps by which the codes of what is predicted are refined. Losses are of the encoder's own.
    **params : dict
        More parameters of skorch's net: ``train_split`` is a `HoldOut` or None, and ``callbacks``
        are the user's.
    """

    def __init__(
        self, module, criterion, *, model, settings, own_callbacks, seed, refinements=0, **params
    ):
        super().__init__(
            module,
            criterion,
            optimizer=settings.optimizer,
            predict_nonlinearity=model.reconstruction,
            verbose=int(settings.verbose),
            **params,
        )
        self.model = model
        self.settings = settings
        self.own_callbacks = own_callbacks
        self.seed = seed
        self.refinements = refinements
        # The root mean squared error of training rows, lately.
        self.error_ = 0.0
        # The fraction of the training that is over, for penalties that change with it.
        self.progress_ = 1.0

    # -- what skorch's initialize asks for -------------------------------------------------------

    @property
    def _default_callbacks(self):
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring("train_loss", on_train=True)),
            ("valid_loss", PassthroughScoring("valid_loss")),
            *self.own_callbacks,
        ]

    def user_callbacks(self):
        """Return pairs of a name and a callback of the user's, initialized."""
        own = dict(self._default_callbacks)
        return [(name, callback) for name, callback in self.callbacks_ if name not in own]

    def take_callbacks(self, callbacks, initialized):
        """Go on with callbacks of the user's, and with what they have collected."""
        self.callbacks = callbacks
        self.callbacks_ += initialized
        self._order_callbacks()

    def initialize_callbacks(self):
        super().initialize_callbacks()
        self._order_callbacks()
        return self

    def _order_callbacks(self):
        # What ends the training comes last, so that the others see the last epoch.
        self.callbacks_.sort(key=lambda entry: entry[0] == "early_stopping")
        # Most callbacks have nothing to do at each batch.
        self.listeners_ = {
            event: [
                getattr(callback, event)
                for _, callback in self.callbacks_
                if getattr(type(callback), event, None) is not getattr(Callback, event)
            ]
            for event in _BATCH_EVENTS
        }

    def set_params(self, **params):
        for key in params:
            if key.partition("__")[0] in _FIXED:
                raise ValueError(
                    f"{key!r} cannot be set in this net: its module, its loss and its batches are "
                    "made by the fit of an estimator. Set the estimator's parameters and fit it."
                )
        super().set_params(**params)
        if any(key.partition("__")[0] == "callbacks" for key in params):
            self._initialize_callbacks()
        return self

    def __sklearn_clone__(self):
        raise TypeError(
            "This net cannot be cloned: what it is was made by the fit of an estimator. Clone the "
            "estimator, or copy the net by copy.deepcopy."
        )

    def initialize_optimizer(self, triggered_directly=None):
        self.gradient_ = None
        # cuDNN lays out the weights of recurrent layers itself
        cudnn = self.device.startswith("cuda") and any(
            isinstance(layer, nn.RNNBase) for layer in self.module_.modules()
        )
        self.flat_ = FlatParameters(
            self.module_.own_parameters(), self.optimizer.elementwise and not cudnn
        )
        self.optimizer_ = self.optimizer.build(self.flat_.vectors, self.lr, self.settings.alpha)
        if self.module_.critic is not None:
            self.critic_optimizer_ = self.module_.critic.build_optimizer()
        self.generator_ = torch.Generator().manual_seed(self.seed)
        for layer in self.module_.modules():
            if hasattr(layer, "generator"):
                layer.generator = self.generator_
        # with the module and the optimizer in a pickle or a copy, as they share their tensors
        shared = {*self.cuda_dependent_attributes_, "flat_"}
        self.cuda_dependent_attributes_ = sorted(shared)
        return self

    # -- the training ----------------------------------------------------------------------------

    def notify(self, method_name, **cb_kwargs):
        if method_name not in _BATCH_EVENTS:
            super().notify(method_name, **cb_kwargs)
            return
        getattr(self, method_name)(self, **cb_kwargs)
        for listener in self.listeners_[method_name]:
            listener(self, **cb_kwargs)

    def fit_loop(self, X, y=None, epochs=None, **fit_params):
        refused = sorted(set(fit_params) - {"_routing_method"})
        if refused:
            raise TypeError(
                f"This net is trained on rows alone, and was given {', '.join(refused)}. The "
                "estimator's fit takes weights of rows."
            )
        self.module_.fallback = None
        try:
            return super().fit_loop(X, y, epochs, **fit_params)
        except KeyboardInterrupt:
            self.drop_unfinished_epoch()
            raise

    def drop_unfinished_epoch(self):
        """Take the last epoch out of the history if it has no figures."""
        if self.history and "train_loss" not in self.history[-1]:
            self.history.pop()

    # -- rows ------------------------------------------------------------------------------------

    def get_dataset(self, X, y=None):
        if isinstance(X, Rows | dict):
            return X
        X = as_matrix(X)
        return self._rows(X, np.arange(X.shape[0]), None)

    def _rows(self, X, index, weight):
        standardization = self.model.standardization
        rows = Rows(X, index, weight, self.criterion_.loss.preparation, standardization)
        n_features = len(standardization.mean)
        if rows.n_features != n_features:
            raise ValueError(
                f"X has {rows.n_features} features, and the net was built for {n_features}."
            )
        return rows

    def get_split_datasets(self, X, y=None, **fit_params):
        if not isinstance(X, Rows):
            X = as_matrix(X)
            self.criterion_.loss.check(X)
            # so that the rows held out are those of the estimator
            X = self._rows(X, *merge_rows(X, None))
            if not self.module_.padded:
                self.criterion_.missing = X.missing
        train, valid = super().get_split_datasets(X, y, **fit_params)
        for part in (train, valid):
            if part is not None:
                part.hold(self.device)
        return train, valid

    def get_iterator(self, dataset, training=False):
        if isinstance(dataset, dict):
            return [(dataset, None)]
        # Only a user's callback looks at the targets.
        generator = self.generator_ if training else None
        size = self.batch_size if training else _EVALUATED_ROWS
        return Batches(dataset, size, generator, with_targets=bool(self.callbacks))

    # -- a step ----------------------------------------------------------------------------------

    def train_step(self, batch, **fit_params):
        step = self.train_step_single(batch, **fit_params)
        if self.callbacks:
            named = list(self.module_.named_parameters())
            self.notify("on_grad_computed", named_parameters=named, batch=batch, training=True)
            self.flat_.collect()
        self.take_step()
        if self.module_.critic is not None:
            step["critic"] = self.critic_step()
        return step

    def train_step_single(self, batch, **fit_params):
        """Compute the gradient of a batch's loss; return the loss, its terms and predictions."""
        rows, _ = batch
        seen = self.seen_in_training(rows["x"])
        if self.module_.critic is not None:
            self.seen_ = seen
        weight, trim = rows.get("sample_weight"), self.settings.trim
        influence = partial(_influence, weight=weight, trim=trim) if trim else None
        if self.gradient_ is not None:
            loss, eta = self.gradient_(seen, _target(rows), weight, influence, bool(self.callbacks))
            return {"loss": loss, "y_pred": eta}
        losses, terms, eta = self.losses_of(rows, seen, self.generator_)
        if influence is not None:
            losses = losses * influence(losses)
        loss = losses.mean()
        self.flat_.zero_grad()
        loss.backward()
        return {"loss": loss.detach(), "y_pred": eta.detach(), **terms}

    def take_step(self):
        """Let the optimizer take a step by the gradient."""
        if self.settings.gradient_clip is not None:
            self.flat_.clip(self.settings.gradient_clip)
        self.flat_.step(self.optimizer_)

    def critic_step(self):
        """Let the penalty's critic take one step, and return its loss before it."""
        with torch.no_grad():
            encoded = self.encoded(self.seen_, self.generator_)
        self.critic_optimizer_.zero_grad(set_to_none=True)
        loss = self.settings.penalty.critic_loss(encoded)
        loss.backward()
        self.critic_optimizer_.step()
        return loss.detach()

    @torch.no_grad()
    def validation_step(self, batch, **fit_params):
        rows, _ = batch
        losses, terms, eta = self._held_out_losses(rows)
        if self.callbacks:
            # to score what the net predicts, and not what it makes of corrupted rows
            eta = self.infer(rows)
        return {"loss": losses.mean(), "y_pred": eta, **terms}

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """As skorch's, but that the terms of the loss enter the history as well."""
        if iterator is None:
            return
        self.begin_epoch(training)
        super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
        self.end_epoch(training, prefix)

    def begin_epoch(self, training):
        """Make ready for the batches of an epoch, which the net trains on or not."""
        self.terms_ = []
        self._restart_evaluation()
        if training:
            self._find_gradient()
            self._set_training(True)

    def end_epoch(self, training, prefix):
        """Note the terms of the loss after the batches of an epoch."""
        if training:
            self._set_training(False)
        for name, value in _means(self.terms_).items():
            self.history.record(f"{prefix}_{name}", value)

    def on_batch_end(self, net, batch=None, training=False, loss=None, y_pred=None, **terms):
        if terms:
            self.terms_.append((len(batch[0]["x"]), terms))

    def _find_gradient(self):
        # Only a callback of the user's may change the module from one epoch to the next.
        if self.gradient_ is None or self.callbacks:
            plain = self.settings.penalty is None
            self.gradient_ = known_gradient(self.module_, self.criterion_) if plain else None

    # -- losses ----------------------------------------------------------------------------------

    def infer(self, x, **fit_params):
        """Return the predictor of the loss for rows: completed, and not corrupted."""
        x = (x["x"] if isinstance(x, dict) else x).to(self.device)
        module = self.module_
        module.refinements = self.refinements
        try:
            return module(module.complete(x))
        finally:
            module.refinements = 0

    def evaluation_step(self, batch, training=False):
        # A callback may predict in the middle of an epoch.
        before = self.module_.training
        try:
            return super().evaluation_step(batch, training)
        finally:
            self._set_training(before)

    def forward_iter(self, X, training=False, device="cpu"):
        """Yield the net's output for batches of rows, in the order of the rows."""
        for batch in self.get_iterator(self.get_dataset(X)):
            yield self.evaluation_step(batch, training).to(device)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        losses = self.criterion_(y_pred, self.module_.target(_target(X)))
        return (losses * X.get("sample_weight", 1.0)).mean()

    def hide(self, x, generator):
        """Return rows with as many of their entries missing as are missing anyway.

        The loss knows the entries hidden, so that the net learns to fill gaps, and is chosen by
        how well it does: to reconstruct what it sees takes less.
        """
        missing = self.criterion_.missing
        if not missing or self.module_.padded:
            return x
        draw = torch.rand(x.shape, generator=generator).to(x.device)
        return torch.where(draw < min(missing, _MOST_HIDDEN), torch.nan, x)

    def seen(self, x, corruption, generator):
        """Return rows as the encoder is to see them: completed, and corrupted if they are to be."""
        if self.criterion_.missing:
            x = self.module_.complete(x)
        if corruption is None:
            return x
        corrupted = corruption.corrupt(x, self.error_, generator)
        # padding stays what it is
        return torch.where(torch.isnan(x), x, corrupted) if self.module_.padded else corrupted

    def seen_in_training(self, x):
        """Return the rows of a batch as the encoder is to see them in a step."""
        generator = self.generator_
        return self.seen(self.hide(x, generator), self.settings.corruption, generator)

    def encoded(self, seen, generator, training=True):
        """Return what a penalty is to see of some rows."""
        loss, temperature = self.criterion_.loss, 1.0
        if loss.free_scale is not None:
            temperature = loss.free_scale * self.module_.start_loss
        # the loss is a mean over the entries
        temperature = temperature / (seen.shape[1] / loss.preparation.entry_width)
        return EncodedBatch.of(seen, self.module_, generator, temperature, self.progress_, training)

    def coded(self, encoded):
        """Return the codes to decode, and the penalty's terms for each row."""
        return self.settings.penalty.draw(encoded), self.settings.penalty.terms(encoded)

    def losses_of(self, rows, seen, generator=None, training=True):
        """Return the weighted loss of each row of a batch, the means of its terms, and predictors.

        `seen` are the rows as the encoder is to see them. There are terms where the loss has
        several.
        """
        target, weight = self.module_.target(_target(rows)), rows.get("sample_weight")
        terms = {}
        if self.settings.penalty is None:
            eta = self.module_(seen)
            losses = self.criterion_(eta, target)
        else:
            code, terms = self.coded(self.encoded(seen, generator, training))
            eta = self.module_.decode(code)
            terms = {"reconstruction": self.criterion_(eta, target), **terms}
            losses = sum(terms.values())
        if weight is not None:
            losses = losses * weight
            terms = {name: term * weight for name, term in terms.items()}
        return losses, {name: term.detach().mean() for name, term in terms.items()}, eta

    def _restart_evaluation(self):
        self.evaluation_ = [torch.Generator().manual_seed(_EVALUATION_SEED) for _ in range(2)]

    def _held_out_losses(self, rows):
        """Return what `losses_of` does, of rows that are not trained on.

        They are seen as the net will see them: corrupted, if that is what it is for, and with gaps,
        if there are any. What is drawn is the same each time, so that epochs can be compared.
        """
        generator, noise = self.evaluation_
        corruption = self.settings.corruption
        x = self.hide(rows["x"], noise)
        seen = self.seen(x, corruption if corruption and corruption.denoises else None, noise)
        return self.losses_of(rows, seen, generator, training=False)

    @torch.no_grad()
    def evaluate(self, rows, held_out):
        """Return the loss of each row and the means of its terms, for rows held out or not."""
        # One tensor: small ones between large ones would keep the memory of these from reuse.
        losses, found = torch.zeros(len(rows)), []
        self._restart_evaluation()
        for part in rows.blocks(_EVALUATED_ROWS):
            batch = rows.batch(part)
            if held_out:
                loss, terms, _ = self._held_out_losses(batch)
            else:
                seen = self.seen(batch["x"], None, None)
                loss, terms, _ = self.losses_of(batch, seen, self.evaluation_[0], training=False)
            losses[part] = loss.cpu()
            found.append((len(loss), terms))
        return losses, _means(found)

    @torch.no_grad()
    def measure_error(self, rows):
        """Note the root mean squared error of (a sample of) the rows, for the corruption."""
        self._find_gradient()
        batch = rows.some(_ERROR_ROWS).batch(slice(None))
        seen = self.seen(batch["x"], None, None)
        eta = self.module_(seen) if self.gradient_ is None else self.gradient_.output(seen)
        target = _target(batch)
        squares = (self.module_.reconstruction(eta) - target).square()
        if "sample_weight" in batch:
            # A row that counts next to nothing may be far from all others.
            observed = ~torch.isnan(target)
            weight = batch["sample_weight"][:, None] * observed
            squares = squares * (weight * (observed.sum() / weight.sum()))
        error = squares.nanmean().sqrt().item()
        if math.isnan(error) and torch.isnan(batch["x"]).all():
            error = 0.0  # nothing is there that could be wrong
        self.error_ = error

    # -- predictions and copies ------------------------------------------------------------------

    def predict_proba(self, X):
        """Return the reconstructions of rows, in the units of X."""
        rebuilt = super().predict_proba(X)
        if isinstance(X, Rows | dict):
            return rebuilt
        return self.model.like(dense_rows(as_matrix(X), slice(None)), rebuilt)

    def load_params(self, *args, **kwargs):
        """Load what ``save_params`` has saved, as skorch does.

        What is known of the training rows is not saved: what is loaded predicts as the net alone.
        """
        super().load_params(*args, **kwargs)
        self.module_.fallback = None

    def optimizers(self):
        """Return the optimizer, and the critic's if there is one."""
        return [getattr(self, f"{name}_") for name in self._optimizers]

    def __getstate__(self):
        return super().__getstate__() | {"gradient_": None}


def _target(batch):
    """Return the standardized rows that are to be reconstructed of a batch."""
    return batch.get("target", batch["x"])


def _means(found):
    """Return the mean of each term over rows, from means over batches and their sizes."""
    total = sum(size for size, _ in found)
    means = {}
    for size, terms in found:
        for name, value in terms.items():
            means[name] = means.get(name, 0.0) + value.item() * size / total
    return means


def _influence(losses, weight, trim):
    """Return how much each row counts in a step: next to nothing for those with large losses."""
    # A row is judged by its own loss, not by its weight.
    judged = losses.detach() if weight is None else losses.detach() / weight
    n_kept = max(1, round((1 - trim) * judged.shape[-1]))
    influence = torch.full_like(judged, _TRIMMED)
    return influence.scatter_(-1, torch.topk(judged, n_kept, largest=False)[1], 1.0)
