"""What each variant does on real data: one family of variants a module.

A family is a function of a seed that yields, for each data set and code width, its peers: functions
without arguments that return figures by name. Adding one is one function with the decorator.
"""

from ._families import FAMILIES, variants

__all__ = ["FAMILIES", "variants"]
