"""Tables of numbers and categories: the loss against NumPy and PCA, its blocks, its errors."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, softmax, xlogy
from scipy.stats import norm
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae.losses import Huber, Loss, Mixed, Preparation

RNG = np.random.default_rng(0)
IRIS = load_iris()
# four numbers, a category of three, a bit, and a category of two with another order of columns
TABLE = np.column_stack(
    [
        IRIS.data,
        np.eye(3)[IRIS.target],
        IRIS.data[:, 0] > 5.8,
        np.eye(2)[RNG.integers(2, size=150)],
    ]
)
NUMBERS, SPECIES, BIT, COIN = slice(0, 4), slice(4, 7), 7, slice(8, 10)


def fitted_loss(X=TABLE, **params):
    return Mixed(**params).fit(X)


def fitted(X=TABLE, k=2, max_iter=5, loss="mixed", **params):
    model = AutoencoderTransformer(k, loss=loss, max_iter=max_iter, random_state=0, **params)
    return model.fit(X)


# -- value, gradient, links ----------------------------------------------------------------------


def expected(eta, X, units):
    """Return the loss of each feature in float64 NumPy, for the columns of TABLE."""
    z = (X[:, NUMBERS] - units.mean(0)) / np.sqrt(units.var(0).mean())
    share = expit(eta[:, [BIT]])
    bits = xlogy(X[:, [BIT]], share) + xlogy(1 - X[:, [BIT]], 1 - share)
    categories = [
        xlogy(X[:, part], softmax(eta[:, part], 1)).sum(1, keepdims=True)
        for part in (SPECIES, COIN)
    ]
    return np.hstack([(eta[:, NUMBERS] - z) ** 2 / 2, -bits, *(-c for c in categories)])


def test_the_loss_is_the_mean_over_the_features():
    loss, eta = fitted_loss(), RNG.normal(size=TABLE.shape)
    value = loss.per_sample(torch.tensor(eta), torch.tensor(loss.preparation.transform(TABLE)[0]))
    assert_allclose(value, expected(eta, TABLE, IRIS.data).mean(1))


def test_large_log_odds_are_no_nan():
    loss = fitted_loss()
    eta = torch.tensor(1e4 * RNG.normal(size=TABLE.shape), requires_grad=True)
    value = loss.per_sample(eta, torch.tensor(loss.preparation.transform(TABLE)[0])).sum()
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(eta.grad).all()


@pytest.mark.parametrize(
    ("loss", "columns"),
    [("squared_error", [0, 1]), ("absolute_error", [0, 1]), ("huber", [0]), ("poisson", [2, 0])],
)
def test_a_given_block_has_its_loss(loss, columns):
    X = np.column_stack([RNG.poisson(3.0, size=(40, 3)), RNG.uniform(size=40)]).astype(float)
    rest = [j for j in range(4) if j not in columns]
    mixed = fitted_loss(X, blocks=[(columns, loss), (rest, "squared_error")])
    eta = torch.tensor(RNG.normal(size=X.shape))
    entries = mixed.per_entry(eta, torch.tensor(mixed.preparation.transform(X)[0]))
    own = Loss.registry[loss]()
    x, weight = X[:, columns], {"squared_error": 0.5}.get(loss, 1.0)
    if own.identity:
        x = (x - x.mean(0)) / np.sqrt(x.var(0).mean())
    assert_allclose(
        entries[:, : len(columns)], weight * own.per_entry(eta[:, columns], torch.tensor(x))
    )


def test_the_link_and_its_inverse_keep_each_column_in_its_place():
    blocks = [([9, 8], "multinomial"), ([3, 0, 7], "squared_error"), (slice(4, 7), "multinomial")]
    loss = fitted_loss(blocks=[*blocks, ([1, 2], "absolute_error")])
    eta = torch.tensor(RNG.normal(size=TABLE.shape))
    X = loss.preparation.inverse_transform(loss.link(eta).numpy())
    assert_allclose(X[:, [9, 8]], softmax(eta[:, [9, 8]], 1))
    assert_allclose(X[:, SPECIES], softmax(eta[:, SPECIES], 1))
    for columns in ([3, 0, 7], [1, 2]):
        own = TABLE[:, columns]
        scale = np.sqrt(own.var(0).mean())
        assert_allclose(X[:, columns], own.mean(0) + scale * eta[:, columns].numpy())
    mu = torch.tensor(loss.preparation.transform(X)[0])
    assert_allclose(loss.link(loss.inverse_link(mu, mu.mean(0))), mu, rtol=1e-8)


def test_entries_that_are_not_there_do_not_count():
    loss = fitted_loss()
    X = TABLE[:2].copy()
    X[0, [1, 5]] = np.nan  # a number, and with one of its columns a category
    eta = RNG.normal(size=X.shape)
    value = loss.per_observed(torch.tensor(eta), torch.tensor(loss.preparation.transform(X)[0]))
    entries = expected(eta, TABLE[:2], IRIS.data)
    assert_allclose(value, [np.delete(entries[0], [1, 5]).mean(), entries[1].mean()])


# -- the start and the fit -----------------------------------------------------------------------


def test_the_start_is_pca_moved_into_the_domain():
    X = fitted(max_iter=0).reconstruct(TABLE)
    # each block over the root of the mean variance of its features; rows that are equal count once
    variance = np.unique(TABLE, axis=0).var(0)
    scale = np.empty(10)
    scale[NUMBERS] = np.sqrt(variance[NUMBERS].mean())
    scale[BIT] = np.sqrt(variance[BIT])
    scale[SPECIES] = scale[COIN] = np.sqrt((variance[SPECIES].sum() + variance[COIN].sum()) / 2)
    pca = PCA(2).fit(TABLE / scale)
    rebuilt = pca.inverse_transform(pca.transform(TABLE / scale)) * scale
    assert_allclose(X[:, NUMBERS], rebuilt[:, NUMBERS])
    assert_allclose(X[:, BIT], rebuilt[:, BIT].clip(0.001, 0.999))
    for part in (SPECIES, COIN):
        shares = np.maximum(rebuilt[:, part], 0.01 * TABLE[:, part].mean(0))
        assert_allclose(X[:, part], shares / shares.sum(1, keepdims=True))


def test_training_lowers_the_loss_and_rebuilds_the_categories():
    model = fitted(max_iter=60)
    assert model.loss_ < 0.8 * model.history_[0]["valid_loss"]
    X = model.reconstruct(TABLE)
    assert_allclose(X[:, SPECIES].sum(1), 1)
    assert_allclose(X[:, COIN].sum(1), 1)
    assert X[:, 4:].min() >= 0
    assert (X[:, SPECIES].argmax(1) == IRIS.target).mean() > 0.95
    start = fitted(max_iter=0).reconstruct(TABLE)
    assert ((X - TABLE)[:, NUMBERS] ** 2).mean() < ((start - TABLE)[:, NUMBERS] ** 2).mean()


def test_units_of_numbers_do_not_matter():
    units = np.r_[np.full(4, 1024.0), np.ones(6)]
    assert_array_equal(
        fitted(TABLE * units).reconstruct(TABLE * units), fitted().reconstruct(TABLE) * units
    )


def test_a_weight_of_two_is_the_row_twice():
    weight = np.where(np.arange(150) % 3 == 0, 2, 1)
    once = AutoencoderTransformer(2, loss="mixed", max_iter=3, random_state=0)
    once.fit(TABLE, sample_weight=weight)
    twice = fitted(np.repeat(TABLE, weight, axis=0), max_iter=3)
    assert_array_equal(once.transform(TABLE), twice.transform(TABLE))


def test_float32_stays_float32():
    X = TABLE.astype(np.float32)
    model = fitted(X, max_iter=2)
    assert model.reconstruct(X).dtype == np.float32
    assert_allclose(model.reconstruct(X)[:, SPECIES].sum(1), 1, rtol=1e-5)


def test_partial_fit_keeps_the_blocks_of_the_first_rows():
    model = AutoencoderTransformer(2, loss="mixed", random_state=0).partial_fit(TABLE)
    before = model.loss_function_.preparation.transform(TABLE)[0]
    # of one species alone, which would be numbers, bits and no category
    model.partial_fit(TABLE[:50])
    assert_array_equal(model.loss_function_.preparation.transform(TABLE)[0], before)
    assert [columns for columns, _ in model.loss_function_.blocks_][-2:] == [[4, 5, 6], [8, 9]]


def test_it_pickles_and_clones():
    model = fitted(loss=Mixed([(slice(0, 8), "squared_error"), ([8, 9], "multinomial")]))
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.reconstruct(TABLE), model.reconstruct(TABLE))
    copy = clone(model)
    assert copy.loss.blocks == model.loss.blocks
    assert_array_equal(copy.fit(TABLE).reconstruct(TABLE), model.reconstruct(TABLE))


def test_a_search_reaches_the_blocks():
    choices = [
        "auto",
        [(slice(0, 4), Huber()), (slice(4, 7), "multinomial"), ([7, 8, 9], "squared_error")],
    ]
    search = GridSearchCV(
        AutoencoderTransformer(2, loss=Mixed(), max_iter=1, random_state=0),
        {"loss__blocks": choices},
        cv=2,
        error_score="raise",
    ).fit(TABLE[np.random.default_rng(0).permutation(150)])
    assert search.best_params_["loss__blocks"] in choices
    assert len(set(search.cv_results_["mean_test_score"])) == 2


# -- blocks that are found -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "numbers", "bits", "features"),
    [
        ([[0.5, 1, 2], [3, 4, 6]], [0, 1], [], []),
        ([[1, 0, 0], [0, 1, 1]], [], [], [[0, 1]]),
        # one that is constant is no part of a feature, whatever its value
        ([[1, 1, 1], [1, 0, 0], [0, 1, 1]], [], [0], [[1, 2]]),
        ([[0, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0]], [], [0, 3], [[1, 2]]),
        ([[7, 7, 7], [0, 1, 1]], [0], [1], []),
        # but a category between others that no row has is
        ([[1, 0, 0], [0, 0, 0], [0, 1, 1]], [], [], [[0, 1, 2]]),
        # two features side by side, and one that a number cuts in two
        ([[1, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 1]], [], [], [[0, 1], [2, 3]]),
        ([[1, 0, 0], [0.5, 1, 2], [0, 1, 1]], [1], [0, 2], []),
        # two bits that do not exclude each other, or that are both 0 somewhere
        ([[1, 0, 1], [1, 1, 0]], [], [0, 1], []),
        ([[1, 0, 0], [0, 1, 0]], [], [0, 1], []),
    ],
)
def test_blocks_are_found(columns, numbers, bits, features):
    kinds = {"SquaredError": numbers, "BinaryCrossEntropy": bits}
    expected = [(own, kind) for kind, own in kinds.items() if own]
    expected += [(own, "Multinomial") for own in features]
    blocks = fitted_loss(np.transpose(columns).astype(float)).blocks_
    assert [(own, type(loss).__name__) for own, loss in blocks] == expected


def test_bits_that_are_not_there_hide_no_category():
    X = np.eye(3)[[0, 1, 2, 0, 1]]
    X[3] = np.nan
    assert [columns for columns, _ in fitted_loss(X).blocks_] == [[0, 1, 2]]


# -- what does not go ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([(slice(0, 9), "squared_error")], r"Columns \[9\] of X are in no block"),
        ([(slice(0, 10), "huber"), (2, "poisson")], r"Columns \[2\] of X are in more than one"),
        ([([0, 0], "huber"), (slice(1, 10), "huber")], r"Columns \[0\] of X are in more than one"),
        ([([10], "huber")], r"at least one among the 10 of X, got \[10\]"),
        ([([], "huber")], r"an int, a list of ints or a slice.*got \[\]"),
        ([(["a"], "huber")], r"an int, a list of ints or a slice.*got \['a'\]"),
        ([([True] * 10, "huber")], "an int, a list of ints or a slice"),
        ([slice(0, 10)], "list of pairs of columns and loss, such as"),
        ([(slice(0, 10), "mixed")], "mean over columns.*'multinomial' for one-hot.*got Mixed"),
        ([(slice(0, 10), "categorical_cross_entropy")], "'multinomial' for one-hot columns, got"),
        ([(slice(0, 10), "hubert")], "got 'hubert'"),
        ([(slice(0, 10), Huber(delta=-1))], "'delta' parameter of Huber"),
        ("every", "'blocks' parameter of Mixed"),
    ],
)
def test_wrong_blocks_are_refused(blocks, message):
    with pytest.raises(ValueError, match=message):
        AutoencoderTransformer(loss=Mixed(blocks)).fit(TABLE)


def test_values_outside_a_block_s_domain_are_refused():
    for loss, message in (("poisson", "needs counts"), ("binary_cross_entropy", r"in \[0, 1\]")):
        blocks = [(slice(0, 4), loss), (slice(4, 10), "squared_error")]
        with pytest.raises(ValueError, match=message):
            AutoencoderTransformer(loss=Mixed(blocks)).fit(TABLE - np.eye(10)[0] * 9)


def test_check_refuses_later_values_outside_a_block_s_domain():
    loss = fitted_loss(blocks=[(slice(0, 4), "poisson"), (slice(4, 10), "squared_error")])
    blocks = pickle.dumps(loss)
    loss.check(TABLE[:50])
    assert pickle.dumps(loss) == blocks
    with pytest.raises(ValueError, match="needs counts"):
        loss.check(TABLE - np.eye(10)[0] * 9)


def test_a_loss_with_a_preparation_of_its_own_is_no_block_s():
    class Logs(Preparation):
        def transform(self, X):
            return np.log1p(X), None

    class HuberOfLogs(Huber):
        preparation = Logs()

    with pytest.raises(ValueError, match=r"a mean over columns as they are.*got HuberOfLogs"):
        fitted_loss(blocks=[(slice(0, 10), HuberOfLogs())])


@pytest.mark.parametrize("values", [[1, 1, 0], [0.5, 0, 0], [2, -1, 0]])
def test_later_rows_must_be_one_hot(values):
    model = fitted(max_iter=0)
    X = TABLE[:3].copy()
    X[1, SPECIES] = values
    with pytest.raises(ValueError, match=r"columns \[4, 5, 6\] as one .* in row 1.*blocks"):
        model.transform(X)
    with pytest.raises(ValueError, match=r"columns \[4, 5, 6\] as one"):
        model.partial_fit(X)


def test_an_unknown_category_and_probabilities_are_allowed():
    model = fitted(max_iter=2)
    X = TABLE[:2].copy()
    X[1, SPECIES] = 0
    assert_allclose(model.reconstruct(X)[:, SPECIES].sum(1), 1)
    assert np.isfinite(model.reconstruct(model.reconstruct(TABLE))).all()
    loss = model.loss_function_
    eta = torch.tensor(RNG.normal(size=X.shape))
    entries = loss.per_entry(eta, torch.tensor(loss.preparation.transform(X)[0]))
    assert_array_equal(entries[1, 5], 0)
    assert entries[0, 5] > 0


# -- with the other parts ------------------------------------------------------------------------


def test_log_likelihood_is_that_of_each_block():
    loss = fitted_loss()
    eta = RNG.normal(size=TABLE.shape)
    x = torch.tensor(loss.preparation.transform(TABLE)[0])
    noise = loss.noise(torch.tensor(eta), x)
    total = loss.total_log_likelihood(torch.tensor(eta), x, noise)
    scale = np.sqrt(IRIS.data.var(0).mean())
    numbers = IRIS.data.mean(0) + scale * eta[:, NUMBERS]
    deviation = np.sqrt(((IRIS.data - numbers) ** 2).mean())
    likelihood = norm(numbers, deviation).logpdf(IRIS.data).sum(1)
    likelihood -= expected(eta, TABLE, IRIS.data)[:, 4:].sum(1)
    assert_allclose(total, likelihood)


def test_the_bound_of_a_variational_model_prefers_real_rows():
    model = fitted(max_iter=20, penalty="variational")
    shuffled = TABLE.copy()
    shuffled[:, SPECIES] = np.roll(TABLE[:, SPECIES], 60, axis=0)
    assert model.score_samples(TABLE).mean() > model.score_samples(shuffled).mean() + 1
    samples = model.sample(20, random_state=0)
    assert_allclose(samples[:, SPECIES].sum(1), 1)


def test_a_block_without_a_likelihood_has_no_bound():
    blocks = [(slice(0, 4), "huber"), (slice(4, 10), "squared_error")]
    model = fitted(max_iter=1, loss=Mixed(blocks), penalty="variational")
    with pytest.raises(ValueError, match=r"Huber\(\) is no likelihood"):
        model.score_samples(TABLE)


def test_the_detector_finds_a_category_that_contradicts_the_numbers():
    detector = AutoencoderAnomalyDetector(
        loss="mixed", scoring="reconstruction", max_iter=50, trim=0.0, random_state=0
    ).fit(TABLE)
    X = TABLE[:1].copy()
    X[0, SPECIES] = [0, 0, 1]
    assert detector.score_samples(X) < 2 * detector.offset_
    shares = detector.explain(X)
    assert_allclose(shares.sum(1), detector.score_samples(X))
