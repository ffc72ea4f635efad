"""Nets that the user defines."""

import inspect
from typing import Any, Self

from torch import nn

from ._base import Architecture


class _Call(nn.Module):
    """A module that gives rows a shape and calls a method of another module."""

    def __init__(self, module, method, shape):
        super().__init__()
        self.module = module
        self.method = method
        self.shape = shape

    def forward(self, x):
        return getattr(self.module, self.method)(x.unflatten(1, self.shape))


class Module(Architecture):
    """Any ``nn.Module`` class with the methods ``encode`` and ``decode``.

    ``architecture=Net`` is short for ``architecture=Module(Net)``.

    Parameters
    ----------
    module : type
        A subclass of ``torch.nn.Module``. ``encode`` maps a batch of samples to codes of shape
        (n, n_components), and ``decode`` maps codes to reconstructions. The batch has the shape
        (n, \\*input_shape), or (n, n_features) without an ``input_shape``. Its features are centred
        and divided by one scale for all features. With some penalties ``encode`` must return more
        columns: with "variational" it is 2 * n_components.
    **params : dict
        Arguments of the class. The estimator sets those that the class takes and that are not
        given here of n_features, n_components, n_outputs (the number of columns of ``encode``),
        input_shape, hidden_layer_sizes and activation.

    Examples
    --------
    >>> from torch import nn
    >>> from skae import AutoencoderTransformer
    >>> from skae.architectures import Module
    >>> class Net(nn.Module):
    ...     def __init__(self, n_features, n_components, width=16):
    ...         super().__init__()
    ...         self.encode = nn.Sequential(
    ...             nn.Linear(n_features, width), nn.ReLU(), nn.Linear(width, n_components)
    ...         )
    ...         self.decode = nn.Linear(n_components, n_features)
    >>> model = AutoencoderTransformer(architecture=Module(Net, width=8))
    >>> model.get_params()["architecture__width"]
    8
    """

    def __init__(self, module: type[nn.Module], **params: Any):
        self.module = module
        self._params = params

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"module": self.module, **self._params}

    def set_params(self, **params: Any) -> Self:
        self.module = params.pop("module", self.module)
        self._params = self._params | params
        return self

    def _validate_params(self):
        if not (isinstance(self.module, type) and issubclass(self.module, nn.Module)):
            raise ValueError(
                "The 'module' parameter of Module must be a subclass of torch.nn.Module, got "
                f"{self.module!r}."
            )

    def build(self, plan):
        known = {
            "n_features": plan.n_features,
            "n_components": plan.n_components,
            "n_outputs": plan.n_outputs,
            "input_shape": plan.shape,
            "hidden_layer_sizes": plan.hidden_layer_sizes,
            "activation": plan.activation,
        }
        takes = inspect.signature(self.module.__init__).parameters
        given = {name: value for name, value in known.items() if name in takes}
        module = self.module(**(given | self._params))
        for name in ("encode", "decode"):
            if not callable(getattr(module, name, None)):
                raise ValueError(
                    f"architecture={self!r} needs a method {name!r}, which is not there."
                )
        shape = (plan.n_components,)
        return _Call(module, "encode", plan.shape), _Call(module, "decode", shape)


class Pair(Architecture):
    """Two modules, an encoder and a decoder.

    ``architecture=(encoder, decoder)`` is short for ``architecture=Pair(encoder, decoder)``. Each
    fit trains copies of the modules and starts from their weights, whatever the `random_state`.

    Parameters
    ----------
    encoder : torch.nn.Module
        Maps a batch of samples to codes of shape (n, n_components), as ``encode`` of a `Module`.
    decoder : torch.nn.Module
        Maps codes to reconstructions.

    Examples
    --------
    >>> from torch import nn
    >>> from sklearn.datasets import load_iris
    >>> from skae import AutoencoderTransformer
    >>> pair = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)), nn.Linear(2, 4)
    >>> model = AutoencoderTransformer(2, architecture=pair, max_iter=2, random_state=0)
    >>> model.fit_transform(load_iris().data).shape
    (150, 2)
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module):
        self.encoder = encoder
        self.decoder = decoder

    def _validate_params(self):
        for name in ("encoder", "decoder"):
            value = getattr(self, name)
            if not isinstance(value, nn.Module):
                raise ValueError(
                    f"The {name!r} parameter of Pair must be a torch.nn.Module, got {value!r}."
                )

    def build(self, plan):
        return nn.Sequential(nn.Unflatten(1, plan.shape), self.encoder), self.decoder


def as_architecture(value):
    """Return a `Module` for a class, or a `Pair` for two modules."""
    if isinstance(value, type) and issubclass(value, nn.Module):
        return Module(value)
    if isinstance(value, tuple) and len(value) == 2:
        return Pair(*value)
    raise ValueError(
        "The 'architecture' parameter must be a name, an Architecture, a subclass of "
        f"torch.nn.Module or a pair of modules, got {value!r}."
    )
