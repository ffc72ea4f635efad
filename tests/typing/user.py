"""A user's script, which mypy checks in strict mode; nothing of it is run."""

from typing import Any, assert_type

import numpy as np
import torch

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae.architectures import Convolutional
from skae.compare import ComparisonResult, compare_with_pca
from skae.corruptions import Masking
from skae.drift import DriftMonitor
from skae.losses import Huber
from skae.metrics import explained_variance, explained_variance_scorer
from skae.penalties import Variational
from skae.plotting import CodeDisplay, ScoreDisplay
from skae.tables import TableAnomalyDetector, TableAutoencoder, TableEncoder

X = np.random.default_rng(0).normal(size=(100, 16))

transformer = AutoencoderTransformer(2, loss=Huber(delta=0.5), penalty=Variational(beta=2.0))
assert_type(transformer.fit(X), AutoencoderTransformer)
assert_type(transformer.fit_transform(X), np.ndarray)
assert_type(transformer.set_params(alpha=0.1).partial_fit(X), AutoencoderTransformer)
assert_type(transformer.set_output(transform="default"), AutoencoderTransformer)
assert_type(transformer.transform(X), np.ndarray)
assert_type(transformer.inverse_transform(transformer.transform(X)), np.ndarray)
assert_type(transformer.reconstruct(X), np.ndarray)
assert_type(transformer.score(X, sample_weight=np.ones(100)), float)
assert_type(transformer.score_samples(X, n_draws=4), np.ndarray)
assert_type(transformer.sample(3, random_state=0), np.ndarray)
assert_type(transformer.interpolate(X[0], X[1]), np.ndarray)
assert_type(transformer.get_feature_names_out(), np.ndarray)
assert_type(transformer.get_params(), dict[str, Any])
assert_type(transformer.components_, np.ndarray)
assert_type(transformer.mean_, np.ndarray)
assert_type(transformer.n_components_, int)
assert_type(transformer.history_, list[dict[str, Any]])
assert_type(transformer.encoder_, torch.nn.Module)

images = AutoencoderTransformer(
    architecture=Convolutional(kernel_size=3), input_shape=(4, 4), corruption=Masking(0.2)
)
assert_type(images.fit(X), AutoencoderTransformer)

detector = AutoencoderAnomalyDetector(contamination=0.1, random_state=0)
assert_type(detector.fit(X), AutoencoderAnomalyDetector)
assert_type(detector.fit_predict(X), np.ndarray)
assert_type(detector.predict(X, fdr=0.1), np.ndarray)
assert_type(detector.score_samples(X), np.ndarray)
assert_type(detector.decision_function(X), np.ndarray)
assert_type(detector.p_values(X), np.ndarray)
assert_type(detector.p_values(X, return_scores=True), tuple[np.ndarray, np.ndarray])
assert_type(detector.predict_proba(X), np.ndarray)
assert_type(detector.offset_, float)
assert_type(DriftMonitor(detector).fit(X).update(X), np.ndarray)

assert_type(TableEncoder().fit_transform(X), np.ndarray)
assert_type(TableAutoencoder(n_components=2).fit_transform(X), np.ndarray)
tables = TableAnomalyDetector().fit(X)
assert_type(tables.predict(X, fdr=0.1), np.ndarray)
assert_type(tables.p_values(X, return_scores=True), tuple[np.ndarray, np.ndarray])
assert_type(tables.precision_bound(X, confidence=0.9), np.ndarray)
assert_type(tables.offset_, float)

assert_type(explained_variance(X, transformer.reconstruct(X)), float)
assert_type(explained_variance_scorer(transformer, X), float)
assert_type(compare_with_pca(X, n_components=[2, 4], cv=3), ComparisonResult)
assert_type(compare_with_pca(X).headline(), str)
assert_type(CodeDisplay.from_estimator(transformer, X), CodeDisplay)
assert_type(ScoreDisplay.from_estimator(detector, X).plot(), ScoreDisplay)

# What is not there, or is of another type, is an error.
AutoencoderTransformer(n_component=2)  # type: ignore[call-arg]
AutoencoderTransformer(alpha="much")  # type: ignore[arg-type]
transformer.interpolate(X[0], X[1], n_steps="ten")  # type: ignore[arg-type]
