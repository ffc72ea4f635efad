"""Tables of numbers, categories, dates and gaps: from a DataFrame to an autoencoder and back."""

from ._autoencoder import TableAutoencoder
from ._column_transformer import inverse_column_transform
from ._detector import TableAnomalyDetector
from ._encoder import TableEncoder
from ._kinds import KINDS

__all__ = [
    "KINDS",
    "TableAnomalyDetector",
    "TableAutoencoder",
    "TableEncoder",
    "inverse_column_transform",
]
