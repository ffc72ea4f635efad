"""scikit-learn's tools take the transformer wherever they take PCA."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.decomposition import PCA
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  (its import is its use)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, KFold, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer
from skae.losses import Huber
from skae.metrics import explained_variance_scorer
from skae.optimizers import SGD


def small(**params):
    return AutoencoderTransformer(**({"max_iter": 3, "random_state": 0} | params))


def test_one_search_over_pca_and_the_autoencoder(iris):
    pipeline = Pipeline([("scale", StandardScaler()), ("reduce", PCA())])
    grid = {
        "reduce": [PCA(random_state=0), AutoencoderTransformer(max_iter=100, random_state=0)],
        "reduce__n_components": [1, 2],
    }
    # iris is sorted by species: unshuffled folds would measure how the models extrapolate
    folds = KFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(pipeline, grid, scoring=explained_variance_scorer, cv=folds)
    search.fit(iris)
    by_model = dict(
        zip(
            [
                (type(p["reduce"]).__name__, p["reduce__n_components"])
                for p in search.cv_results_["params"]
            ],
            search.cv_results_["mean_test_score"],
            strict=True,
        )
    )
    assert by_model["AutoencoderTransformer", 1] > by_model["PCA", 1]
    assert len(by_model) == 4


def test_cross_val_score_without_a_target(iris):
    scores = cross_val_score(small(), iris, cv=3)
    expected = cross_val_score(small(), iris, cv=3, scoring=explained_variance_scorer)
    assert_allclose(scores, expected)


def test_at_zero_epochs_the_score_is_pca_s(iris):
    model, pca = small(max_iter=0).fit(iris), PCA(2).fit(iris)
    assert_allclose(model.score(iris), pca.explained_variance_ratio_.sum())
    assert_allclose(explained_variance_scorer(pca, iris), pca.explained_variance_ratio_.sum())


def test_classification_in_a_pipeline():
    X, y = load_breast_cancer(return_X_y=True)
    model = make_pipeline(
        StandardScaler(),
        AutoencoderTransformer(3, max_iter=20, random_state=0),
        LogisticRegression(),
    )
    assert cross_val_score(model, X, y, cv=3).mean() > 0.9


def test_feature_union_and_column_transformer(iris):
    union = FeatureUnion([("pca", PCA(2)), ("autoencoder", small(n_components=3))])
    assert union.fit_transform(iris).shape == (150, 5)
    frame = pd.DataFrame(iris, columns=list("abcd"))
    columns = ColumnTransformer(
        [("ae", small(n_components=1), ["a", "b"])], remainder="passthrough"
    )
    assert columns.fit_transform(frame).shape == (150, 3)
    assert columns.get_feature_names_out()[0] == "ae__autoencodertransformer0"


def test_targets_are_transformed_and_back(wine):
    model = TransformedTargetRegressor(
        Ridge(), transformer=small(n_components=4, max_iter=0), check_inverse=False
    )
    predicted = model.fit(wine[:, :6], wine[:, 6:]).predict(wine[:, :6])
    assert predicted.shape == (178, 7)


def test_memory_keeps_the_fitted_step(iris, tmp_path):
    model = make_pipeline(small(), LogisticRegression(max_iter=500), memory=str(tmp_path))
    y = load_iris().target
    first = model.fit(iris, y).predict(iris)
    assert_array_equal(model.fit(iris, y).predict(iris), first)


def test_halving_search_over_epochs(iris):
    search = HalvingGridSearchCV(
        small(),
        {"n_components": [1, 2, 3]},
        resource="max_iter",
        max_resources=9,
        min_resources=1,
        cv=2,
        random_state=0,
    )
    assert search.fit(iris).best_params_["n_components"] == 3


def test_parameters_of_strategies_are_reached(iris):
    search = GridSearchCV(
        small(loss=Huber(), optimizer=SGD(), learning_rate=0.01),
        {"loss__delta": [0.5, 1.0], "optimizer__momentum": [0.0, 0.9]},
        cv=2,
    ).fit(iris)
    assert search.best_estimator_.loss_function_.delta in (0.5, 1.0)
    assert len(search.cv_results_["params"]) == 4


@pytest.mark.parametrize(("name", "kind"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)])
def test_set_output(name, kind, iris):
    frame = kind(dict(zip("abcd", iris.T, strict=True)))
    model = small().set_output(transform=name).fit(frame)
    codes = model.transform(frame)
    assert isinstance(codes, kind)
    assert list(codes.columns) == ["autoencodertransformer0", "autoencodertransformer1"]
    assert_array_equal(model.feature_names_in_, list("abcd"))
    assert_allclose(codes.to_numpy(), small().fit_transform(iris))
    for rows in (model.reconstruct(frame), model.inverse_transform(codes)):
        assert isinstance(rows, kind)
        assert list(rows.columns) == list("abcd")
        assert_allclose(rows.to_numpy(), small().fit(iris).reconstruct(iris))


def test_set_output_keeps_the_index_and_names_the_nameless(iris):
    frame = pd.DataFrame(iris, index=np.arange(150)[::-1], columns=list("abcd"))
    expected = small().fit(iris).score(iris)
    with sklearn.config_context(transform_output="pandas"):
        model = small().fit(frame)
        assert_array_equal(model.reconstruct(frame[:9]).index, frame.index[:9])
        assert_array_equal(model.inverse_transform(model.transform(frame)).index, frame.index)
        assert_allclose(explained_variance_scorer(model, frame), expected)
        nameless = small().fit(iris)
        assert list(nameless.reconstruct(iris).columns) == ["x0", "x1", "x2", "x3"]
        assert_allclose(cross_val_score(nameless, iris, cv=3), cross_val_score(small(), iris, cv=3))
    assert isinstance(model.reconstruct(frame), np.ndarray)


def test_weights_are_routed(iris):
    weight = np.where(np.arange(150) < 50, 1.0, 0.0)
    with sklearn.config_context(enable_metadata_routing=True):
        model = small().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipeline = make_pipeline(model).fit(iris, sample_weight=weight)
        assert_allclose(pipeline[0].mean_, iris[:50].mean(0))
        folds = KFold(2, shuffle=True, random_state=0)
        search = GridSearchCV(model, {"n_components": [1]}, cv=folds)
        search.fit(iris[:100], sample_weight=weight[:100])
        assert_allclose(search.best_estimator_.mean_, iris[:50].mean(0))
