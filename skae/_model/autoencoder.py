"""The fitted autoencoder: rows to codes, reconstructions and residuals."""

import copy
import dataclasses
from functools import partial

import numpy as np
import torch

from .._data.rows import Standardization, cached_blocks, dense_rows
from .._utils.torch import (
    as_double,
    drawing_from,
    is_tracing,
    limit_threads,
    map_blocks,
    tangents,
    to_numpy,
    to_torch,
)
from .._utils.validation import float_type
from ..architectures._base import AutoencoderModule, PCAFallback, Plan
from ..losses import Likelihood
from ..penalties import EncodedBatch
from ..scorings import Residuals

# Codes over which the mean derivative of the decoder is taken, and the entries of the
# reconstructions at most.
_DERIVATIVE_ROWS, _MOST_ENTRIES = 256, 2**21
# Training rows by which a trained net is measured, as a pass over rows takes as long as an epoch,
# and how many at once: their layers and derivatives stay in the cache.
MEASURED_ROWS, MEASURED_AT_ONCE = 100_000, 512


class Autoencoder:
    """A fitted autoencoder: everything between rows of X and what the net makes of them.

    All that is learnt is here, and all that meets the net goes through here: training, the
    transformer, the detector's scores and explanations, generation.

    Parameters
    ----------
    architecture : Architecture
    plan : Plan
        What the architecture was asked to build.
    loss : Loss
        Fitted.
    penalty : Penalty or None
    standardization : Standardization
    module : AutoencoderModule
        In float64 on the CPU, in evaluation mode.
    """

    def __init__(self, architecture, plan, loss, penalty, standardization, module):
        self.architecture = architecture
        self.plan = plan
        self.loss = loss
        self.penalty = penalty
        self.standardization = standardization
        self.module = module
        # What a PCA start has, as a Tensor of shape (n_components, n_features).
        self.loadings = None
        self.codes = self.noise = None
        self._single = (None, None)
        self._components = None

    @classmethod
    def build(cls, architecture, plan, loss, penalty, standardization, linear, seed):
        """Build an autoencoder with random hidden layers, drawn by a seed.

        `linear` are the linear encoder of shape (n_inputs, n_components) and the linear decoder of
        the transposed shape, or None.
        """
        n_components = plan.n_components
        with drawing_from(seed):
            f, g = architecture.build(plan)
            critic = None if penalty is None else penalty.build_critic(n_components)
        E, D = (None, None) if linear is None else linear
        module = AutoencoderModule(
            f.double(),
            g.double(),
            E,
            None if architecture.tied else D,
            loss,
            standardization,
            n_components,
            architecture.padded,
            plan.zero and not architecture.zeroes,
            None if critic is None else critic.double(),
        ).eval()
        if not architecture.zeroes:
            _check_widths(module, plan)
        return cls(architecture, plan, loss, penalty, standardization, module)

    @property
    def n_components(self):
        return self.plan.n_components

    @property
    def n_weights(self):
        return sum(p.numel() for p in self.module.parameters())

    @property
    def scale(self):
        return self.standardization.scale

    def with_module(self, module):
        """Return the same autoencoder with other weights, a float64 copy of a module's."""
        other = copy.copy(self)
        other.module = copy.deepcopy(module).cpu().double().eval()
        if not self.loss.identity:
            # In float32 it is coarser than the spread around it, far from zero.
            other.module.mean[:] = as_double(self.standardization.mean)
        other._single, other._components = (None, None), None
        return other

    def with_penalty(self, penalty):
        """Return the same autoencoder for another penalty of the same kind."""
        if type(penalty) is not type(self.penalty):
            raise ValueError(
                "A warm start cannot change the kind of the penalty, which is part of the net: it "
                f"was {self.penalty!r} and is {penalty!r} now."
            )
        other = copy.copy(self)
        other.penalty = penalty
        return other

    # -- rows of X to the net and back -----------------------------------------------------------

    def standardized(self, rows):
        """Return dense rows of X as the net takes them, a tensor of their own float type."""
        preparation = self.loss.preparation
        prepared = rows if preparation.is_identity else preparation.transform(rows)[0]
        x = self.standardization.transform(prepared).astype(rows.dtype, copy=False)
        return torch.from_numpy(x)

    def to_data(self, eta):
        """Return predictors of the loss, a tensor, as rows of X."""
        mu = eta if self.loss.identity else self.loss.link(eta)
        mu = mu.detach().cpu().numpy()
        if self.loss.identity:
            mu = self.standardization.inverse_transform(mu)
        return self.loss.preparation.inverse_transform(mu)

    def reconstruction(self, eta):
        """Return predictors of the loss in any float type as rows of X in float64."""
        return self.to_data(eta.double())

    def like(self, rows, rebuilt):
        """Return what dense rows determine of their reconstructions: padding and totals."""
        if self.architecture.padded:
            rebuilt[np.isnan(rows)] = np.nan
        totals = self.loss.preparation.transform(rows)[1]
        return rebuilt if totals is None else rebuilt * totals[:, None]

    def encode(self, X):
        """Return the codes of the rows of X, in X's own float type."""
        module = self._module_as(float_type(X))

        def encode(rows):
            x = self.standardized(rows)
            return self.standardization.scaled(module.encode(module.complete(x)).numpy())

        return self.map_rows(encode, X, self.n_components)

    def decode(self, Z, n_features):
        """Return the reconstructions that belong to codes, in their own float type."""
        module = self._module_as(Z.dtype)

        def decode(codes):
            return self.to_data(module.decode(torch.tensor(codes) / self.scale))

        return self.map_rows(decode, Z, n_features)

    def reconstruct(self, X):
        """Return the reconstructions of the rows of X, in X's own float type."""
        module = self._module_as(float_type(X))

        def reconstruct(rows):
            x = self.standardized(rows)
            return self.like(rows, self.to_data(module(module.complete(x))))

        return self.map_rows(reconstruct, X, X.shape[1])

    def residuals(self, x, missing):
        """Return codes, residuals and losses of standardized, completed rows, differentiable.

        Where entries were missing, the residual is zero and the loss leaves them out.
        """
        module = self.module
        code = module.encode(x)
        eta = module.decode(code)
        target = module.target(x)
        residual = x - module.reconstruction(eta)
        if not is_tracing() and not missing.any():
            return Residuals(code, residual, self.loss.per_sample(eta, target), x)
        residual = torch.where(missing, 0.0, residual)
        loss = self.loss.per_observed(eta, target.masked_fill(missing, torch.nan))
        return Residuals(code, residual, loss, x)

    def map_rows(self, function, X, width, dtype=None):
        """Return what a function makes of dense rows of X, some at a time.

        The function returns an array with `width` columns. The result has X's own float type, or
        `dtype`.
        """
        out = np.empty((X.shape[0], width), dtype or float_type(X))

        def fill(part):
            out[part] = function(dense_rows(X, part))

        blocks = cached_blocks(X.shape[0], max(X.shape[1], width))
        map_blocks(fill, blocks, X.shape[0] * self.n_weights)
        return out

    def _module_as(self, dtype):
        """Return the module in a float type."""
        module = self.module
        if dtype == np.float64:
            return module
        # A copy takes longer than a thousand rows: it is kept as long as the weights are the same.
        tensors = [*module.parameters(), *module.buffers()]
        state = [(id(tensor), tensor._version) for tensor in tensors]
        kept, single = self._single
        if kept != state:
            single = copy.deepcopy(module).float()
            self._single = state, single
        return single

    # -- what is known of the training rows ------------------------------------------------------

    @torch.no_grad()
    def fall_back(self, rows, corruption, error):
        """Let the net be PCA for rows unlike those that it was trained on, if it started as PCA.

        A net that denoises has seen what the corruption, by its error, makes of these rows as well.
        """
        self.module.fallback = None
        if self.loadings is None:
            return
        # Convolutions in float64 take ten times as long. A link needs it, for means far from zero.
        module = self._module_as(np.float32) if self.loss.identity else self.module
        rows = rows.some(MEASURED_ROWS)
        arrays = (torch.from_numpy(rows.array(part)) for part in rows.blocks(MEASURED_AT_ONCE))
        noisy = rows.clean is not None
        blocks = ((module.complete(x.to(module.spread)), noisy) for x in arrays)
        if corruption is not None and corruption.denoises:
            noise = torch.Generator().manual_seed(0)
            corrupt = partial(corruption.corrupt, error=error, generator=noise)
            blocks = (pair for x, _ in blocks for pair in ((x, False), (corrupt(x), True)))
        self.module.fallback = PCAFallback.of(module, self.loadings, blocks)

    def keep_codes(self, x, module):
        """Keep what `components`, samples and likelihoods need of standardized training rows.

        `module` is the net in any float type and on any device.
        """
        with torch.no_grad():
            x = module.complete(x.to(module.spread))
            codes, fallback = module.encode(x).cpu().double(), self.module.fallback
            # Those of PCA lie far away, and say nothing of the net.
            own = codes if fallback is None else codes[~fallback.is_away(codes)]
            self.codes = own.numpy()
            bound = self.penalty is not None and self.penalty.bound
            if bound and isinstance(self.loss, Likelihood):
                batch = EncodedBatch.of(
                    x.cpu().double(), self.module, torch.Generator().manual_seed(0)
                )
                eta = self.module.decode(self.penalty.draw(batch))
                self.noise = self.loss.noise(eta, self.module.target(x))

    def components(self):
        """Return the derivative of the reconstruction by the code, averaged over kept codes.

        It is computed at the first call, as it takes as many derivatives as there are components.
        """
        if self._components is None:
            self._components = self._mean_derivative()
        return self._components

    def keep_start(self):
        """Let `components` be the loadings of PCA, where the net is what it started as."""
        if self.plan.zero and self.loss.identity:
            module = self.module
            loadings = module.E.t() if module.D is None else module.D
            self._components = loadings.detach().numpy().copy()

    def _mean_derivative(self):
        n_codes = min(_DERIVATIVE_ROWS, max(1, _MOST_ENTRIES // self.plan.n_features))
        z = torch.from_numpy(self.codes[:: -(-len(self.codes) // n_codes)])

        def decode(z):
            eta = self.module.decode(z)
            return self.scale * eta if self.loss.identity else self.loss.link(eta)

        directions = torch.eye(self.n_components, dtype=z.dtype)
        with limit_threads(1):
            slopes = [tangent.mean(0) for tangent in tangents(decode, z, directions)]
        return torch.stack(slopes).numpy() / self.scale

    # -- state -----------------------------------------------------------------------------------

    def to_state(self):
        """Return the state as NumPy arrays, strategies and plain Python."""
        state = {k: v for k, v in vars(self).items() if k not in ("module", "_single")}
        state["standardization"] = dict(vars(self.standardization))
        state["plan"] = dataclasses.asdict(self.plan)
        state["loadings"] = None if self.loadings is None else self.loadings.numpy()
        known = self.module.fallback
        state["refinements"] = self.module.refinements
        state["fallback"] = None if known is None else to_numpy(dict(known.named_buffers()))
        return state | {"weights": to_numpy(self.module.state_dict())}

    @classmethod
    def from_state(cls, state):
        """Return the autoencoder that a state was made of."""
        weights = to_torch(state["weights"])
        linear = None
        if "E" in weights:
            linear = weights["E"], weights.get("D", weights["E"].T)
        model = cls.build(
            state["architecture"],
            Plan(**state["plan"]),
            state["loss"],
            state["penalty"],
            Standardization(**state["standardization"]),
            linear,
            0,  # the weights replace what is drawn
        )
        model.module.load_state_dict(weights)
        if state["loadings"] is not None:
            model.loadings = torch.from_numpy(state["loadings"])
        fallback = state.get("fallback") or _of_earlier(state.get("training_codes"))
        if fallback is not None:
            model.module.fallback = PCAFallback(**to_torch(fallback))
        model.module.refinements = state.get("refinements", 0)
        for name in ("codes", "noise", "_components"):
            setattr(model, name, state[name])
        return model


def _of_earlier(known):
    """Return the fallback of a model that was stored when more was kept of the training codes."""
    if known is None:
        return None
    unbounded = np.full(known["loadings"].shape[1], np.inf)
    largest = np.abs([known["centre"] + known["low"], known["centre"] + known["high"]]).max(0)[-1]
    own = {"low": -unbounded, "high": unbounded, "largest": np.asarray(largest)}
    return {"loadings": known["loadings"], "slack": known["slack"]} | own


def _check_widths(module, plan):
    """Check by two rows that the encoder and the decoder return what they should."""
    for name, part, n_in, n_out in (
        ("encoder", module.f, plan.n_features, plan.n_outputs),
        ("decoder", module.g, plan.n_components, plan.n_features),
    ):
        try:
            with torch.no_grad():
                out = part(torch.zeros(2, n_in, dtype=torch.float64)).flatten(1)
        except RuntimeError as error:
            raise ValueError(
                f"The architecture's {name} cannot take what it is given, two rows of {n_in} "
                f"values: {error}"
            ) from error
        if out.shape != (2, n_out):
            raise ValueError(
                f"The architecture's {name} must return {n_out} values a sample, of "
                f"{plan.n_components} components and what the penalty needs beside them, but it "
                f"returned {out.shape[1]} for each of {len(out)} from two samples."
            )
