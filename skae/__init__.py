"""Autoencoders as first-class scikit-learn estimators."""

from ._transformer import AutoencoderTransformer
from ._version import __version__

__all__ = ["AutoencoderTransformer", "__version__"]
