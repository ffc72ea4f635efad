"""Measures the families one after the other."""

from collections.abc import Iterator

from ..datasets import Unavailable
from . import codes, denoising, generative, images, mixed, sequences, text
from ._registry import FAMILIES

MODULES = (images, sequences, denoising, codes, generative, text, mixed)


def variants(names, n_seeds, done, leave_out) -> Iterator[dict]:
    """Yield every figure of every peer of some families.

    Parameters
    ----------
    names : list of str
        Families.
    n_seeds : int
    done : set of tuple
        Keys of the rows that are there already.
    leave_out : callable
        Told of each family that cannot be measured, and why.
    """
    # a peer has all its metrics or none
    measured = {key[:-1] for key in done}
    for name in names:
        try:
            for seed in range(n_seeds):
                for title, k, peers in FAMILIES[name](seed):
                    for peer, measure in peers.items():
                        if (name, title, k, seed, peer) in measured:
                            continue
                        for metric, value in measure().items():
                            yield {
                                "family": name,
                                "set": title,
                                "k": k,
                                "seed": seed,
                                "peer": peer,
                                "metric": metric,
                                "value": round(float(value), 6),
                            }
        except Unavailable as reason:
            leave_out(name, "every peer", str(reason))
