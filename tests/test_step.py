"""A step: parameters in one vector, quick optimizers and schedules."""

import copy
import pickle

import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback, Freezer
from torch import nn
from torch.optim import lr_scheduler

from skae import AutoencoderTransformer
from skae._training.callbacks import WeightAverage
from skae._training.fast import FlatParameters
from skae.optimizers import OPTIMIZERS, Optimizer
from skae.optimizers._elementwise import _OneVectorAdam, _OneVectorAdamW
from skae.schedules import SCHEDULES, OneCycle


def fit(X, n_components=2, **params):
    defaults = {"random_state": 0, "max_iter": 2, "hidden_layer_sizes": (6,)}
    return AutoencoderTransformer(n_components, **(defaults | params)).fit(X)


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
    average = WeightAverage()
    average.on_train_begin(net)
    average.on_batch_begin(net, training=True)
    expected = [p.detach().clone() for p in net.module_.parameters()]
    for _ in range(3):
        with torch.no_grad():
            net.flat_.vectors[0].add_(0.1)
        average.on_batch_end(net, training=True)
        expected = [
            0.98 * e + 0.02 * p.detach()
            for e, p in zip(expected, net.module_.parameters(), strict=True)
        ]
    last = [p.detach().clone() for p in net.module_.parameters()]
    average.on_epoch_end(net)
    for p, e in zip(net.module_.parameters(), expected, strict=True):
        assert_allclose(p.detach(), e, rtol=1e-5)
    average.on_epoch_begin(net)
    for p, e in zip(net.module_.parameters(), last, strict=True):
        assert_array_equal(p.detach(), e)


# -- optimizers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n, kind in OPTIMIZERS.items() if kind.elementwise])
def test_a_step_of_the_vector_is_a_step_of_each(name):
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
def test_the_step_over_one_vector_is_torch_s(name, kind):
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


@pytest.mark.parametrize(("name", "kind"), [("adam", _OneVectorAdam), ("adamw", _OneVectorAdamW)])
def test_without_the_private_operator_the_training_is_the_same(name, kind, monkeypatch, wine):
    calls = []

    def counted(*args, operator=kind._operator, **kwargs):
        calls.append(len(args))
        return operator(*args, **kwargs)

    def trained():
        return fit(wine, optimizer=name, alpha=0.01, max_iter=5, early_stopping=False)

    monkeypatch.setattr(kind, "_operator", staticmethod(counted))
    expected = trained()
    n_steps = len(calls)
    assert n_steps > 0
    monkeypatch.setattr(kind, "_operator", None)
    found = trained()
    assert len(calls) == n_steps
    for p, q in zip(found.module_.parameters(), expected.module_.parameters(), strict=True):
        assert_allclose(p.detach(), q.detach(), rtol=1e-5, atol=1e-7)


def test_more_than_one_vector_is_torch_s_to_step():
    parameters = [nn.Parameter(torch.ones(3)) for _ in range(3)]
    optimizer = OPTIMIZERS["adam"]().build(parameters[:1], 0.01, 0.0)
    optimizer.add_param_group({"params": parameters[1:]})
    for _ in range(2):
        for p in parameters[:2]:
            p.grad = torch.ones(3)
        optimizer.step()
    assert_array_equal(parameters[0].detach(), parameters[1].detach())
    assert_array_equal(parameters[2].detach(), torch.ones(3))


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


# -- schedules -------------------------------------------------------------------------------------


def rates(optimizer, scheduler, n_steps):
    found = []
    for _ in range(n_steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(
    ("n_epochs", "n_batches", "warm_up"), [(4, 5, 0.3), (1, 3, 0.5), (2, 1, 0.1)]
)
def test_rates_of_every_step_are_torch_s(n_epochs, n_batches, warm_up):
    n_steps = n_epochs * n_batches
    for ours, torch_s in [
        (
            OneCycle(warm_up),
            lambda o: lr_scheduler.OneCycleLR(o, 0.02, n_steps + 1, pct_start=warm_up),
        ),
        (SCHEDULES["cosine"](), lambda o: lr_scheduler.CosineAnnealingLR(o, n_steps)),
    ]:
        one, other = (
            torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.02, momentum=0.9) for _ in range(2)
        )
        found = rates(one, ours.build(one, n_epochs, n_batches), n_steps)
        expected = rates(other, torch_s(other), n_steps)
        assert_allclose(found, expected, rtol=1e-12)


def test_a_single_step_has_a_rate():
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.02)
    found = rates(optimizer, OneCycle(warm_up=0.5).build(optimizer, 1, 1), 3)
    assert found[0] == 0.02
    assert found[1] == found[2] < 1e-5
