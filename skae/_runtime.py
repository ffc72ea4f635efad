"""What a fit takes of the machine and gives back: threads, and torch's global generator."""

import threading
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

# Layers draw from torch's global generator.
_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def one_thread():
    """Run torch and BLAS on one thread, then give them back what they had.

    The nets are small enough for one thread to be as fast, more threads wait for each other when
    a neighbour is busy, and sums over several threads would make a result depend on the machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def seeded(seed):
    """Seed torch's global generator, then give it back as it was.

    Layers draw their first weights from it, and dropout what it leaves out. One thread at a time:
    searches may fit in threads, and each fit must draw what it would draw alone.
    """
    n_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    with _ONE_AT_A_TIME, torch.random.fork_rng(range(n_cuda)):
        torch.manual_seed(seed)
        yield
