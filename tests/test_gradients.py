"""The gradient of a dense net, written out, beside autograd and finite differences."""

import copy
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from skae import AutoencoderTransformer
from skae._data.rows import Standardization
from skae._model.autoencoder import AutoencoderModule
from skae._training import fast
from skae._training.fast import affine, known_gradient, product
from skae._training.net import ReconstructionLoss, _influence
from skae._utils.torch import _PRIVATE_OPERATORS
from skae.architectures import ACTIVATIONS, Dense, Plan
from skae.losses import LOSSES, SquaredError

ON_X = sorted(name for name, loss in LOSSES.items() if not loss.discrete)


def dense(hidden=(7, 5), activation="silu", loss=None, linear=True, n_features=6, k=2):
    """Return a dense autoencoder in float64 with nothing at zero, and its criterion."""
    loss = loss or SquaredError()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        f, g = Dense().build(Plan((n_features,), k, k, hidden, activation, False))
        E, D = torch.randn(n_features, k), torch.randn(k, n_features)
    E, D = (E.double(), D.double()) if linear else (None, None)
    standardization = Standardization(np.full(n_features, 0.5), 0.3)
    f, g = f.double(), g.double()
    module = AutoencoderModule(f, g, E, D, loss, standardization, k, False, False, None)
    return module, ReconstructionLoss(loss, 0.0)


def data(loss=None, n=20, n_features=6):
    """Return rows inside the net whose X is in [0, 1], and what the encoder is to see of them."""
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(n, n_features))
    if loss is not None:
        loss.fit(X)
    x = torch.from_numpy((X - 0.5) / 0.3)
    return x, x + 0.1 * torch.from_numpy(rng.normal(size=x.shape))


def by_autograd(module, criterion, seen, x, weight, influence):
    losses = criterion(module(seen), module.target(x))
    if weight is not None:
        losses = losses * weight
    if influence is not None:
        losses = losses * influence(losses)
    return losses.mean()


def with_gradients(module):
    for p in module.parameters():
        p.grad = torch.full_like(p, 7.0)
    return module


def check(module, criterion, seen, x, weight=None, trim=0.0, rtol=1e-9):
    influence = partial(_influence, weight=weight, trim=trim) if trim else None
    eta = module(seen).detach()
    expected = by_autograd(module, criterion, seen, x, weight, influence)
    gradients = torch.autograd.grad(expected, list(module.parameters()))
    gradient_of = known_gradient(with_gradients(module), criterion)
    loss, output = gradient_of(seen, x, weight, influence, with_output=True)
    assert_allclose(loss, expected.detach(), rtol=rtol)
    assert_allclose(output, eta, rtol=rtol, atol=rtol * float(eta.norm()))
    for p, gradient in zip(module.parameters(), gradients, strict=True):
        assert_allclose(p.grad, gradient, rtol=rtol, atol=rtol * float(gradient.norm()))


@pytest.mark.parametrize("many", [0, 2**13])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_of_every_activation_is_autograd_s(activation, many, monkeypatch):
    monkeypatch.setattr(fast, "_MANY", many)
    x, seen = data()
    check(*dense(activation=activation), seen, x)


@pytest.mark.parametrize("hidden", [(), (5,), (9, 7, 5)])
@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("trim", [0.0, 0.4])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_with_weights_and_trimming(weighted, trim, linear, hidden):
    x, seen = data()
    weight = torch.linspace(0.5, 1.5, len(x), dtype=torch.float64) if weighted else None
    check(*dense(hidden, linear=linear), seen, x, weight, trim)


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("name", ON_X)
def test_gradient_of_every_loss_is_autograd_s(name, linear):
    loss = LOSSES[name]()
    x, seen = data(loss)
    weight = torch.linspace(0.5, 1.5, len(x), dtype=torch.float64)
    check(*dense(loss=loss, linear=linear), seen, x, weight, 0.3)


@pytest.mark.parametrize("activation", ["silu", "tanh", "softplus"])
def test_gradient_is_that_of_finite_differences(activation):
    module, criterion = dense(activation=activation)
    x, seen = data()
    weight = torch.linspace(0.5, 1.5, len(x), dtype=torch.float64)
    known_gradient(with_gradients(module), criterion)(seen, x, weight)
    for p in module.parameters():
        values, gradient = p.detach().view(-1), p.grad.view(-1)
        for i in range(0, len(values), 5):
            before, losses = values[i].item(), []
            for step in (1e-5, -1e-5):
                values[i] = before + step
                with torch.no_grad():
                    losses.append(by_autograd(module, criterion, seen, x, weight, None).item())
            values[i] = before
            assert_allclose(gradient[i], (losses[0] - losses[1]) / 2e-5, atol=1e-8)


def test_gradient_in_float32_with_large_products():
    module, criterion = dense((160, 130), n_features=70)
    x, seen = data(n=300, n_features=70)
    check(module.float(), criterion, seen.float(), x.float(), rtol=2e-5)


@pytest.mark.parametrize(
    ("n_rows", "n_inner", "n_columns"),
    [(3, 4, 5), (200, 9, 4), (9, 200, 4), (300, 200, 30), (130,) * 3],
)
def test_products(n_rows, n_inner, n_columns):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(n_rows, n_inner)), rng.normal(size=(n_inner, n_columns))
    bias = rng.normal(size=n_columns)
    for to in (torch.float32, torch.float64):
        one, other, shift = (torch.from_numpy(v).to(to) for v in (a, b, bias))
        tolerance = {"rtol": 0, "atol": 1e-4 if to == torch.float32 else 1e-10}
        out = torch.empty(n_rows, n_columns, dtype=to)
        assert_allclose(product(one, other), a @ b, **tolerance)
        assert product(one, other, out=out) is out
        assert_allclose(out, a @ b, **tolerance)
        assert_allclose(product(one.t().contiguous().t(), other), a @ b, **tolerance)
        assert_allclose(affine(one, other.t().contiguous(), shift), a @ b + bias, **tolerance)


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def test_other_nets_are_left_to_autograd():
    module, criterion = dense()
    assert known_gradient(with_gradients(module), criterion) is not None
    for place, layer in [(0, Doubled(6, 7)), (1, nn.SiLU(inplace=True)), (1, nn.Softsign())]:
        other = copy.deepcopy(module)
        other.f[place] = layer
        assert known_gradient(with_gradients(other), criterion) is None
    for part in "fg":
        other = copy.deepcopy(module)
        getattr(other, part).append(nn.Tanh())
        assert known_gradient(with_gradients(other), criterion) is None
    hooked, frozen, shared = (copy.deepcopy(module) for _ in range(3))
    hooked.f[0].register_forward_hook(lambda *args: None)
    frozen.f[0].weight.requires_grad_(False)
    shared.g[2].weight = shared.f[2].weight = nn.Parameter(torch.randn(5, 7).double())
    shared.g[2] = shared.f[2]
    for other in (hooked, frozen, shared):
        assert known_gradient(with_gradients(other), criterion) is None


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"corruption": "gaussian", "loss": "huber"},
        {"optimizer": "momentum", "schedule": None, "alpha": 1e-3},
        {"init": "random", "gradient_clip": None},
    ],
)
def test_a_fit_is_the_one_by_autograd(params, iris, monkeypatch):
    weight = np.linspace(1, 2, len(iris))
    model = AutoencoderTransformer(2, max_iter=6, random_state=0, **params)
    X = (iris - iris.mean(0)) / iris.std(0)
    ours = model.fit(X, sample_weight=weight).reconstruct(X)
    monkeypatch.setattr("skae._training.net.known_gradient", lambda *args: None)
    assert_allclose(model.fit(X, sample_weight=weight).reconstruct(X), ours, atol=1e-3)


def e_of(model):
    return model.module_.E.detach()


def test_without_the_operator_of_a_slope_the_fit_is_the_same(monkeypatch, digits):
    model = AutoencoderTransformer(4, max_iter=3, hidden_layer_sizes=(300,), random_state=0)
    expected = e_of(model.fit(digits))
    monkeypatch.setitem(_PRIVATE_OPERATORS, "silu_backward", "no_such_operator")
    assert_allclose(e_of(model.fit(digits)), expected, atol=1e-5)
    assert model.net_.gradient_ is None


@pytest.mark.extended
def test_without_the_operators_of_steps_and_products_the_fit_is_the_same(digits, tmp_path):
    """Compare with a process in which torch lacks them, as they are looked up at the import."""
    code = """
import sys
import numpy as np
from skae._utils import torch as own
for missing in ("linear_pointwise", "adam"):
    own._PRIVATE_OPERATORS[missing] = "no_such_operator"
import skae
X = np.load(sys.argv[1])
model = skae.AutoencoderTransformer(4, max_iter=3, hidden_layer_sizes=(300,), random_state=0).fit(X)
assert model.net_.gradient_ is not None
np.save(sys.argv[2], model.module_.E.detach().numpy())
"""
    np.save(tmp_path / "X.npy", digits)
    command = [sys.executable, "-c", code, f"{tmp_path}/X.npy", f"{tmp_path}/E.npy"]
    subprocess.run(command, check=True)
    model = AutoencoderTransformer(4, max_iter=3, hidden_layer_sizes=(300,), random_state=0)
    assert_allclose(np.load(tmp_path / "E.npy"), e_of(model.fit(digits)), atol=1e-5)
