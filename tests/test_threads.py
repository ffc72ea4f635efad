"""Threads: what is limited while skae computes, and how all of it is given back."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from processes import run
from skorch.callbacks import Callback
from threadpoolctl import threadpool_info

from skae import AutoencoderTransformer
from skae._utils.torch import limit_threads, map_blocks, threads_for

LARGE = 2**60

forks = pytest.mark.skipif(sys.platform != "linux", reason="forks with threads on Linux alone")


@pytest.fixture
def two_threads():
    """Let torch have two threads."""
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def counts():
    libraries = sorted((info["filepath"], info["num_threads"]) for info in threadpool_info())
    return torch.get_num_threads(), libraries


def blas_counts():
    return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}


def in_new_thread(function):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", [False, True])
def test_a_limit_is_lifted(fails, two_threads):
    before = counts()
    try:
        with limit_threads(1):
            assert torch.get_num_threads() == 1
            assert blas_counts() <= {1}
            assert in_new_thread(torch.get_num_threads) == 2
            if fails:
                raise ValueError("on purpose")
    except ValueError:
        assert fails
    assert counts() == before
    assert in_new_thread(counts) == before


def test_the_lower_of_nested_limits_holds(two_threads):
    before = counts()
    with limit_threads(2):
        assert torch.get_num_threads() == 2
        with limit_threads(1):
            assert torch.get_num_threads() == 1
            with limit_threads(2):
                assert torch.get_num_threads() == 1
                assert blas_counts() <= {1}
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    assert counts() == before


def test_a_limit_raises_nothing():
    assert torch.get_num_threads() == 1
    before = counts()
    with limit_threads(8):
        assert counts() == before
    assert counts() == before


def test_limits_of_several_threads_may_end_in_any_order(two_threads):
    before = counts()
    entered, leave = threading.Event(), threading.Event()

    def second():
        with limit_threads(1):
            entered.set()
            leave.wait()
            inside = torch.get_num_threads()
        return inside, counts()

    with ThreadPoolExecutor(1) as pool:
        with limit_threads(1):
            result = pool.submit(second)
            entered.wait()
        # The other thread's limit holds for BLAS, but not for torch in this one.
        assert torch.get_num_threads() == 2
        assert blas_counts() <= {1}
        leave.set()
        assert result.result() == (1, before)
    assert counts() == before
    assert in_new_thread(counts) == before


@pytest.mark.extended
def test_overlapping_fits_give_the_threads_back():
    run(
        """
        import threading
        from concurrent.futures import ThreadPoolExecutor

        import numpy as np
        import torch
        from threadpoolctl import threadpool_info

        from skae import AutoencoderAnomalyDetector, AutoencoderTransformer

        def counts(_=None):
            # Each of the pool's threads answers once.
            if threading.current_thread() is not threading.main_thread():
                both.wait()
            return torch.get_num_threads(), sorted(
                (info["filepath"], info["num_threads"]) for info in threadpool_info()
            )

        def fit(max_iter):
            both.wait()
            for estimator in (AutoencoderTransformer, AutoencoderAnomalyDetector):
                estimator(max_iter=max_iter, random_state=0).fit(X).predict_or_transform(X)

        AutoencoderTransformer.predict_or_transform = AutoencoderTransformer.transform
        AutoencoderAnomalyDetector.predict_or_transform = AutoencoderAnomalyDetector.predict
        X = np.random.default_rng(0).normal(size=(100, 6))
        torch.set_num_threads(2)
        both = threading.Barrier(2)
        before = counts()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(fit, [2, 6, 5, 1, 3, 4]))
            assert counts() == before
            assert list(pool.map(counts, range(2))) == [before] * 2
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(counts, range(2))) == [before] * 2
        """
    )


# -- how many threads ------------------------------------------------------------------------------


def test_sizes_decide_how_many_threads(two_threads):
    assert threads_for(0) == threads_for(32 * 2 * (64 * 256 + 256 * 128 + 128 * 8)) == 1
    assert threads_for(LARGE) == 2
    with limit_threads(1), limit_threads(1):
        assert threads_for(LARGE) == 2
    torch.set_num_threads(1)
    assert threads_for(LARGE) == 1


# -- blocks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("work", [0, LARGE])
def test_blocks_are_mapped_on_one_thread_each(work, two_threads):
    before = counts()
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(64, 300)))
    weight = torch.from_numpy(rng.normal(size=(300, 200)))
    out = np.empty((64, 200))
    seen, threads = [], set()

    def function(block):
        out[block] = (x[block] @ weight).numpy()
        seen.append(block)
        threads.add(threading.get_ident())
        assert torch.is_inference_mode_enabled()
        assert torch.get_num_threads() == 1
        # A function that maps blocks itself does so in its own thread.
        inner = set()
        map_blocks(lambda _: inner.add(threading.get_ident()), range(3), LARGE)
        if len(threads) > 1:
            assert inner == {threading.get_ident()}

    blocks = [slice(start, start + 8) for start in range(0, 64, 8)]
    map_blocks(function, iter(blocks), work)
    assert sorted(seen, key=lambda block: block.start) == blocks
    if work == 0:
        assert threads == {threading.get_ident()}
    assert not torch.is_inference_mode_enabled()
    assert counts() == before
    with limit_threads(1):
        expected = torch.cat([x[block] @ weight for block in blocks])
    assert_array_equal(out, expected)


def test_large_work_is_shared_between_threads(two_threads):
    # Each call waits for another one, which must run beside it.
    both = threading.Barrier(2, timeout=60)
    before = threading.active_count()
    with np.errstate(divide="raise"):

        def function(block):
            both.wait()
            assert np.geterr()["divide"] == "raise"

        map_blocks(function, range(4), LARGE)
    assert threading.active_count() == before


@pytest.mark.parametrize("work", [0, LARGE])
@pytest.mark.parametrize("bad", [0, 3, 7])
def test_the_error_of_a_block_is_raised(bad, work, two_threads):
    before = counts()

    def function(block):
        if block == bad:
            raise ValueError(f"block {block}")

    with pytest.raises(ValueError, match=f"block {bad}"):
        map_blocks(function, range(8), work)
    assert counts() == before
    assert not torch.is_inference_mode_enabled()


def test_no_blocks_are_no_work(two_threads):
    map_blocks(lambda block: pytest.fail("called"), [], LARGE)


# -- forks -----------------------------------------------------------------------------------------


@pytest.mark.extended
@forks
def test_a_forked_process_can_predict():
    run(
        """
        import os
        import warnings

        import numpy as np
        import torch

        from skae import AutoencoderAnomalyDetector, AutoencoderTransformer

        def predict():
            Z = transformer.transform(X)
            rebuilt = transformer.reconstruct(X)
            return Z, rebuilt, model.score_samples(X), model.explain(X[:60])

        X = np.random.default_rng(0).normal(size=(1500, 30))
        torch.set_num_threads(2)
        model = AutoencoderAnomalyDetector(
            n_components=3, hidden_layer_sizes=(256, 128), max_iter=1, random_state=0
        ).fit(X[:300])
        transformer = AutoencoderTransformer(3, max_iter=1, random_state=0).fit(X[:300])
        expected = predict()
        # Newer Pythons warn of each fork beside other threads; BLAS has some.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
        if child == 0:
            os._exit(0 if all(map(np.array_equal, predict(), expected)) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        """,
        seconds=300,
    )


@forks
def test_a_process_forked_beside_limits_keeps_none_of_other_threads():
    run(
        """
        import os
        import threading
        import warnings

        import torch
        from threadpoolctl import threadpool_info

        from skae._utils.torch import drawing_from, limit_threads, threads_for

        def blas():
            return {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"}

        def hold():
            with limit_threads(1):
                entered.set()
                leave.wait()

        torch.set_num_threads(2)
        before = blas()
        entered, leave = threading.Event(), threading.Event()
        thread = threading.Thread(target=hold)
        thread.start()
        entered.wait()
        assert blas() == {1}
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
        if child == 0:
            try:
                assert blas() == before
                with limit_threads(1):
                    assert blas() == {1}
                assert blas() == before
                # Threads that OpenMP had before the fork are not there.
                assert threads_for(2**60) == 1
                with drawing_from(0):
                    torch.rand(3)
            except BaseException:
                os._exit(1)
            os._exit(0)
        leave.set()
        thread.join()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert blas() == before
        """,
        seconds=300,
    )


class Threads(Callback):
    """Note the number of torch's threads at each step."""

    def __init__(self):
        self.found = set()

    def on_batch_end(self, net, **kwargs):
        self.found.add(torch.get_num_threads())


@pytest.mark.parametrize(("sizes", "n_threads"), [((8,), 1), ((1000, 500), 2)])
def test_a_step_takes_the_threads_that_it_is_worth(sizes, n_threads, two_threads):
    X = np.random.default_rng(0).normal(size=(300, 200))
    threads = Threads()
    AutoencoderTransformer(
        4, hidden_layer_sizes=sizes, batch_size=256, max_iter=1, callbacks=[threads], random_state=0
    ).fit(X)
    assert threads.found == {n_threads}
    assert torch.get_num_threads() == 2
