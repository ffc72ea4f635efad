"""Display classes: each draws one picture of a fitted estimator or of a comparison."""

from ._anomalies import AnomalyExplanationDisplay, PValueCalibrationDisplay, ScoreDisplay
from ._codes import CodeDisplay, LoadingsDisplay
from ._errors import ComponentErrorDisplay, TrainingHistoryDisplay
from ._ranks import CriticalDifferenceDisplay
from ._reconstructions import LatentTraversalDisplay, ReconstructionDisplay

__all__ = [
    "AnomalyExplanationDisplay",
    "CodeDisplay",
    "ComponentErrorDisplay",
    "CriticalDifferenceDisplay",
    "LatentTraversalDisplay",
    "LoadingsDisplay",
    "PValueCalibrationDisplay",
    "ReconstructionDisplay",
    "ScoreDisplay",
    "TrainingHistoryDisplay",
]
