"""Measures the peers of a case turn by turn, again and again."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from threadpoolctl import threadpool_limits

from ..datasets import Unavailable

Figures = dict[str, float | None]


@dataclass(frozen=True)
class Case:
    """Peers that do the same work: each is a function of the repeat that returns its figures."""

    name: str
    peers: dict[str, Callable[[int], Figures]]
    n_rows: int | None = None
    n_features: int | None = None
    k: int | None = None


Parts = dict[str, Callable[[], Iterator[Case]]]

SPEED: Parts = {}
MEMORY: Parts = {}
GROWTH: Parts = {}


def part(parts, name):
    def register(function):
        parts[name] = function
        return function

    return register


def runner(parts):
    """Return the function that runs a task of these parts."""

    def measure(names, n_repeats, done, leave_out) -> Iterator[dict]:
        """Yield every figure of every peer, case by case and repeat by repeat.

        Parameters
        ----------
        names : list of str
            Parts.
        n_repeats : int
        done : set of tuple
            Keys of the rows that are there already.
        leave_out : callable
            Told of what could not be measured, and why.
        """
        for name in names:
            try:
                for case in parts[name]():
                    yield from _one_case(name, case, n_repeats, done, leave_out)
            except Unavailable as reason:
                leave_out(name, "every peer", str(reason))

    return measure


def _one_case(name, case, n_repeats, done, leave_out):
    absent = set()
    for repeat in range(n_repeats):
        there = {key[3] for key in done if key[:3] == (name, case.name, repeat)}
        if there >= case.peers.keys() - absent:
            continue
        # All of them, also those whose rows are there: a ratio is of what was measured together.
        for peer, measured in case.peers.items():
            if peer in absent:
                continue
            try:
                figures = measured(repeat)
            except Unavailable as reason:
                absent.add(peer)
                leave_out(name, f"{peer}, {case.name}", str(reason))
                continue
            if peer in there:
                continue
            for metric, value in figures.items():
                yield {
                    "set": name,
                    "case": case.name,
                    "n_rows": case.n_rows,
                    "n_features": case.n_features,
                    "k": case.k,
                    "seed": repeat,
                    "peer": peer,
                    "metric": metric,
                    "value": value,
                }


def seconds(function):
    """Return the seconds that a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def seconds_a_call(function, at_least=0.1):
    """Return the mean seconds of a call, over as many calls as take long enough for the clock."""
    spent = n_calls = 0
    while spent < at_least:
        spent += seconds(function)
        n_calls += 1
    return spent / n_calls


@contextmanager
def all_threads():
    """Give torch and BLAS as many threads as there are cores: a user's process at its start."""
    n_cores, before = os.cpu_count(), torch.get_num_threads()
    with threadpool_limits(n_cores):
        torch.set_num_threads(n_cores)
        try:
            yield
        finally:
            torch.set_num_threads(before)
