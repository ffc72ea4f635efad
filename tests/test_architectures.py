"""Nets of every kind: they start as PCA, and compute what their papers say, by NumPy."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import correlate
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer
from skae.architectures import ARCHITECTURES, Architecture, Convolutional, Dense, Plan, Recurrent


def fit(X, architecture, **params):
    params = {"n_components": 3, "max_iter": 2, "random_state": 0} | params
    return AutoencoderTransformer(architecture=architecture, **params).fit(X)


def plan(shape, sizes=(5, 6), n_components=3, activation="silu", zero=False):
    return Plan(shape, n_components, n_components, sizes, activation, zero)


def assert_starts_as_pca(model, X):
    pca = PCA(model.n_components_).fit(X)
    expected = pca.inverse_transform(pca.transform(X))
    assert_allclose(np.abs(model.transform(X)), np.abs(pca.transform(X)), atol=1e-9)
    assert_allclose(model.reconstruct(X), expected, atol=1e-9)
    assert_allclose(np.abs(model.components_), np.abs(pca.components_), atol=1e-9)


KINDS = [
    *ARCHITECTURES,
    Dense(decoder_hidden_layer_sizes=(4, 3, 2)),
    Dense(norm="batch", dropout=0.2),
    Dense(norm="layer"),
    Dense(tied=True),
    Dense(tied=True, norm="batch"),
    Convolutional(n_dims=1),
    Convolutional(kernel_size=5, stride=3),
    Recurrent("lstm"),
    Recurrent("lstm", bidirectional=True, embedding_size=3),
    *(
        pytest.param(dear, marks=pytest.mark.extended)
        for dear in (
            Convolutional(norm="batch", n_residual_blocks=2),
            Recurrent(bidirectional=True),
        )
    ),
]


@pytest.mark.parametrize("architecture", KINDS, ids=repr)
@pytest.mark.parametrize("sizes", [pytest.param("auto", marks=pytest.mark.slow), (6, 5)], ids=str)
def test_every_kind_starts_as_pca_and_learns(architecture, sizes, digits):
    params = {"input_shape": (8, 8), "hidden_layer_sizes": sizes}
    start = fit(digits, architecture, max_iter=0, **params)
    assert_starts_as_pca(start, digits)
    params |= {"corruption": None, "schedule": None, "early_stopping": False}
    model = fit(digits, architecture, max_iter=8, learning_rate=2e-3, **params)
    assert model.history_[-1]["train_loss"] < model.history_[0]["train_loss"]
    assert model.score(digits) > start.score(digits)


@pytest.mark.extended
@pytest.mark.parametrize("architecture", KINDS, ids=repr)
def test_every_kind_starts_at_random_too(architecture, digits):
    model = fit(digits, architecture, init="random", input_shape=(8, 8), max_iter=1)
    assert model.module_.E is None
    assert model.module_.gates is None
    assert np.isfinite(model.reconstruct(digits)).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_unseen_images_are_not_worse_than_by_pca(name):
    X = load_digits().data / 16
    train, test = train_test_split(X, random_state=0)
    pca = PCA(4).fit(train)
    limit = ((test - pca.inverse_transform(pca.transform(test))) ** 2).mean()
    model = fit(train, name, n_components=4, input_shape=(8, 8), max_iter=10)
    assert ((test - model.reconstruct(test)) ** 2).mean() < 0.95 * limit


# -- dense ---------------------------------------------------------------------------------------


def test_an_asymmetric_decoder_has_its_own_widths():
    f, g = Dense(decoder_hidden_layer_sizes=(7,)).build(plan((10,), (5, 4)))
    assert [tuple(p.shape) for p in f.parameters() if p.ndim == 2] == [(5, 10), (4, 5), (3, 4)]
    assert [tuple(p.shape) for p in g.parameters() if p.ndim == 2] == [(7, 3), (10, 7)]


def test_tied_weights_are_the_same_numbers(digits):
    model = fit(digits, Dense(tied=True), hidden_layer_sizes=(9, 6), max_iter=5)
    module = model.module_
    first, second, last = (layer for layer in module.f if hasattr(layer, "weight"))
    assert module.D is None
    # The decoder by hand, with the encoder's own matrices.
    z = np.random.default_rng(0).normal(size=(4, 3))
    hidden = z
    for layer, back in zip((last, second, first), module.g[::2], strict=True):
        hidden = hidden @ layer.weight.detach().numpy() + back.bias.detach().numpy()
        if layer is not first:
            hidden = hidden / (1 + np.exp(-hidden))
    expected = z @ module.E.detach().numpy().T + module.gates[1].item() * hidden
    assert_allclose(module.decode(torch.tensor(z)).detach().numpy(), expected, atol=1e-12)
    n_weights = sum(p.numel() for p in module.parameters() if p.ndim == 2)
    assert n_weights == 64 * 9 + 9 * 6 + 6 * 3 + 64 * 3


def test_tied_weights_need_as_few_components_as_pca_has(iris):
    with pytest.raises(ValueError, match=r"n_components=7 is more than PCA has, 4"):
        fit(iris, Dense(tied=True), n_components=7)
    with pytest.raises(ValueError, match="decoder_hidden_layer_sizes must be None, got"):
        fit(iris, Dense(tied=True, decoder_hidden_layer_sizes=(3,)))


@pytest.mark.parametrize("architecture", [Dense(dropout=0.5), Dense(norm="batch")], ids=repr)
def test_training_only_layers_rest_afterwards(architecture, digits):
    model = fit(digits, architecture)
    assert_allclose(model.transform(digits)[:1], model.transform(digits[:1]), atol=1e-12)
    assert_array_equal(model.transform(digits), model.transform(digits))


def test_dropout_leaves_global_generators_alone(digits):
    before = torch.random.get_rng_state()
    one, two = (fit(digits, Dense(dropout=0.3)).transform(digits) for _ in range(2))
    assert_array_equal(one, two)
    assert torch.equal(torch.random.get_rng_state(), before)
    other = fit(digits, Dense(dropout=0.3), random_state=1)
    assert not np.array_equal(one, other.transform(digits))


def test_batch_normalisation_takes_a_batch_of_one_row():
    X = np.array([[0.0, 1.0], [1.0, 0.0]])
    model = fit(X, Dense(norm="batch"), n_components=1, hidden_layer_sizes=(3,))
    assert np.isfinite(model.transform(X)).all()


# -- convolutional -------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, 2, 3, 7, 8, 25, 28])
@pytest.mark.parametrize("kernel_size", [3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("channels", [(), (2,)])
def test_images_of_any_size(side, kernel_size, stride, channels):
    shape = (*channels, side, side + 2)
    f, g = Convolutional(kernel_size, stride).build(plan(shape))
    n_features = int(np.prod(shape))
    assert f(torch.zeros(4, n_features)).shape == (4, 3)
    assert g(torch.zeros(4, 3)).shape == (4, n_features)


@pytest.mark.parametrize("shape", [(1,), (7,), (25, 3), (24, 1)])
def test_series_of_any_length(shape):
    f, g = Convolutional(n_dims=1, n_residual_blocks=1).build(plan(shape))
    assert f(torch.zeros(4, int(np.prod(shape)))).shape == (4, 3)
    assert g(torch.zeros(4, 3)).shape == (4, int(np.prod(shape)))


def test_a_convolution_is_that_of_scipy():
    f, _ = Convolutional(kernel_size=3, stride=1).build(plan((6, 5), (2,), activation="identity"))
    convolution = next(layer for layer in f if isinstance(layer, torch.nn.Conv2d))
    image = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    weight, bias = (p.detach().numpy() for p in convolution.parameters())
    maps = [correlate(image, w[0], mode="same") + b for w, b in zip(weight, bias, strict=True)]
    last = f[-1]
    expected = last.weight.detach().numpy() @ np.ravel(maps) + last.bias.detach().numpy()
    found = f(torch.tensor(image.reshape(1, -1)))[0].detach().numpy()
    assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_series_move_along_time_and_not_along_channels():
    f, g = Convolutional(kernel_size=2, stride=2, n_dims=1).build(plan((8, 3), (4,)))
    maps = f[:-2]  # all but flattening and the linear layer
    x = torch.zeros(1, 24)
    moved = x.clone()
    moved.view(8, 3)[5, 1] = 1.0
    changed = (maps(moved) - maps(x)).abs().sum((0, 1)) > 0
    assert changed.tolist() == [False, False, True, False]
    # and back: a code's change at one of the four steps is one at two of the eight
    up = g[1:]
    z = torch.zeros(1, 16)
    moved = z.clone()
    moved.view(4, 4)[:, 2] = 1.0
    with torch.no_grad():
        for parameter in up.parameters():
            parameter.fill_(1.0)
    changed = (up(moved) != up(z)).view(8, 3).sum(1)
    assert changed.tolist() == [0, 0, 0, 0, 3, 3, 0, 0]


def test_samples_may_keep_their_shape():
    images = load_digits().images[:200]
    model = fit(images, "convolutional", input_shape=(8, 8))
    flat = images.reshape(200, -1)
    assert_array_equal(model.transform(images), model.transform(flat))
    assert model.reconstruct(images).shape == (200, 64)


@pytest.mark.parametrize(
    ("architecture", "shape", "message"),
    [
        (Convolutional(), (2, 2, 4, 4), "'input_shape' of a Convolutional must be"),
        (Convolutional(n_dims=2), (64,), "'input_shape' of a Convolutional must be"),
        (Convolutional(2, 3), (8, 8), "'stride' parameter of Convolutional must be at most"),
        (Recurrent(), (4, 4, 4), "A Recurrent needs sequences"),
    ],
)
def test_shapes_that_do_not_go(architecture, shape, message, digits):
    with pytest.raises(ValueError, match=message):
        fit(digits, architecture, input_shape=shape)


# -- recurrent -----------------------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(x, cell):
    """Return the last state of a GRU for one sequence, by the formulas of Cho et al."""
    w, u, b, c = (p.detach().numpy() for p in cell.parameters())
    state = np.zeros(u.shape[1])
    for step in x:
        (r, z, n), (r2, z2, n2) = np.split(w @ step + b, 3), np.split(u @ state + c, 3)
        reset, update = sigmoid(r + r2), sigmoid(z + z2)
        state = (1 - update) * np.tanh(n + reset * n2) + update * state
    return state


def lstm(x, cell):
    w, u, b, c = (p.detach().numpy() for p in cell.parameters())
    state = memory = np.zeros(u.shape[1])
    for step in x:
        i, f, g, o = np.split(w @ step + b + u @ state + c, 4)
        memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(g)
        state = sigmoid(o) * np.tanh(memory)
    return state


@pytest.mark.parametrize(("cell", "reference"), [("gru", gru), ("lstm", lstm)])
def test_codes_of_sequences_of_any_length_are_those_of_numpy(cell, reference):
    f, _ = Recurrent(cell).build(plan((6, 2), (5,)))
    f = f.double()
    random = np.random.default_rng(0)
    lengths = [6, 3, 1, 5]
    X = np.full((4, 6, 2), np.nan)
    for row, length in zip(X, lengths, strict=True):
        row[:length] = random.normal(size=(length, 2))
    found = f(torch.tensor(X.reshape(4, -1))).detach().numpy()
    weight, bias = (p.detach().numpy() for p in f.last.parameters())
    for row, length, code in zip(X, lengths, found, strict=True):
        assert_allclose(code, weight @ reference(row[:length], f.cells[0]) + bias, atol=1e-12)


def test_two_directions_are_two_encoders():
    f, _ = Recurrent(bidirectional=True).build(plan((6, 2), (5,)))
    x = torch.randn(3, 6, 2)
    x[1, 4:] = torch.nan
    states = []
    f.last.register_forward_pre_hook(lambda layer, inputs: states.append(inputs[0]))
    f(x.flatten(1))
    behind = x.flip(1)
    behind[1] = torch.cat([x[1, :4].flip(0), x[1, 4:]])
    names = [name.removesuffix("_reverse") for name, _ in f.cells[0].named_parameters()]
    twin = torch.nn.GRU(2, 5, batch_first=True)
    weights = dict(zip(names[4:], list(f.cells[0].parameters())[4:], strict=True))
    twin.load_state_dict({name: p.data for name, p in weights.items()})
    for row in range(3):
        steps = behind[row][~behind[row, :, 0].isnan()]
        assert_allclose(states[0][row, 5:].detach(), twin(steps)[1][0].detach(), atol=1e-6)


# -- from outside the package --------------------------------------------------------------------


def test_an_architecture_from_outside_takes_one_class(digits):
    class Toy(Architecture, name="toy"):
        """One layer each way."""

        def build(self, plan):
            return (
                torch.nn.Linear(plan.n_features, plan.n_outputs),
                torch.nn.Sequential(
                    torch.nn.Linear(plan.n_components, 20),
                    plan.new_activation(),
                    torch.nn.Dropout(0.1),
                    torch.nn.Linear(20, plan.n_features),
                ),
            )

    try:
        assert_starts_as_pca(fit(digits, "toy", max_iter=0), digits)
        before = torch.random.get_rng_state()
        start, model = fit(digits, "toy", max_iter=0), fit(digits, "toy", max_iter=10)
        assert model.score(digits) > start.score(digits)
        assert torch.equal(torch.random.get_rng_state(), before)
        assert fit(digits, Toy(), max_iter=10).score(digits) == model.score(digits)
    finally:
        del ARCHITECTURES["toy"]
