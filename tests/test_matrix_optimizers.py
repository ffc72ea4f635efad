"""Optimizers of matrices: each step beside one in float64 by NumPy, their state, and fits."""

import copy
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from skae import AutoencoderTransformer
from skae.optimizers import OPTIMIZERS, SOAP, Muon

RNG = np.random.default_rng(0)
SHAPES = {"wide": (4, 7), "tall": (7, 4), "square": (5, 5), "kernel": (3, 2, 2), "vector": (5,)}
STRATEGIES = {
    "muon": Muon(),
    "muon, fewer": Muon(momentum=0.9, n_iter=2),
    "soap": SOAP(),
    "soap, both sides": SOAP(one_sided=False, update_every=3),
    "soap, no bases": SOAP(max_size=2),
}


def gradients(shape, n_steps, seed=0):
    rng = np.random.default_rng(seed)
    # so that the largest directions are told apart
    scale = np.linspace(1, 3, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    return [scale * rng.normal(size=shape) for _ in range(n_steps)]


def stepped(strategy, weight, all_gradients, rate=0.01, alpha=0.1):
    """Return the weights after each step, in float64."""
    p = nn.Parameter(torch.tensor(weight))
    optimizer = strategy.build([p], rate, alpha)
    found = []
    for gradient in all_gradients:
        p.grad = torch.tensor(gradient)
        optimizer.step()
        found.append(p.detach().numpy().copy())
    return found


def adamw(weight, all_gradients, betas, rate=0.01, alpha=0.1):
    mean = square = 0.0
    found = []
    for t, g in enumerate(all_gradients, 1):
        mean, square = (
            betas[0] * mean + (1 - betas[0]) * g,
            betas[1] * square + (1 - betas[1]) * g**2,
        )
        m, v = mean / (1 - betas[0] ** t), square / (1 - betas[1] ** t)
        weight = weight - rate * alpha * weight - rate * m / (np.sqrt(v) + 1e-8)
        found.append(weight)
    return found


@pytest.mark.parametrize("name", STRATEGIES)
def test_vectors_are_left_to_adamw(name):
    weight, steps = RNG.normal(size=5), gradients((5,), 6)
    betas = (0.9, 0.999) if name.startswith("muon") else (0.95, 0.95)
    assert_allclose(stepped(STRATEGIES[name], weight, steps), adamw(weight, steps, betas))


# -- Muon ------------------------------------------------------------------------------------------


def towards_orthogonal(matrix, n_iter):
    """Return what the polynomial makes of the singular values."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    values = values / np.sqrt((values**2).sum())
    for _ in range(n_iter):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return left * values @ right


@pytest.mark.parametrize("n_iter", [1, 5])
@pytest.mark.parametrize("shape", ["wide", "tall", "kernel"])
def test_muon_moves_by_nearly_orthogonal_matrices(shape, n_iter):
    weight, steps = RNG.normal(size=SHAPES[shape]), gradients(SHAPES[shape], 4)
    found = stepped(Muon(n_iter=n_iter), weight, steps)
    mean = 0.0
    for new, g in zip(found, steps, strict=True):
        mean = 0.95 * mean + 0.05 * g
        flat = (0.05 * g + 0.95 * mean).reshape(len(g), -1)
        direction = towards_orthogonal(flat, n_iter) * 0.2 * np.sqrt(max(flat.shape))
        weight = weight - 0.01 * 0.1 * weight - 0.01 * direction.reshape(g.shape)
        assert_allclose(new, weight)


def test_singular_values_of_a_step_of_muon_are_about_one():
    steps = gradients((20, 30), 1)
    (found,) = stepped(Muon(), np.zeros((20, 30)), steps, rate=1.0, alpha=0.0)
    values = np.linalg.svd(found, compute_uv=False) / (0.2 * np.sqrt(30))
    assert (values > 0.6).all()
    assert (values < 1.25).all()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
def test_muon_takes_torch_s_steps():
    weight, steps = RNG.normal(size=(30, 50)), gradients((30, 50), 5)
    p = nn.Parameter(torch.tensor(weight))
    theirs = torch.optim.Muon([p], 0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for gradient in steps:
        p.grad = torch.tensor(gradient)
        theirs.step()
    way = stepped(Muon(), weight, steps)[-1] - weight
    other = p.detach().numpy() - weight
    # theirs are in bfloat16, which has 8 bits
    assert np.linalg.norm(way - other) < 0.02 * np.linalg.norm(way)


# -- SOAP ------------------------------------------------------------------------------------------


def soap(weight, steps, axes, every, beta=0.95, rate=0.01, alpha=0.1):
    """SOAP as its paper has it: the mean gradient outside of the bases, Adam inside."""
    products, bases = {}, {0: np.eye(weight.shape[0]), 1: np.eye(weight.shape[1])}
    mean, square, found = 0.0, np.zeros_like(weight), []
    for t, g in enumerate(steps):
        if t % every == 0:
            for axis in axes:
                product = g @ g.T if axis == 0 else g.T @ g
                if t == 0:
                    products[axis] = product
                    bases[axis] = np.linalg.eigh(product)[1][:, ::-1]
                    continue
                products[axis] = beta * products[axis] + (1 - beta) * product
                turned = products[axis] @ bases[axis]
                order = np.argsort(-(bases[axis] * turned).sum(0))
                square = np.take(square, order, axis)
                bases[axis] = np.linalg.qr(turned[:, order])[0]
        if t == 0:
            direction = 0.0
        else:
            mean = beta * mean + (1 - beta) * g
            inside, of_mean = (bases[0].T @ m @ bases[1] for m in (g, mean))
            square = beta * square + (1 - beta) * inside**2
            correction = 1 - beta**t
            inside = of_mean / correction / (np.sqrt(square / correction) + 1e-8)
            direction = bases[0] @ inside @ bases[1].T
        weight = weight - rate * alpha * weight - rate * direction
        found.append(weight)
    return found


@pytest.mark.parametrize(
    ("shape", "axes", "params"),
    [
        ("wide", (0,), {"one_sided": True}),
        ("tall", (1,), {"one_sided": True}),
        ("square", (0, 1), {"one_sided": False}),
        ("tall", (1,), {"one_sided": False, "max_size": 5}),
        ("wide", (), {"one_sided": False, "max_size": 3}),
    ],
)
@pytest.mark.parametrize("every", [1, 3])
def test_soap_is_adam_in_bases_that_follow_the_gradients(shape, axes, params, every):
    weight, steps = RNG.normal(size=SHAPES[shape]), gradients(SHAPES[shape], 9)
    found = stepped(SOAP(update_every=every, **params), weight, steps)
    assert_allclose(found, soap(weight, steps, axes, every), rtol=1e-9, atol=1e-12)


def test_kernels_are_matrices_to_soap():
    weight, steps = RNG.normal(size=SHAPES["kernel"]), gradients(SHAPES["kernel"], 5)
    flat = stepped(SOAP(), weight.reshape(3, -1), [g.reshape(3, -1) for g in steps])
    assert_array_equal(stepped(SOAP(), weight, steps), [w.reshape(3, 2, 2) for w in flat])


def test_soap_turns_with_its_weights():
    # Adam's step depends on the axes, SOAP's does not.
    turn = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
    weight, steps = RNG.normal(size=(4, 7)), gradients((4, 7), 8)
    plain = stepped(SOAP(), weight, steps)[-1]
    turned = stepped(SOAP(), turn @ weight, [turn @ g for g in steps])[-1]
    assert_allclose(turned, turn @ plain, atol=1e-8)
    adam = OPTIMIZERS["adamw"]()
    plain = stepped(adam, weight, steps)[-1]
    turned = stepped(adam, turn @ weight, [turn @ g for g in steps])[-1]
    assert np.abs(turned - turn @ plain).max() > 1e-3


# -- both ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_state_goes_on_to_the_same_bits(name, tmp_path):
    shapes = list(SHAPES.values())

    def made(seed):
        generator = torch.Generator().manual_seed(seed)
        parameters = [nn.Parameter(torch.randn(s, generator=generator)) for s in shapes]
        return parameters, STRATEGIES[name].build(parameters, 0.01, 0.1)

    def step(parameters, optimizer, seed):
        generator = torch.Generator().manual_seed(seed)
        for p in parameters:
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()

    parameters, optimizer = made(0)
    for i in range(5):
        step(parameters, optimizer, i)
    torch.save(optimizer.state_dict(), tmp_path / "state")
    others, other = made(1)
    with torch.no_grad():
        for p, q in zip(others, parameters, strict=True):
            p.copy_(q)
    other.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    for i in range(5, 17):
        step(parameters, optimizer, i)
        step(others, other, i)
    for p, q in zip(others, parameters, strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("name", ["muon", "soap"])
def test_gradients_that_are_no_numbers_or_missing_stop_nothing(name):
    p, idle = (nn.Parameter(torch.ones(3, 4)) for _ in range(2))
    optimizer = OPTIMIZERS[name]().build([p, idle], 0.01, 0.1)
    for value in (torch.inf, torch.nan, 0.0):
        p.grad = torch.full((3, 4), value)
        optimizer.step()
    assert torch.equal(idle, torch.ones(3, 4))


def test_a_closure_is_called():
    p = nn.Parameter(torch.ones(3, 4))
    optimizer = Muon().build([p], 0.01, 0.0)

    def closure():
        optimizer.zero_grad()
        loss = p.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 12
    assert optimizer.step(closure).item() < 12


@pytest.mark.parametrize("name", ["muon", "soap"])
def test_fits_go_on_after_copies(name, digits):
    model = AutoencoderTransformer(4, optimizer=name, max_iter=3, warm_start=True, random_state=0)
    model.fit(digits)
    twins = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    expected = model.fit(digits).transform(digits)
    for twin in twins:
        assert_array_equal(twin.fit(digits).transform(digits), expected)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (Muon(momentum=1.0), "momentum"),
        (Muon(n_iter=0), "n_iter"),
        (SOAP(beta_2=1), "beta_2"),
        (SOAP(update_every=0), "update_every"),
        (SOAP(max_size=0.5), "max_size"),
        (SOAP(one_sided="yes"), "one_sided"),
    ],
)
def test_what_makes_no_sense_is_refused(optimizer, message, iris):
    with pytest.raises(ValueError, match=message):
        AutoencoderTransformer(2, optimizer=optimizer).fit(iris)
