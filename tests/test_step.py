"""A step: parameters in one vector, gradients written out, quick optimizers."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback, Freezer
from torch import nn

from skae import AutoencoderTransformer, _gradients
from skae._data import Rows
from skae._flat import FlatParameters
from skae._gradients import affine, known_gradient, product
from skae._steps import Criterion, _influence
from skae._training import WeightAverage
from skae.architectures import ACTIVATIONS, Dense
from skae.architectures._base import Autoencoder, Plan
from skae.losses import LOSSES, SquaredError
from skae.losses._head import Head
from skae.optimizers import OPTIMIZERS, Optimizer

ON_X = sorted(name for name, loss in LOSSES.items() if not loss.discrete)


def fit(X, n_components=2, **params):
    defaults = {"random_state": 0, "max_iter": 2, "hidden_layer_sizes": (6,)}
    return AutoencoderTransformer(n_components, **(defaults | params)).fit(X)


def dense(hidden=(7, 5), activation="silu", loss=None, linear=True, n_features=6, k=2):
    """Return a dense autoencoder in float64 with nothing at zero, and its criterion."""
    loss = loss or SquaredError()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        f, g = Dense().build(Plan((n_features,), k, k, hidden, activation, False))
        E, D = torch.randn(n_features, k), torch.randn(k, n_features)
    E, D = (E.double(), D.double()) if linear else (None, None)
    head = Head(loss, torch.full((n_features,), 0.5, dtype=torch.float64), 0.3, False)
    return Autoencoder(f, g, E, D, head, k, False, None), Criterion(loss, False)


def data(loss=None, n=20, n_features=6):
    """Return rows inside the net whose X is in [0, 1], and what the encoder is to see of them."""
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(n, n_features))
    if loss is not None:
        loss.bind(X)
    x = torch.from_numpy((X - 0.5) / 0.3)
    return x, x + 0.1 * torch.from_numpy(rng.normal(size=x.shape))


def by_autograd(module, criterion, seen, rows, influence):
    losses = criterion(module(seen), module.head.target(rows.x))
    if rows.weight is not None:
        losses = losses * rows.weight
    if influence is not None:
        losses = losses * influence(losses)
    return losses.mean()


def with_gradients(module):
    for p in module.parameters():
        p.grad = torch.full_like(p, 7.0)
    return module


# -- the written-out gradient ----------------------------------------------------------------------


def check(module, criterion, seen, rows, trim=0.0, rtol=1e-9):
    influence = partial(_influence, weight=rows.weight, trim=trim) if trim else None
    expected = by_autograd(module, criterion, seen, rows, influence)
    gradients = torch.autograd.grad(expected, list(module.parameters()))
    loss = known_gradient(with_gradients(module), criterion)(seen, rows, influence)
    assert_allclose(loss, expected.detach(), rtol=rtol)
    for p, gradient in zip(module.parameters(), gradients, strict=True):
        assert_allclose(p.grad, gradient, rtol=rtol, atol=rtol * float(gradient.norm()))


@pytest.mark.parametrize("many", [0, 2**13])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_of_every_activation_is_autograd_s(activation, many, monkeypatch):
    monkeypatch.setattr(_gradients, "_MANY", many)
    x, seen = data()
    check(*dense(activation=activation), seen, Rows(x, None))


@pytest.mark.parametrize("hidden", [(), (5,), (9, 7, 5)])
@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("trim", [0.0, 0.4])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_with_weights_and_trimming(weighted, trim, linear, hidden):
    x, seen = data()
    weight = torch.linspace(0.5, 1.5, len(x), dtype=torch.float64) if weighted else None
    check(*dense(hidden, linear=linear), seen, Rows(x, weight), trim)


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("name", ON_X)
def test_gradient_of_every_loss_is_autograd_s(name, linear):
    loss = LOSSES[name]()
    x, seen = data(loss)
    weight = torch.linspace(0.5, 1.5, len(x), dtype=torch.float64)
    check(*dense(loss=loss, linear=linear), seen, Rows(x, weight), 0.3)


@pytest.mark.parametrize("activation", ["silu", "tanh", "softplus"])
def test_gradient_is_that_of_finite_differences(activation):
    module, criterion = dense(activation=activation)
    x, seen = data()
    rows = Rows(x, torch.linspace(0.5, 1.5, len(x), dtype=torch.float64))
    known_gradient(with_gradients(module), criterion)(seen, rows)
    for p in module.parameters():
        values, gradient = p.detach().view(-1), p.grad.view(-1)
        for i in range(0, len(values), 5):
            before, losses = values[i].item(), []
            for step in (1e-5, -1e-5):
                values[i] = before + step
                with torch.no_grad():
                    losses.append(by_autograd(module, criterion, seen, rows, None).item())
            values[i] = before
            assert_allclose(gradient[i], (losses[0] - losses[1]) / 2e-5, atol=1e-8)


def test_gradient_in_float32_with_large_products():
    module, criterion = dense((160, 130), n_features=70)
    x, seen = data(n=300, n_features=70)
    check(module.float(), criterion, seen.float(), Rows(x.float(), None), rtol=2e-5)


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
    monkeypatch.setattr("skae._steps.known_gradient", lambda *args: None)
    assert_allclose(model.fit(X, sample_weight=weight).reconstruct(X), ours, atol=1e-3)


# -- one vector ------------------------------------------------------------------------------------


def assert_laid_out(flat, module):
    """Check that the module's parameters and their gradients are views into the vector."""
    (vector,) = flat.vectors
    values, gradient = vector.detach().clone(), vector.grad.clone()
    with torch.no_grad():
        vector.fill_(3.0)
        vector.grad.fill_(4.0)
        for owned, p in zip(flat.parameters, module.parameters(), strict=True):
            assert owned is p
            assert (p == 3.0).all()
            assert (p.grad == 4.0).all()
        vector.copy_(values)
        vector.grad.copy_(gradient)


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))


def test_parameters_keep_their_values_and_stay_views():
    module = net()
    state = {key: value.clone() for key, value in module.state_dict().items()}
    flat = FlatParameters(list(module.parameters()))
    for key, value in module.state_dict().items():
        assert_array_equal(value, state[key])
    assert_laid_out(flat, module)
    module.load_state_dict({key: 2 * value for key, value in state.items()})
    assert_laid_out(flat, module)
    assert_array_equal(module[0].weight.detach(), 2 * state["0.weight"])
    module(torch.ones(1, 3)).sum().backward()
    assert_laid_out(flat, module)
    assert flat.vectors[0].grad.abs().sum() > 0


@pytest.mark.parametrize("together", [True, False])
def test_copies_have_a_vector_of_their_own(together):
    module = net()
    flat = FlatParameters(list(module.parameters()), together)
    for order in ((0, 1), (1, 0)):
        twins = copy.deepcopy([(module, flat)[i] for i in order])
        twin, its = (twins[order.index(i)] for i in range(2))
        assert all(p is q for p, q in zip(twin.parameters(), its.parameters, strict=True))
        with torch.no_grad():
            for vector in its.vectors:
                vector.zero_()
        assert not any(p.any() for p in twin.parameters())
        assert all(p.any() for p in module.parameters())
        if together:
            assert_laid_out(its, twin)


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copied_net_trains_alone(twin_of, iris):
    original = fit(iris).net_
    before = copy.deepcopy(original.module_.state_dict())
    twin = twin_of(original)
    assert_laid_out(twin.flat_, twin.module_)
    twin.flat_.vectors[0].grad.fill_(1.0)
    twin.flat_.step(twin.optimizer_)
    for key, value in original.module_.state_dict().items():
        assert_array_equal(value, before[key])
    assert not torch.equal(twin.module_.E, original.module_.E)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("largest", [1e-3, 1e3])
def test_clip_is_torch_s(largest, together):
    module, other = net(), net()
    flat = FlatParameters(list(module.parameters()), together)
    for each in (module, other):
        each(torch.ones(4, 3)).square().sum().backward()
    flat.clip(largest)
    nn.utils.clip_grad_norm_(other.parameters(), largest)
    for p, q in zip(module.parameters(), other.parameters(), strict=True):
        assert_allclose(p.grad, q.grad, rtol=1e-5)


def test_gradients_that_a_callback_replaces_are_taken(iris):
    class Replacing(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            for _, p in named_parameters:
                p.grad = None if p.ndim == 1 else torch.ones_like(p)

    model = fit(
        iris,
        callbacks=[Replacing()],
        optimizer="sgd",
        schedule=None,
        learning_rate=1e-3,
        gradient_clip=None,
        max_iter=1,
        early_stopping=False,
        batch_size=None,
    )
    start = fit(iris, max_iter=0, early_stopping=False).module_
    for p, q in zip(model.module_.parameters(), start.parameters(), strict=True):
        assert_allclose(p.detach(), q.detach() - (0 if p.ndim == 1 else 1e-3), atol=1e-6)


def test_frozen_parameters_stay(iris):
    model = fit(
        iris, callbacks=[Freezer("f.*", at=lambda net: True)], alpha=0.1, early_stopping=False
    )
    start = fit(iris, max_iter=0, early_stopping=False).module_
    assert_array_equal(model.module_.f[0].weight.detach(), start.f[0].weight.float().detach())
    assert not torch.equal(model.module_.g[0].weight, start.g[0].weight)


def test_the_weight_average_is_the_running_mean(iris):
    net = fit(iris).net_
    average = WeightAverage(net.module_, net.flat_)
    expected = [p.detach().clone() for p in net.module_.parameters()]
    for _ in range(3):
        with torch.no_grad():
            net.flat_.vectors[0].add_(0.1)
        average.update()
        expected = [
            0.98 * e + 0.02 * p.detach()
            for e, p in zip(expected, net.module_.parameters(), strict=True)
        ]
    for p, e in zip(average.module.parameters(), expected, strict=True):
        assert_allclose(p.detach(), e, rtol=1e-5)


# -- optimizers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_of_the_vector_is_a_step_of_each(name):
    assert OPTIMIZERS[name].elementwise
    modules = net(), net()
    flats = [
        FlatParameters(list(m.parameters()), together)
        for m, together in zip(modules, (True, False), strict=True)
    ]
    steppers = [OPTIMIZERS[name]().build(flat.vectors, 0.01, 0.1) for flat in flats]
    for i in range(4):
        for module, flat, stepper in zip(modules, flats, steppers, strict=True):
            flat.zero_grad()
            module(torch.full((2, 3), float(i))).square().sum().backward()
            flat.step(stepper)
    for p, q in zip(*(m.parameters() for m in modules), strict=True):
        assert_allclose(p.detach(), q.detach(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_the_quick_step_is_torch_s(name, kind):
    vectors = [nn.Parameter(torch.linspace(-1, 1, 50)) for _ in range(2)]
    ours = OPTIMIZERS[name]().build(vectors[:1], 0.01, 0.1)
    torch_s = kind(vectors[1:], 0.01, weight_decay=0.1, fused=True)
    for i in range(5):
        for vector, optimizer in zip(vectors, (ours, torch_s), strict=True):
            vector.grad = torch.sin(vector.detach() + i)
            optimizer.param_groups[0]["lr"] = 0.01 * (i + 1)
            optimizer.step()
    assert_array_equal(*(v.detach() for v in vectors))
    mine, its = (o.state_dict()["state"][0] for o in (ours, torch_s))
    assert mine.keys() == its.keys()
    for key, value in mine.items():
        assert_array_equal(value, its[key])


def test_an_optimizer_of_one_s_own_sees_the_parameters(iris):
    class Signs(Optimizer, name="signs of a test"):
        default_learning_rate = 1e-3

        def build(self, parameters, learning_rate, alpha):
            self.shapes_ = [tuple(p.shape) for p in parameters]
            return torch.optim.SGD(parameters, lr=learning_rate)

    try:
        model = fit(iris, optimizer=Signs())
    finally:
        del OPTIMIZERS["signs of a test"]
    assert model.optimizer_.shapes_ == [tuple(p.shape) for p in model.net_.module_.parameters()]
