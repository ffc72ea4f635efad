"""Autoencoders as first-class scikit-learn estimators."""

from ._detector import AutoencoderAnomalyDetector
from ._transformer import AutoencoderTransformer
from ._version import __version__

__all__ = ["AutoencoderAnomalyDetector", "AutoencoderTransformer", "__version__"]
