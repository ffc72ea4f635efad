"""From parameters to a net at its start."""

import copy
from contextlib import nullcontext

import numpy as np
import torch
from sklearn.base import clone

from . import _state
from ._distributed import world
from ._parameters import AutoencoderParameters
from ._runtime import seeded
from ._steps import Criterion
from ._strategies import resolve
from ._training import Net
from .architectures import Plan
from .architectures._base import Autoencoder
from .corruptions import Corruption
from .losses import Loss
from .losses._head import Head
from .optimizers import Optimizer
from .penalties import Penalty
from .schedules import Schedule

# Of the error of the mean: what a perfect start counts as, so that a penalty still has a unit.
_LEAST_SHARE = 0.01


class NetBuilder(AutoencoderParameters):
    """Resolves the parameters and builds the net that they describe."""

    def _resolve_training(self, resumed):
        """Turn the parameters that a warm start may change into strategies."""
        self.corruption_ = None if self.corruption is None else resolve(Corruption, self.corruption)
        before = getattr(self, "penalty_", None) if resumed else None
        self.penalty_ = None if self.penalty is None else resolve(Penalty, self.penalty)
        if resumed and type(before) is not type(self.penalty_):
            raise ValueError(
                "A warm start cannot change the kind of the penalty, which is part of the net: it "
                f"was {before!r} and is {self.penalty_!r} now."
            )
        if self.penalty_ is not None:
            self.penalty_.check(self.loss_function_, self.architecture_)
        self.optimizer_ = resolve(Optimizer, self.optimizer)
        self.schedule_ = None if self.schedule is None else resolve(Schedule, self.schedule)

    def _resolve(self):
        """Turn the parameters that decide what the net is into strategies and a seed."""
        self.architecture_ = self._new_architecture()
        self.loss_function_ = resolve(Loss, self.loss)
        if self.init == "pca" and not self.architecture_.linear_path:
            raise ValueError(
                "init='pca' needs an architecture with linear_path=True. Pass init='random' with "
                f"architecture={self.architecture_!r}."
            )
        self._generator = self._new_generator()

    def _build_module(self, linear):
        """Build the module in float64, with random hidden layers."""
        architecture, penalty, k = self.architecture_, self.penalty_, self.n_components_
        plan = Plan(
            self.loss_function_.net_shape(self._shape()),
            k,
            k * (1 if penalty is None else penalty.n_outputs),
            self._sizes(),
            self.activation,
            self.init == "pca",
        )
        with seeded(self._seed()):
            f, g = architecture.build(plan)
            critic = None if penalty is None else penalty.build_critic(k)
        E, D = (None, None) if linear is None else map(_state.as_double, linear)
        mean = _state.as_double(self.mean_)
        module = Autoencoder(
            f.double(),
            g.double(),
            E,
            None if architecture.tied else D,
            Head(self.loss_function_, mean, self._scale, architecture.padded),
            k,
            plan.zero and not architecture.zeroes,
            None if critic is None else critic.double(),
        ).eval()
        if not architecture.zeroes:
            _check_widths(module, plan)
        return module

    def _shape(self):
        return tuple(self.input_shape or (self.n_features_in_,))

    def _rate(self):
        return self.architecture_.rate * self.optimizer_.default_learning_rate

    def _sizes(self):
        if isinstance(self.hidden_layer_sizes, str):
            return self.architecture_.default_sizes
        return tuple(int(width) for width in self.hidden_layer_sizes)

    def _build_net(self, device=None):
        """Build the skorch net around a float32 copy of the module."""
        net = Net(
            copy.deepcopy(self.module_).float(),
            Criterion(self.loss_function_, self._partial),
            optimizer=self.optimizer_,
            lr=self._rate() if self.learning_rate == "auto" else float(self.learning_rate),
            alpha=self.alpha,
            gradient_clip=self.gradient_clip,
            trim=self.trim,
            corruption=self.corruption_,
            penalty=self.penalty_,
            callbacks=clone(list(self.callbacks or ()), safe=False),
            device=device or world().resolve_device(self.device),
            verbose=int(self.verbose) if world().rank == 0 else 0,
        )
        return net.initialize()

    @torch.no_grad()
    def _measure_start(self, table):
        """Note the spread of the code, the error and the loss: the units of the penalties.

        A start that reconstructs (nearly) everything has a hundredth of what the mean alone leaves.
        """
        module = self.module_
        weight = table.weight
        criterion = Criterion(self.loss_function_, self._partial)
        codes, errors, losses, means = [], [], [], []
        for block in table.blocks():
            part = torch.from_numpy(table.array(block).astype(np.float64))
            code = module.encode(module.complete(part))
            eta = module.decode(code)
            codes.append(code)
            # A row with nothing in it has no error.
            errors.append((module.head.to_net(eta) - part).square().nanmean(1).nan_to_num())
            target = module.head.target(part)
            losses.append(criterion(eta, target))
            means.append(criterion(module.decode(torch.zeros_like(code)), target))
        if self.init == "pca":
            codes = torch.cat(codes).numpy()
            spread = np.sqrt(np.average(codes**2, axis=0, weights=weight))
            module.spread[:] = torch.from_numpy(np.where(spread > 1e-6, spread, 1.0))
        error, loss, of_mean = (
            np.average(torch.cat(values).numpy(), weights=weight)
            for values in (errors, losses, means)
        )
        # 1 is the error of the mean, by the scale.
        module.noise.fill_(max(error, _LEAST_SHARE))
        module.start_loss.fill_(max(loss, _LEAST_SHARE * of_mean))

    def _seed(self):
        return int(self._generator.integers(np.iinfo(np.int64).max))

    def _torch_generator(self):
        return torch.Generator().manual_seed(self._seed())

    def _seeded(self):
        """Return a context for the training: of a seed of torch's own where modules draw."""
        # What modules draw for their rows must differ between processes.
        seed = self._seed() + world().rank
        return seeded(seed) if self.architecture_.draws else nullcontext()


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
