"""Display classes: each draws one picture of a fitted estimator or of a comparison."""

from ._anomalies import AnomalyExplanationDisplay, ScoreDisplay
from ._transformers import (
    CodeDisplay,
    ComponentErrorDisplay,
    ReconstructionDisplay,
    TrainingHistoryDisplay,
)

__all__ = [
    "AnomalyExplanationDisplay",
    "CodeDisplay",
    "ComponentErrorDisplay",
    "ReconstructionDisplay",
    "ScoreDisplay",
    "TrainingHistoryDisplay",
]
