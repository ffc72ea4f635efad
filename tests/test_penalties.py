"""Penalties against NumPy, SciPy and autograd, and what they do to real codes."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.special import rel_entr
from units import scale_of

from skae import AutoencoderTransformer
from skae.architectures import Convolutional, Dense
from skae.corruptions import CORRUPTIONS
from skae.penalties import (
    PENALTIES,
    Contractive,
    EncodedBatch,
    Ordered,
    Penalty,
    Sparse,
    Variational,
)


def fit(X, penalty, **params):
    params = {"n_components": 4, "max_iter": 30, "random_state": 0} | params
    return AutoencoderTransformer(penalty=penalty, **params).fit(X)


def batch_of(model, X, train):
    """Return what a penalty sees of rows, in float64, where a model was fitted to others."""
    module = model.module_
    x = torch.tensor((X - model.mean_) / scale_of(train))
    out, k = module.outputs(x), module.n_components
    generator = torch.Generator().manual_seed(0)
    return EncodedBatch(x, out[:, :k], out[:, k:], module, 1.0, generator, 1.0, True)


# -- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PENALTIES)
def test_the_start_is_pca_and_the_history_has_the_terms(name, digits):
    start, plain = fit(digits, name, max_iter=0), fit(digits, None, max_iter=0)
    assert_allclose(start.transform(digits), plain.transform(digits), atol=1e-12)
    model = fit(digits, name, max_iter=4)
    for row in model.history_[1:]:
        for kind in ("train", "valid"):
            terms = [
                value
                for key, value in row.items()
                if key.startswith(kind) and key not in (f"{kind}_loss", "train_critic")
            ]
            assert len(terms) == (1 if name == "ordered" else 2)
            assert sum(terms) == pytest.approx(row[f"{kind}_loss"], rel=1e-4)
    assert model.n_iter_ == 4


@pytest.mark.extended
@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("corruption", [*CORRUPTIONS, None])
def test_penalties_and_corruptions_go_together(name, corruption, digits):
    model = fit(digits, name, corruption=corruption, max_iter=2)
    assert np.isfinite(model.reconstruct(digits)).all()


@pytest.mark.parametrize("name", [n for n in PENALTIES if n != "ordered"])
@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy"])
def test_codes_wider_than_the_data_are_penalised_too(name, loss, digits):
    X = digits[:, 20:26]
    model = fit(X, name, n_components=9, loss=loss, early_stopping=False, max_iter=3)
    terms = {
        key: value
        for key, value in model.history_[1].items()
        if key.startswith("train_") and key[6:] not in ("loss", "reconstruction", "critic")
    }
    assert all(value > 1e-5 for value in terms.values()), terms
    assert np.isfinite(model.reconstruct(X)).all()


def test_a_warm_start_keeps_the_kind_of_penalty(digits):
    model = fit(digits, "variational", warm_start=True, max_iter=2)
    model.set_params(penalty=Variational(beta=3.0)).fit(digits)
    assert model.penalty_.beta == 3.0
    with pytest.raises(ValueError, match="A warm start cannot change the kind of the penalty"):
        model.set_params(penalty="sparse").fit(digits)


def test_a_penalty_from_outside_takes_one_class(images):
    train, test = images

    class Small(Penalty, name="small"):
        """Codes near zero, in units of their spread at the start."""

        def terms(self, batch):
            return {"size": 10 * batch.module.start_loss * batch.units().square().mean(1)}

    try:
        small, plain = (fit(train, penalty, max_iter=10) for penalty in ("small", None))
        assert small.transform(test).std() < 0.5 * plain.transform(test).std()
        assert {"train_size", "valid_size"} < small.history_[1].keys()
        assert_array_equal(fit(train, Small(), max_iter=10).transform(test), small.transform(test))
    finally:
        del PENALTIES["small"]


# -- sparse --------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [1e-300, 0.5, 1 - 1e-16])
def test_any_target_of_the_mean_activation_is_computed_with(target, iris):
    model = AutoencoderTransformer(2, penalty=Sparse("kl", target=target), max_iter=2).fit(iris)
    assert np.isfinite([row["train_sparsity"] for row in model.history_]).all()


@pytest.mark.parametrize("kind", ["l1", "kl"])
def test_sparsity_is_that_of_numpy(kind, digits):
    penalty = Sparse(kind, weight=0.7, target=0.3)
    model = fit(digits, penalty, max_iter=3)
    code = model.transform(digits) / scale_of(digits)
    size = np.abs(code) / np.sqrt((code**2).mean(0))
    expected = size.mean()
    if kind == "kl":
        activation = np.tanh(size).mean(0)
        expected = (rel_entr(0.3, activation) + rel_entr(0.7, 1 - activation)).mean()
    (term,) = penalty.terms(batch_of(model, digits, digits)).values()
    unit = model.history_[0]["train_reconstruction"]
    assert model.module_.start_loss.item() == pytest.approx(unit, rel=0.1)
    assert term.mean().item() == pytest.approx(0.7 * model.module_.start_loss.item() * expected)


@pytest.mark.parametrize(
    "penalty",
    [Sparse(weight=3.0), pytest.param(Sparse("kl", weight=3.0), marks=pytest.mark.slow)],
    ids=repr,
)
def test_sparse_codes_have_more_entries_near_zero(penalty, images):
    train, test = images

    def near_zero(model):
        codes = model.transform(test)
        return (np.abs(codes) < 0.1 * np.sqrt((codes**2).mean(0))).mean()

    plain, sparse = fit(train, None, n_components=16), fit(train, penalty, n_components=16)
    assert near_zero(sparse) > 1.5 * near_zero(plain)
    start = fit(train, None, n_components=16, max_iter=0)
    assert sparse.score(test) > start.score(test)


# -- contractive ---------------------------------------------------------------------------------


def squared_jacobians(model, X):
    """Return each row's squared norm by autograd, one row at a time."""
    module, rows = model.module_, batch_of(model, X, X)
    scale = rows.code.square().mean(0).sqrt().detach()
    jacobians = [
        torch.autograd.functional.jacobian(lambda x: module.encode(x[None])[0], x) for x in rows.x
    ]
    return np.array([((j / scale[:, None]) ** 2).sum().item() for j in jacobians]) / len(scale)


@pytest.mark.parametrize("params", [{}, {"init": "random"}], ids=str)
@pytest.mark.parametrize("activation", ["silu", "tanh"])
def test_one_hidden_layer_is_exact(params, activation, digits):
    X = digits[:40]
    model = fit(X, "contractive", hidden_layer_sizes=(9,), activation=activation, **params)
    found = Contractive.squared_norm(batch_of(model, X, X)).detach().numpy()
    assert_allclose(found, squared_jacobians(model, X), rtol=1e-10)


@pytest.mark.extended
@pytest.mark.parametrize(
    "params",
    [{"hidden_layer_sizes": (9, 7)}, {"architecture": Convolutional(), "input_shape": (8, 8)}],
    ids=["dense", "convolutional"],
)
def test_deeper_nets_are_estimated_without_bias(params, digits):
    X = digits[:20]
    model = fit(X, "contractive", max_iter=20, early_stopping=False, corruption=None, **params)
    batch = batch_of(model, X, X)
    draws = np.array([Contractive.squared_norm(batch).detach().numpy() for _ in range(1000)])
    error = draws.std(0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - squared_jacobians(model, X)) < 4.5 * error).all()


@pytest.mark.parametrize("sizes", [(64,), pytest.param((64, 32), marks=pytest.mark.slow)], ids=str)
def test_contractive_codes_move_less(sizes, images):
    train, test = images
    nudge = 0.05 * np.random.default_rng(0).normal(size=test.shape)

    def movement(model):
        # A row that PCA reconstructs better has another code altogether.
        model.module_.fallback = None
        codes = model.transform(test)
        squares = (model.transform(test + nudge) - codes) ** 2 / codes.var(0)
        return np.sqrt(np.median(squares.mean(1)))

    plain = fit(train, None, hidden_layer_sizes=sizes, transform_max_iter=0)
    contractive = fit(train, Contractive(), hidden_layer_sizes=sizes)
    assert movement(contractive) < 0.85 * movement(plain)
    assert contractive.score(test) > 0.98 * plain.score(test)


def test_tokens_do_not_move_a_little():
    X = np.random.default_rng(0).integers(3, size=(50, 4))
    with pytest.raises(ValueError, match="penalty='contractive' needs numbers"):
        fit(X, "contractive", loss="categorical_cross_entropy", n_components=2)


# -- ordered -------------------------------------------------------------------------------------


def test_nested_dropout_keeps_the_first_components():
    code = torch.ones(6000, 4)
    generator = torch.Generator().manual_seed(0)
    batch = EncodedBatch(code, code, code[:, :0], None, 1.0, generator, 0.0, True)
    kept = Ordered(fraction=0.5).draw(batch).numpy()
    assert (np.diff(kept, axis=1) <= 0).all()
    counts = np.bincount(kept.sum(1).astype(int), minlength=5)[1:]
    # a half keeps all four, the other half each number alike
    assert stats.chisquare(counts, 6000 * np.array([1, 1, 1, 5]) / 8).pvalue > 1e-3


@pytest.mark.extended
def test_the_first_components_are_a_code_of_their_own(images):
    train, test = images
    ordered = fit(train, "ordered", n_components=8, max_iter=90)
    plain = fit(train, None, n_components=8, max_iter=90)
    start = fit(train, None, n_components=8, max_iter=0)

    def error(model, j):
        kept = np.where(np.arange(8) < j, model.transform(test), 0)
        return ((test - model.inverse_transform(kept)) ** 2).mean()

    for j in (1, 2, 4):
        assert error(ordered, j) < 0.97 * error(start, j)
        assert error(ordered, j) < error(plain, j)
    assert error(ordered, 8) < error(start, 8)


@pytest.mark.parametrize("architecture", [Dense(), Dense(tied=True)], ids=repr)
def test_the_penalties_take_other_nets(architecture, digits):
    for name in PENALTIES:
        model = fit(digits, name, architecture=architecture, max_iter=2)
        assert np.isfinite(model.transform(digits)).all()
