"""Searches that train all nets at once, beside scikit-learn's own search."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skorch.callbacks import Callback

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae._training.fast import DenseGradient
from skae.corruptions import Corruption, Gaussian
from skae.metrics import explained_variance_scorer
from skae.model_selection import BatchedGridSearchCV

SMALL = {"hidden_layer_sizes": (12,), "max_iter": 6, "random_state": 0}


@pytest.fixture(scope="module")
def wine():
    return StandardScaler().fit_transform(load_wine().data)


def net(**params):
    return AutoencoderTransformer(**{"n_components": 2} | SMALL | params)


def both(estimator, grid, X, y=None, fit_params=None, **params):
    """Return the batched search and scikit-learn's, which must agree."""
    params = {"cv": 2} | params
    batched, plain = (
        kind(estimator, grid, **params).fit(X, y, **fit_params or {})
        for kind in (BatchedGridSearchCV, GridSearchCV)
    )
    check_same(batched, plain)
    return batched, plain


def check_same(batched, plain):
    found, expected = batched.cv_results_, plain.cv_results_
    assert found.keys() == expected.keys()
    assert str(found["params"]) == str(expected["params"])
    for key, values in expected.items():
        if "_test_" in key or "_train_" in key:
            assert_allclose(found[key], values, atol=1e-4, err_msg=key)
    public = {name for name in vars(plain) if name.endswith("_") and not name.startswith("_")}
    assert {name for name in vars(batched) if name.endswith("_")} - {"n_batched_"} == public


GRIDS = {
    "rates": {"learning_rate": [1e-3, 2e-2], "alpha": [0.0, 1e-2]},
    "clips": {"gradient_clip": [0.05, 0.1, None], "optimizer": ["momentum"]},
    "schedules": {"schedule": ["one_cycle", "plateau"], "optimizer": ["adam", "momentum"]},
    "sizes": {"n_components": [1, 3], "hidden_layer_sizes": [(12,), (8, 4)]},
    "noise": {"corruption": ["residual", "masking", "salt_and_pepper", Gaussian(0.2), None]},
    "seeds": {"random_state": [0, 1], "batch_size": [16, 40]},
    "ends": [{"max_iter": [3, 7]}, {"n_iter_no_change": [1, 3]}, {"early_stopping": [False]}],
    "trim": {"trim": [0.0, 0.2], "activation": ["tanh", "relu"]},
}


def last_loss(estimator, X, y=None):
    """Minus the loss of the last epoch, which differs from the start's also where that is kept."""
    row = estimator.history_[-1]
    return -row.get("valid_loss", row["train_loss"])


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_scores_are_those_of_scikit_learn(grid, wine):
    batched, plain = both(net(), grid, wine, scoring=last_loss, refit=False)
    # Every candidate has learnt something of its own.
    losses = plain.cv_results_["mean_test_score"]
    assert len(set(losses)) == len(losses)
    assert batched.n_batched_ == 2 * len(losses)
    assert batched.best_params_ == plain.best_params_
    assert batched.best_index_ == plain.best_index_


def test_steps_before_the_net(wine):
    y = load_wine().target
    pipeline = Pipeline([("shift", FunctionTransformer()), ("scale", StandardScaler())])
    pipeline.steps.append(("reduce", net()))
    grid = {"scale__with_std": [True, False], "reduce__learning_rate": [1e-3, 1e-2]}
    batched, plain = both(
        pipeline, grid, wine * 3 + 1, y, cv=KFold(2, shuffle=True, random_state=0)
    )
    assert batched.n_batched_ == 8
    assert_array_equal(
        batched.best_estimator_.transform(wine), plain.best_estimator_.transform(wine)
    )
    assert type(batched.best_estimator_) is Pipeline
    # A clone, and the best candidate, are as they would be after GridSearchCV.
    for estimator in (batched.best_estimator_, clone(batched.best_estimator_)):
        assert set(vars(estimator)) <= set(vars(plain.best_estimator_))


def test_several_metrics_train_scores_and_processes(wine):
    def loss(estimator, X, y=None):
        assert type(estimator) is AutoencoderTransformer
        return -estimator.loss_

    scoring = {"explained": explained_variance_scorer, "loss": loss}
    grid = {"learning_rate": [1e-3, 1e-2]}
    batched, plain = both(
        net(), grid, wine, scoring=scoring, refit="explained", return_train_score=True
    )
    assert batched.n_batched_ == 4
    assert batched.scorer_.keys() == plain.scorer_.keys()
    assert (batched.cv_results_["mean_fit_time"] > 0).all()


def test_no_refit_and_a_search_of_its_own(wine, capsys):
    batched, _ = both(net(), {"alpha": [0.0, 0.1]}, wine, refit=False, verbose=1)
    assert not hasattr(batched, "best_estimator_")
    assert "Trained 4 fits at once" in capsys.readouterr().out
    assert not hasattr(clone(batched), "cv_results_")
    assert batched.estimator.get_params() == net().get_params()


class Rounded(Corruption):
    """Rows with few digits: a corruption of a user's own."""

    def corrupt(self, x, error, generator):
        assert x.dim() == 2
        return (8 * x).round() / 8 + 0.1 * x[0].new_empty(x.shape).normal_(generator=generator)


def test_a_corruption_of_ones_own(wine):
    batched, _ = both(net(corruption=Rounded()), {"learning_rate": [1e-3, 1e-2]}, wine)
    assert batched.n_batched_ == 4


@pytest.mark.parametrize(
    ("estimator", "grid", "n_batched"),
    [
        (net(callbacks=[Callback()]), {"n_components": [1, 2]}, 0),
        (net(penalty="sparse"), {"penalty__weight": [0.1, 1.0]}, 0),
        (net(max_iter=2), {"loss": ["squared_error", "huber"]}, 2),
        (net(max_iter=2), {"penalty": [None, "sparse"]}, 2),
        (net(max_iter=0), {"n_components": [1, 2]}, 0),
        (make_pipeline(net(), StandardScaler()), {"standardscaler__with_std": [True, False]}, 0),
        (Pipeline([("reduce", PCA())]), {"reduce": [PCA(2), net(max_iter=2)]}, 2),
    ],
    ids=["callbacks", "penalty", "loss", "some", "pca", "last", "step"],
)
def test_what_cannot_be_stacked_is_fitted_alone(estimator, grid, n_batched, wine):
    if "penalty__weight" in grid:
        from skae.penalties import Sparse

        estimator = net(penalty=Sparse())
    batched, plain = both(estimator, grid, wine, scoring=_explained)
    assert batched.n_batched_ == n_batched
    assert str(batched.best_params_) == str(plain.best_params_)


def _explained(estimator, X, y=None):
    return estimator.transform(X).var()


def test_other_estimators_and_metadata(wine):
    batched, _ = both(
        AutoencoderAnomalyDetector(max_iter=1, random_state=0),
        {"contamination": [0.1, 0.2]},
        wine,
        scoring=lambda estimator, X, y=None: estimator.score_samples(X).mean(),
    )
    assert batched.n_batched_ == 0
    weight = np.random.default_rng(0).integers(1, 4, len(wine))
    batched, _ = both(net(), {"alpha": [0.0]}, wine, fit_params={"sample_weight": weight})
    assert batched.n_batched_ == 0
    groups = np.arange(len(wine)) % 5
    batched, _ = both(
        net(), {"alpha": [0.0]}, wine, fit_params={"groups": groups}, cv=GroupKFold(3)
    )
    assert batched.n_batched_ == 3


def test_a_candidate_that_fails_has_the_error_score(wine):
    grid = {"learning_rate": [1e-2, 1e12], "optimizer": ["sgd"], "gradient_clip": [None]}
    grid = [grid, {"n_components": [-1]}]
    with (
        pytest.warns(UserWarning, match="non-finite"),
        pytest.warns(FitFailedWarning, match="6 fits failed out of a total of 9"),
    ):
        search = BatchedGridSearchCV(net(init="random"), grid, cv=3).fit(wine)
    assert search.n_batched_ == 3
    assert_array_equal(np.isnan(search.cv_results_["mean_test_score"]), [False, True, True])
    with pytest.raises(ValueError, match="diverged"):
        BatchedGridSearchCV(net(), grid, cv=3, error_score="raise").fit(wine)


def test_ctrl_c_leaves_the_old_search(wine, monkeypatch):
    search = BatchedGridSearchCV(net(), {"alpha": [0.0, 0.1]}, cv=3).fit(wine)
    before = dict(vars(search))

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(DenseGradient, "__call__", interrupt)
    with pytest.raises(KeyboardInterrupt):
        search.fit(wine[:90])
    assert vars(search) == before


def test_bad_parameters_are_named(wine):
    with pytest.raises(ValueError, match="'cv' parameter of BatchedGridSearchCV"):
        BatchedGridSearchCV(net(), {"alpha": [0.0]}, cv="three").fit(wine)
    with pytest.raises(ValueError, match="Invalid parameter 'rate'"):
        BatchedGridSearchCV(net(), {"rate": [0.0]}, cv=3).fit(wine)
