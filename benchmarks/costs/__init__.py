"""What skae costs: seconds, memory, and how both grow; one part of a task a module.

A part is a function without arguments that yields `Case`s: peers that are measured turn by turn.
Adding one is one function with the decorator, and a line in `_targets` if it must reach something.
"""

# ruff: noqa: F401 (the parts enter their registries)
from . import (
    batched,
    busy,
    detector,
    epochs,
    file,
    growth,
    imports,
    memory,
    profile,
    search,
    serving,
    to_error,
    transform,
)
from ._engine import GROWTH, MEMORY, SPEED, runner
from ._targets import TARGETS, Target, case_ratios, medians, summarise_costs, summarise_medians

__all__ = [
    "GROWTH",
    "MEMORY",
    "SPEED",
    "TARGETS",
    "Target",
    "case_ratios",
    "medians",
    "runner",
    "summarise_costs",
    "summarise_medians",
]
