"""The same seed gives the same result, and nothing outside the estimator changes."""

import random

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV, KFold
from threadpoolctl import threadpool_info

from skae import AutoencoderTransformer
from skae.architectures import Dense


def fit(X, **params):
    return AutoencoderTransformer(**({"max_iter": 5, "random_state": 0} | params)).fit(X)


def same(one, other):
    assert_array_equal(one.components_, other.components_)
    for name, weights in one.module_.state_dict().items():
        assert_array_equal(weights, other.module_.state_dict()[name])


def test_seeds_differ_and_generators_are_used(iris):
    one, other = fit(iris), fit(iris, random_state=1)
    assert not np.array_equal(one.history_[-1]["train_loss"], other.history_[-1]["train_loss"])
    generator = np.random.RandomState(0)
    first = fit(iris, random_state=generator)
    assert not np.array_equal(
        first.history_[-1]["train_loss"],
        fit(iris, random_state=generator).history_[-1]["train_loss"],
    )
    same(first, fit(iris, random_state=np.random.RandomState(0)))


def test_the_order_of_the_rows_does_not_matter(iris):
    order = np.random.default_rng(0).permutation(len(iris))
    same(fit(iris), fit(iris[order]))


@pytest.mark.parametrize("random_state", [0, None])
def test_global_generators_stay_as_they_were(random_state, iris):
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    model = fit(iris, random_state=random_state).partial_fit(iris)
    model.transform(iris)
    assert random.getstate() == before[0]
    assert_array_equal(np.random.get_state()[1], before[1])
    assert_array_equal(torch.get_rng_state(), before[2])


def test_without_a_seed_fits_differ(iris):
    np.random.seed(0)
    one = fit(iris, random_state=None)
    np.random.seed(0)
    other = fit(iris, random_state=None)
    assert not np.array_equal(one.module_.f[0].weight, other.module_.f[0].weight)


@pytest.mark.extended
def test_jobs_do_not_change_the_result(iris):
    searches = [
        GridSearchCV(
            AutoencoderTransformer(max_iter=5, random_state=0),
            {"n_components": [1, 2]},
            cv=KFold(3, shuffle=True, random_state=0),
            n_jobs=n_jobs,
        ).fit(iris)
        for n_jobs in (1, 2)
    ]
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    assert_array_equal(*scores)
    same(*(search.best_estimator_ for search in searches))


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.extended)])
def test_jobs_do_not_change_what_is_drawn(backend, iris):
    # dropout draws from torch's global generator, and first weights do
    search = GridSearchCV(
        AutoencoderTransformer(architecture=Dense(dropout=0.3), max_iter=4, random_state=0),
        {"penalty": [None, "variational", "adversarial"], "init": ["pca", "random"]},
        cv=2,
    )
    before = torch.get_rng_state()
    alone = search.fit(iris).cv_results_["mean_test_score"]
    with joblib.parallel_config(backend=backend, n_jobs=2):
        together = search.fit(iris).cv_results_["mean_test_score"]
    assert_array_equal(together, alone)
    assert_array_equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("fails", [False, True])
def test_thread_counts_are_given_back(fails, iris):
    torch.set_num_threads(2)
    before = sorted((info["filepath"], info["num_threads"]) for info in threadpool_info())
    try:
        if fails:
            with pytest.raises(ValueError, match="diverged"):
                fit(iris, learning_rate=1e6, optimizer="sgd", schedule=None, max_iter=50)
        else:
            fit(iris)
        after = sorted((info["filepath"], info["num_threads"]) for info in threadpool_info())
        assert torch.get_num_threads() == 2
        assert after == before
    finally:
        torch.set_num_threads(1)


def test_threads_do_not_change_the_result(digits):
    models = []
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        models.append(fit(digits, n_components=8))
    torch.set_num_threads(1)
    same(*models)


def test_weights_are_repetitions_to_the_last_bit(digits):
    X = digits[:120]
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    weighted = AutoencoderTransformer(3, max_iter=8, random_state=0).fit(X, sample_weight=weight)
    repeated = fit(np.repeat(X, weight, axis=0), n_components=3, max_iter=8)
    same(weighted, repeated)
    assert weighted.history_[-1]["valid_loss"] == repeated.history_[-1]["valid_loss"]


def test_fractional_weights_pull_the_fit(iris):
    weight = np.where(np.arange(150) < 50, 1.0, 1e-3)
    model = AutoencoderTransformer(1, max_iter=0).fit(iris, sample_weight=weight)
    assert np.abs(model.mean_ - iris[:50].mean(0)).max() < 0.02
    expected = np.average((iris - model.reconstruct(iris)) ** 2, axis=0, weights=weight).sum()
    variance = np.average(
        (iris - np.average(iris, axis=0, weights=weight)) ** 2, axis=0, weights=weight
    ).sum()
    np.testing.assert_allclose(model.score(iris, sample_weight=weight), 1 - expected / variance)
