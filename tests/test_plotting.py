"""Pictures hold what they are to show."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae.plotting import (
    AnomalyExplanationDisplay,
    CodeDisplay,
    ComponentErrorDisplay,
    ReconstructionDisplay,
    ScoreDisplay,
    TrainingHistoryDisplay,
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


def test_history_shows_both_losses(iris):
    model = AutoencoderTransformer(1, max_iter=4, random_state=0).fit(iris)
    display = TrainingHistoryDisplay.from_estimator(model)
    assert_allclose(display.lines_[1].get_ydata(), [row["valid_loss"] for row in model.history_])
    model.set_params(early_stopping=False).fit(iris)
    assert len(TrainingHistoryDisplay.from_estimator(model).lines_) == 1


def test_codes_are_coloured_by_class_or_number(iris):
    pca, (_, y) = PCA(2).fit(iris), load_iris(return_X_y=True)
    display = CodeDisplay.from_estimator(pca, iris, y)
    assert [len(points.get_offsets()) for points in display.scatters_] == [50, 50, 50]
    assert_allclose(display.scatters_[1].get_offsets(), pca.transform(iris)[y == 1])
    assert len(CodeDisplay.from_estimator(pca, iris, iris[:, 0]).scatters_) == 1
    assert len(CodeDisplay.from_estimator(pca, iris).scatters_) == 1
    assert CodeDisplay.from_estimator(PCA(1).fit(iris), iris).ax_.get_ylabel() == "row"


def test_reconstructions_are_below_the_images(digits):
    display = ReconstructionDisplay.from_estimator(PCA(64).fit(digits), digits[:3])
    shown = display.image_.get_array().filled(np.nan)
    assert shown.shape == (20, 30)
    assert_allclose(shown[1:9, 11:19], digits[1].reshape(8, 8))
    assert_allclose(shown[11:19, 11:19], digits[1].reshape(8, 8), atol=1e-10)
    with pytest.raises(ValueError, match=r"image_shape must have 64 pixels.*\(3, 3\)"):
        ReconstructionDisplay.from_estimator(PCA(2).fit(digits), digits, image_shape=(3, 3))


def test_errors_are_drawn_on_the_given_axes():
    ax = pyplot.subplots()[1]
    errors = {"PCA": np.array([[4.0, 6.0], [1.0, 3.0]]), "autoencoder": np.ones((2, 2))}
    display = ComponentErrorDisplay([1, 2], errors).plot(ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert_allclose(display.lines_[0].get_ydata(), [5, 2])
    assert len(display.bands_) == 2


@pytest.fixture(scope="module")
def detector(iris):
    return AutoencoderAnomalyDetector(max_iter=5, contamination=0.1, random_state=0).fit(iris)


@pytest.mark.parametrize("framed", [False, True])
def test_the_oddest_features_of_a_row_come_first(framed, detector, iris):
    odd = iris[:3].copy()
    odd[1, 2] += 9
    names = ["a" * 40, "b", "c", "d"]
    X = pd.DataFrame(odd, columns=names) if framed else odd
    model = clone(detector).fit(pd.DataFrame(iris, columns=names)) if framed else detector
    display = AnomalyExplanationDisplay.from_estimator(model, X, row=1, max_features=3)
    contributions = -model.explain(X)
    shown = [bar.get_width() for bar in display.bars_]
    assert_allclose(shown, np.sort(np.asarray(contributions)[1])[::-1][:3])
    first = display.ax_.get_yticklabels()[0].get_text()
    assert first.startswith("c\n" if framed else "2\n")
    assert f"{odd[1, 2]:.3g}, expected" in first
    assert max(len(t.get_text().split("\n")[0]) for t in display.ax_.get_yticklabels()) <= 30
    with pytest.raises(ValueError, match="row must be from 0 to 2, got 3"):
        AnomalyExplanationDisplay.from_estimator(model, X, row=3)


def test_scores_are_counted_on_both_sides_of_the_threshold(detector, iris):
    display = ScoreDisplay.from_estimator(detector, iris)
    n_flagged = (detector.predict(iris) == -1).sum()
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert f"anomalies: {n_flagged} of 150" in texts
    heights = [patch.get_height() for patch in display.ax_.patches]
    assert sum(heights) == 150
    scores, p_values = display.line_.get_data()
    order = np.argsort(detector.score_samples(iris))
    assert_allclose(scores, detector.score_samples(iris)[order])
    assert_allclose(p_values, detector.p_values(iris)[order])
