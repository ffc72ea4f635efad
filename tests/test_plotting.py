"""Pictures hold what they are to show."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae.metrics import explained_variance_scorer
from skae.plotting import (
    AnomalyExplanationDisplay,
    CodeDisplay,
    ComponentErrorDisplay,
    CriticalDifferenceDisplay,
    LatentTraversalDisplay,
    LoadingsDisplay,
    PValueCalibrationDisplay,
    ReconstructionDisplay,
    ScoreDisplay,
    TrainingHistoryDisplay,
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


def covers_no_point(display):
    """Return whether the legend is outside the axes, and the figure large enough for it."""
    figure, legend = display.figure_, display.ax_.get_legend()
    figure.canvas.draw()
    box = legend.get_window_extent()
    inside = box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
    return inside and not any(axes.get_window_extent().overlaps(box) for axes in figure.axes)


def svd_of(X, k):
    """Return the mean of X and its first k principal axes."""
    mean = X.mean(0)
    return mean, np.linalg.svd(X - mean, full_matrices=False)[2][:k]


def test_history_shows_both_losses(iris):
    model = AutoencoderTransformer(1, max_iter=4, random_state=0).fit(iris)
    display = TrainingHistoryDisplay.from_estimator(model)
    assert_allclose(display.lines_[1].get_ydata(), [row["valid_loss"] for row in model.history_])
    assert covers_no_point(display)
    in_pipeline = TrainingHistoryDisplay.from_estimator(make_pipeline("passthrough", model))
    assert_allclose(in_pipeline.lines_[1].get_ydata(), display.lines_[1].get_ydata())
    model.set_params(early_stopping=False).fit(iris)
    assert len(TrainingHistoryDisplay.from_estimator(model).lines_) == 1


def test_codes_are_coloured_by_class_or_number(iris):
    pca, (_, y) = PCA(2).fit(iris), load_iris(return_X_y=True)
    display = CodeDisplay.from_estimator(pca, iris, y)
    assert [len(points.get_offsets()) for points in display.scatters_] == [50, 50, 50]
    assert_allclose(display.scatters_[1].get_offsets(), pca.transform(iris)[y == 1])
    assert covers_no_point(display)
    assert len(CodeDisplay.from_estimator(pca, iris, iris[:, 0]).scatters_) == 1
    assert len(CodeDisplay.from_estimator(pca, iris).scatters_) == 1
    assert CodeDisplay.from_estimator(PCA(1).fit(iris), iris).ax_.get_ylabel() == "row"


def test_codes_far_from_the_others_are_at_the_edge_and_counted():
    codes = np.random.default_rng(0).normal(size=(400, 2))
    far = codes.copy()
    far[7] = [0.5, 1000.0]
    display = CodeDisplay(far).plot()
    assert np.flatnonzero(display.outside_).tolist() == [7]
    assert np.ptp(display.ax_.get_ylim()) < 15
    drawn = display.scatters_[0].get_offsets()
    assert_allclose(np.delete(drawn, 7, 0), np.delete(codes, 7, 0))
    assert drawn[7, 0] == 0.5
    assert 3 < drawn[7, 1] < 10
    assert "1 point lies further out" in display.ax_.get_xlabel()
    far[8] = -1000.0
    assert "2 points lie further out" in CodeDisplay(far).plot().ax_.get_xlabel()
    # as many as the rows that are PCA's may be
    far[:10, 1] = np.where(np.arange(10) % 2, 25.0, -25.0)
    assert np.ptp(CodeDisplay(far).plot().ax_.get_ylim()) < 15
    for all_drawn in (codes, np.vstack([np.zeros((400, 2)), [[5.0, 5.0]]]), codes[:5] ** 9):
        display = CodeDisplay(all_drawn).plot()
        assert not display.outside_.any()
        assert_allclose(display.scatters_[0].get_offsets(), all_drawn)


def test_reconstructions_are_below_the_images(digits):
    display = ReconstructionDisplay.from_estimator(PCA(64).fit(digits), digits[:3])
    shown = display.image_.get_array().filled(np.nan)
    assert shown.shape == (20, 30)
    assert_allclose(shown[1:9, 11:19], digits[1].reshape(8, 8))
    assert_allclose(shown[11:19, 11:19], digits[1].reshape(8, 8), atol=1e-10)
    # images as they come
    whole = ReconstructionDisplay({"original": digits[:3]}, (8, 8)).plot()
    assert whole.image_.get_array().shape == (10, 30)
    images = digits.reshape(-1, 8, 8)
    model = AutoencoderTransformer(
        2, architecture="convolutional", input_shape=(8, 8), max_iter=0
    ).fit(images)
    display = ReconstructionDisplay.from_estimator(model, images[:3])
    assert display.image_.get_array().shape == (20, 30)
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
    assert "all folds" in ax.get_title()
    # the standard error of the mean of 4 and 6, and of 1 and 3, is 1
    display = ComponentErrorDisplay([1, 2], errors, spread="standard_error").plot()
    corners = display.bands_[0].get_paths()[0].vertices
    assert {tuple(corner) for corner in corners} == {(1, 4), (1, 6), (2, 1), (2, 3)}
    assert "standard error" in display.ax_.get_title()
    with pytest.raises(ValueError, match=r"spread must be one of \['range', .*got 'variance'"):
        ComponentErrorDisplay([1, 2], errors, spread="variance").plot(ax)
    one_fold = {"PCA": np.ones((2, 1))}
    with pytest.raises(ValueError, match="needs the errors of two folds"):
        ComponentErrorDisplay([1, 2], one_fold, spread="standard_error").plot(ax)


@pytest.mark.parametrize("scaled", [False, True])
def test_errors_are_measured_on_the_rows_left_out(scaled, iris):
    folds = KFold(3, shuffle=True, random_state=0)
    pca = make_pipeline(StandardScaler(), PCA()) if scaled else PCA()
    models = {"PCA": pca, "autoencoder": AutoencoderTransformer(max_iter=0)}
    display = ComponentErrorDisplay.from_estimator(models, iris, n_components=[1, 3], cv=folds)
    expected = []
    for k in (1, 3):
        errors = []
        for train, test in folds.split(iris):
            scale = iris[train].std(0) if scaled else 1
            mean, axes = svd_of(iris[train] / scale, k)
            rows = iris[test] / scale - mean
            errors.append((((rows - rows @ axes.T @ axes) * scale) ** 2).mean())
        expected.append(errors)
    assert_allclose(display.lines_[0].get_ydata(), np.mean(expected, 1), rtol=1e-6)
    band = display.bands_[0].get_paths()[0].get_extents()
    assert_allclose([band.ymin, band.ymax], [np.min(expected), np.max(expected)], rtol=1e-6)
    if not scaled:
        assert_allclose(display.lines_[1].get_ydata(), np.mean(expected, 1), rtol=1e-4)
    assert covers_no_point(display)
    alone = ComponentErrorDisplay.from_estimator(pca, iris, n_components=[1, 3], cv=folds)
    assert alone.lines_[0].get_label() == "PCA"
    assert_allclose(alone.lines_[0].get_ydata(), np.mean(expected, 1), rtol=1e-6)


def test_scores_of_a_search_have_a_line_for_each_other_parameter(iris):
    pipeline = Pipeline([("scale", StandardScaler()), ("reduce", PCA())])
    options = {"scoring": explained_variance_scorer, "cv": 2}
    grid = {"scale__with_std": [True, False], "reduce__n_components": [2, 1]}
    search = GridSearchCV(pipeline, grid, **options).fit(iris)
    display = ComponentErrorDisplay.from_search(search)
    labels = [line.get_label() for line in display.lines_]
    assert labels == ["scale__with_std=True", "scale__with_std=False"]
    assert_allclose(display.lines_[0].get_xdata(), [1, 2])
    scores = {
        tuple(p.values()): s
        for p, s in zip(
            search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
        )
    }
    assert_allclose(display.lines_[1].get_ydata(), [scores[k, False] for k in (1, 2)])
    grid = {"reduce": [PCA(), AutoencoderTransformer(max_iter=0)], "reduce__n_components": [1, 2]}
    display = ComponentErrorDisplay.from_search(GridSearchCV(pipeline, grid, **options).fit(iris))
    labels = [line.get_label() for line in display.lines_]
    assert labels == ["PCA", "AutoencoderTransformer"]
    search = GridSearchCV(PCA(), {"n_components": [1, 2]}, **options).fit(iris)
    assert ComponentErrorDisplay.from_search(search).lines_[0].get_label() == "PCA"
    several = {"explained": explained_variance_scorer, "likelihood": PCA.score}
    search = GridSearchCV(PCA(), {"n_components": [1, 2]}, scoring=several, cv=2, refit=False).fit(
        iris
    )
    display = ComponentErrorDisplay.from_search(search, metric="likelihood")
    assert_allclose(display.lines_[0].get_ydata(), search.cv_results_["mean_test_likelihood"])
    with pytest.raises(ValueError, match=r"\['explained', 'likelihood'\]; got 'score'"):
        ComponentErrorDisplay.from_search(search)
    search = GridSearchCV(PCA(), {"whiten": [True]}, **options).fit(iris)
    with pytest.raises(ValueError, match="one parameter whose name ends in n_components; got none"):
        ComponentErrorDisplay.from_search(search)
    grid = [{"n_components": [1, 2]}, {"n_components": [1], "whiten": [True]}]
    search = GridSearchCV(PCA(), grid, **options).fit(iris)
    with pytest.raises(ValueError, match=r"Not all models .* each of \[1, 2\]"):
        ComponentErrorDisplay.from_search(search)


@pytest.mark.parametrize("row", [None, 5])
def test_traversals_decode_codes_that_move_along_one_axis(row, digits):
    pca = PCA(4).fit(digits)
    options = {"row": row, "components": [0, 3], "n_steps": 5, "quantiles": (0.1, 0.8)}
    display = LatentTraversalDisplay.from_estimator(pca, digits, image_shape=(8, 8), **options)
    mean, axes = svd_of(digits, 4)
    codes = (digits - mean) @ axes.T
    base = np.median(codes, 0) if row is None else codes[row]
    # the signs of PCA's axes do not matter: a sign turns the order of the steps
    turned = pca.components_[3] @ axes[3] < 0
    low, high = np.quantile(codes[:, 3], [0.2, 0.9] if turned else [0.1, 0.8])
    steps = np.linspace(low, high, 5)[:: -1 if turned else 1]
    expected = mean + (base + np.outer(steps - base[3], np.eye(4)[3])) @ axes
    shown = display.image_.get_array().filled(np.nan)
    assert shown.shape == (20, 50)
    for step, image in enumerate(expected):
        at = slice(step * 10 + 1, step * 10 + 9)
        assert_allclose(shown[11:19, at], image.reshape(8, 8), atol=1e-8)
    assert [t.get_text() for t in display.ax_.get_xticklabels()] == ["quantile 0.1", "quantile 0.8"]
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == ["component 1", "component 4"]

    lines = LatentTraversalDisplay.from_estimator(pca, digits, **options)
    assert lines.image_ is None
    assert [len(of) for of in lines.lines_] == [5, 5]
    assert_allclose([line.get_ydata() for line in lines.lines_[1]], expected, atol=1e-8)
    assert len({tuple(line.get_color()) for line in lines.lines_[0]}) == 5


def test_traversals_know_names_and_shapes(digits):
    table = load_iris(as_frame=True).data
    display = LatentTraversalDisplay.from_estimator(PCA(2).fit(table), table)
    names = [text.get_text() for text in display.axes_[-1].get_xticklabels()]
    assert names == [*table.columns]
    images = digits.reshape(-1, 8, 8)
    model = AutoencoderTransformer(
        2, architecture="convolutional", input_shape=(8, 8), max_iter=0
    ).fit(images)
    display = LatentTraversalDisplay.from_estimator(model, images, n_steps=3)
    assert display.image_.get_array().shape == (20, 30)
    with pytest.raises(ValueError, match="components must be from 0 to 1, got 2"):
        LatentTraversalDisplay.from_estimator(model, images, components=2)
    with pytest.raises(ValueError, match="row must be from 0 to 399, got 400"):
        LatentTraversalDisplay.from_estimator(model, images, row=400)


def test_loadings_are_bars_by_the_names_of_features(wine):
    _, axes = svd_of(wine, 3)
    names = [f"f{i}" for i in range(13)]
    pca = PCA(3).fit(pd.DataFrame(wine, columns=names))
    display = LoadingsDisplay.from_estimator(pca, components=[0, 2], max_features=4)
    largest = np.sort(np.argsort(-np.abs(axes[[0, 2]]).max(0))[:4])
    for bars, k in zip(display.bars_, (0, 2), strict=True):
        widths = [bar.get_width() for bar in bars]
        assert_allclose(np.abs(widths), np.abs(axes[k][largest]), atol=1e-10)
        assert np.sign(widths @ axes[k][largest]) == np.sign(pca.components_[k] @ axes[k])
    labels = [text.get_text() for text in display.axes_[0].get_yticklabels()]
    assert labels == [names[i] for i in largest]
    # the names that the step before makes
    pipeline = make_pipeline(StandardScaler(), AutoencoderTransformer(1, max_iter=0))
    pipeline.fit(pd.DataFrame(wine, columns=names))
    display = LoadingsDisplay.from_estimator(pipeline)
    assert [text.get_text() for text in display.axes_[0].get_yticklabels()] == names
    widths = [bar.get_width() for bar in display.bars_[0]]
    assert_allclose(np.abs(widths), np.abs(axes[0]), atol=1e-4)
    with pytest.raises(ValueError, match="feature_names must have 13 names, got 1"):
        LoadingsDisplay.from_estimator(pca, feature_names=["a"])


def test_loadings_of_pixels_are_images(digits):
    pca = PCA(3).fit(digits)
    display = LoadingsDisplay.from_estimator(pca, image_shape=(8, 8))
    _, axes = svd_of(digits, 3)
    shown = display.image_.get_array().filled(np.nan)
    assert shown.shape == (20, 20)
    assert_allclose(np.abs(shown[11:19, 1:9]), np.abs(axes[2]).reshape(8, 8), atol=1e-8)
    assert np.isnan(shown[11:19, 11:19]).all()
    low, high = display.image_.get_clim()
    assert_allclose([-low, high], np.abs(axes).max())
    with pytest.raises(ValueError, match="image_shape must have 64 pixels"):
        LoadingsDisplay.from_estimator(pca, image_shape=(7, 8))


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
    assert covers_no_point(display)
    within = ScoreDisplay.from_estimator(make_pipeline("passthrough", detector), iris)
    assert_allclose(within.line_.get_data(), display.line_.get_data())


def test_calibration_counts_p_values_up_to_alpha(iris):
    detector = AutoencoderAnomalyDetector(max_iter=5, random_state=0).fit(iris[::2])
    new = iris[1::2]
    display = PValueCalibrationDisplay.from_estimator(detector, new)
    p_values = detector.p_values(new)
    alphas, fractions = display.line_.get_data()
    assert display.line_.get_drawstyle() == "steps-post"
    for alpha in (0, 0.01, 0.05, 0.3, 0.77, 1):
        shown = fractions[np.searchsorted(alphas, alpha, side="right") - 1]
        assert_allclose(shown, (p_values <= alpha).mean())
    assert_allclose(display.diagonal_.get_xydata(), [[0, 0], [1, 1]])
    # of uniform p-values, 95 % or a little more are in the band at a level
    band = display.band_.get_paths()[0].vertices
    low, high = np.sort(np.unique(band[np.isclose(band[:, 0], 0.3), 1]))
    count = stats.binom(75, 0.3)
    inside = count.cdf(round(high * 75)) - count.cdf(round(low * 75) - 1)
    assert 0.95 <= inside < 0.97

    other = PValueCalibrationDisplay.from_estimator(
        make_pipeline("passthrough", detector), new, name="another", ax=display.ax_
    )
    assert other.diagonal_ is None
    assert other.band_ is None
    assert other.line_.get_color() != display.line_.get_color()
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["95 % of samples", "calibrated", "AutoencoderAnomalyDetector", "another"]
    assert covers_no_point(display)


# Demsar (2006), table 6: AUC of C4.5, and with a tuned m, a tuned cf and both. One of them is .975
# there and ranked above another of .975, before they were rounded.
DEMSAR = """
.763 .768 .771 .798  .599 .591 .590 .569  .954 .971 .968 .967  .628 .661 .654 .657
.882 .888 .886 .898  .936 .931 .916 .931  .661 .668 .609 .685  .583 .583 .563 .625
.775 .838 .866 .875  1.00 1.00 1.00 1.00  .940 .962 .965 .962  .619 .666 .614 .669
.972 .981 .9751 .975  .957 .978 .946 .970
"""
SCORES = np.array(DEMSAR.split(), float).reshape(14, 4)


def test_ranks_and_groups_are_those_of_the_paper():
    table = pd.DataFrame(SCORES, columns=["C4.5", "m", "cf", "m and cf"])
    display = CriticalDifferenceDisplay.from_scores(table)
    assert_allclose(display.mean_ranks, [3.143, 2.000, 2.893, 1.964], atol=5e-4)
    assert_allclose([line.get_xdata()[0] for line in display.lines_], display.mean_ranks)
    assert display.texts_[3].get_text() == "m and cf (1.96)"
    # 1.25 at 5 %, by which nothing differs, and 1.12 at 10 %
    assert_allclose(np.ptp(display.ruler_.get_xdata()), 1.25, atol=5e-3)
    assert display.groups == [[3, 1, 2, 0]]
    assert_allclose(display.bars_[0].get_xdata(), [1.964, 3.143], atol=5e-4)
    display = CriticalDifferenceDisplay.from_scores(table, alpha=0.1)
    assert_allclose(display.critical_difference, 1.12, atol=5e-3)
    assert display.groups == [[3, 1, 2], [2, 0]]
    # errors instead of scores
    errors = CriticalDifferenceDisplay.from_scores(1 - SCORES, higher_is_better=False)
    assert_allclose(errors.mean_ranks, display.mean_ranks)
    assert errors.names == ["0", "1", "2", "3"]
    display.figure_.canvas.draw()
    for text in display.texts_:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= display.figure_.bbox.x1


def test_critical_differences_are_those_of_the_paper():
    # Demsar (2006), table 5: q at 5 % for 2 to 10 methods
    published = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    for k, q in enumerate(published, start=2):
        scores = np.random.default_rng(0).normal(size=(30, k))
        found = CriticalDifferenceDisplay.from_scores(scores).critical_difference
        assert_allclose(found, q * np.sqrt(k * (k + 1) / 180), rtol=5e-4)


def test_wilcoxon_groups_follow_from_adjusted_p_values():
    random = np.random.default_rng(3)
    scores = random.normal([0, 0.25, 0.5, 0.9, 1.0], size=(25, 5))
    scores = np.column_stack([scores, scores[:, 0]])
    display = CriticalDifferenceDisplay.from_scores(scores, test="wilcoxon")
    assert display.ruler_ is None
    pairs = [(i, j) for i in range(6) for j in range(i) if (i, j) != (5, 0)]
    found = np.array([stats.wilcoxon(scores[:, i] - scores[:, j]).pvalue for i, j in pairs])
    order = np.argsort(found)
    factors = 15 - np.arange(14)
    adjusted = dict(
        zip([pairs[at] for at in order], np.maximum.accumulate(found[order] * factors), strict=True)
    )
    adjusted[5, 0] = 1.0
    ranks = stats.rankdata(-scores, axis=1).mean(0)
    sequence = np.argsort(ranks, kind="stable")
    runs = [
        set(sequence[a:b].tolist())
        for a in range(6)
        for b in range(a + 2, 7)
        if all(
            adjusted[max(i, j), min(i, j)] > 0.05
            for i in sequence[a:b]
            for j in sequence[a:b]
            if i != j
        )
    ]
    largest = [run for run in runs if not any(run < other for other in runs)]
    assert [set(group) for group in display.groups] == largest
    assert 2 <= len(largest) < 5


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        (np.ones((3, 1)), {}, r"two methods or more, got \(3, 1\)"),
        (np.array([[1.0, np.nan]]), {}, "Scores are missing"),
        (np.ones((3, 2)), {"test": "t"}, "test must be one of .*, got 't'"),
    ],
)
def test_scores_that_cannot_be_ranked(scores, options, message):
    with pytest.raises(ValueError, match=message):
        CriticalDifferenceDisplay.from_scores(scores, **options)
