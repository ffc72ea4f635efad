"""The families of variants, and how they are measured."""

from collections.abc import Callable, Iterator

Peers = dict[str, Callable[[], dict[str, float]]]

FAMILIES: dict[str, Callable[[int], Iterator[tuple[str, int, Peers]]]] = {}


def family(name):
    def register(function):
        FAMILIES[name] = function
        return function

    return register
