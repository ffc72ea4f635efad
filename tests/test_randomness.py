"""Random numbers from a generator of skae's own, and nothing left behind in the process."""

import contextlib
import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from numpy.testing import assert_array_equal
from processes import run
from torch import nn
from torch.nn import functional

from skae import AutoencoderTransformer
from skae._utils import torch as torch_utils
from skae._utils.torch import (
    _PRIVATE_OPERATORS,
    drawing_from,
    private_operator,
    tangents,
    without_compiler,
)
from skae.architectures import Dense
from skae.architectures._layers import Dropout

LAYERS = {
    "linear": lambda: nn.Linear(5, 3),
    "double": lambda: nn.Linear(5, 3, dtype=torch.float64),
    "conv1d": lambda: nn.Conv1d(2, 3, 3),
    "conv2d": lambda: nn.Conv2d(2, 3, 3),
    "transposed": lambda: nn.ConvTranspose2d(2, 3, 3),
    "gru": lambda: nn.GRU(4, 3, num_layers=2, bidirectional=True),
    "lstm": lambda: nn.LSTM(4, 3),
    "embedding": lambda: nn.Embedding(4, 3),
    "attention": lambda: nn.MultiheadAttention(4, 2),
    "layer norm": lambda: nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 2)),
    "batch norm": lambda: nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)),
    "orthogonal": lambda: nn.utils.parametrizations.orthogonal(nn.Linear(4, 3)),
}

# Large ones too: torch draws many values in another way than few.
DRAWS = {
    "rand": lambda: torch.rand(40),
    "rand out": lambda: torch.rand(3, out=torch.empty(3)),
    "randn": lambda: torch.randn(5, 3, dtype=torch.float64),
    "many randn": lambda: torch.randn(1000),
    "randn_like": lambda: torch.randn_like(torch.zeros(4)),
    "rand_like": lambda: torch.rand_like(torch.zeros(4)),
    "randint": lambda: torch.randint(9, (20,)),
    "randint from": lambda: torch.randint(-9, 9, (20,)),
    "randint_like": lambda: torch.randint_like(torch.zeros(4), 9),
    "randperm": lambda: torch.randperm(50),
    "normal": lambda: torch.normal(torch.zeros(4), torch.ones(4)),
    "normal_": lambda: torch.empty(4).normal_(1, 2),
    "bernoulli": lambda: torch.bernoulli(torch.full((50,), 0.5)),
    "many bernoulli": lambda: torch.empty(100_000).bernoulli_(0.3),
    "multinomial": lambda: torch.multinomial(torch.ones(8), 4),
    "poisson": lambda: torch.poisson(torch.full((9,), 3.0)),
    "exponential": lambda: torch.empty(4).exponential_(),
    "gamma": lambda: torch.distributions.Gamma(2.0, 1.0).sample((5,)),
    "dropout": lambda: functional.dropout(torch.ones(50)),
    "dropout2d": lambda: functional.dropout2d(torch.ones(2, 9, 3, 3)),
    "alpha dropout": lambda: functional.alpha_dropout(torch.ones(50), training=True),
    "rrelu": lambda: functional.rrelu(-torch.ones(50), training=True),
    "gru": lambda: nn.GRU(4, 3, num_layers=2, dropout=0.5)(torch.ones(5, 2, 4))[0],
    "attention": lambda: functional.scaled_dot_product_attention(
        *torch.ones(3, 1, 2, 4, 4), dropout_p=0.5
    ),
}


def seeded(seed, function):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return function(), torch.get_rng_state()


@pytest.fixture(params=["redirected", "exchanged"])
def either_way(request, monkeypatch):
    """Draw with torch's private names, and as where they are missing."""
    if request.param == "exchanged":
        monkeypatch.setattr(torch_utils, "_push_mode", None)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_start_as_with_the_global_generator(name, either_way):
    expected, _ = seeded(7, lambda: LAYERS[name]())
    before = torch.get_rng_state()
    with drawing_from(7):
        layer = LAYERS[name]()
    assert torch.equal(torch.get_rng_state(), before)
    for key, value in expected.state_dict().items():
        assert torch.equal(layer.state_dict()[key], value)


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("name", DRAWS)
def test_draws_are_those_of_the_global_generator(name, inference, either_way):
    with torch.inference_mode(inference):
        expected, state = seeded(7, DRAWS[name])
        before = torch.get_rng_state()
        generator = torch.Generator().manual_seed(7)
        with drawing_from(generator):
            found = DRAWS[name]()
    assert torch.equal(found, expected)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(generator.get_state(), state)


def test_a_generator_goes_on_where_it_was(either_way):
    expected, _ = seeded(7, lambda: torch.rand(10))
    generator = torch.Generator().manual_seed(7)
    parts = []
    for _ in range(2):
        with drawing_from(generator):
            parts.append(torch.rand(5))
    assert torch.equal(torch.cat(parts), expected)


def test_other_generators_are_left_alone(either_way):
    expected = torch.rand(3, generator=torch.Generator().manual_seed(1))
    one, other = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    with drawing_from(one):
        found = torch.rand(3, generator=torch.Generator().manual_seed(1))
        rrelu = torch.empty(3).uniform_(generator=torch.Generator().manual_seed(1))
    assert torch.equal(found, expected)
    assert torch.equal(rrelu, expected)
    assert torch.equal(one.get_state(), other.get_state())


def test_contexts_may_be_nested_and_fail(either_way):
    before = torch.get_rng_state()
    expected, _ = seeded(1, lambda: torch.rand(2))
    with drawing_from(1):
        first = torch.rand(1)
        with contextlib.suppress(ValueError), drawing_from(2):
            inner = torch.rand(1)
            raise ValueError("on purpose")
        second = torch.rand(1)
    assert torch.equal(torch.cat([first, second]), expected)
    assert torch.equal(inner, seeded(2, lambda: torch.rand(1))[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_threads_draw_side_by_side():
    # Each waits for the others inside the context: none of them locks the others out.
    inside = threading.Barrier(5, timeout=60)

    def draw(seed):
        if seed is None:
            values = []
            inside.wait()
            values.append(torch.rand(100))
            inside.wait()
            return values[0]
        with drawing_from(seed):
            inside.wait()
            layer = nn.Linear(50, 50)
            inside.wait()
        return layer.weight

    seeds = [0, 1, None, 2, 3]
    before = torch.get_rng_state()
    try:
        torch.manual_seed(5)
        alone = torch.rand(100)
        torch.manual_seed(5)
        with ThreadPoolExecutor(len(seeds)) as pool:
            found = list(pool.map(draw, seeds))
    finally:
        torch.set_rng_state(before)
    for seed, value in zip(seeds, found, strict=True):
        if seed is None:
            assert torch.equal(value, alone)
        else:
            assert torch.equal(value, seeded(seed, lambda: nn.Linear(50, 50))[0].weight)


def test_gradients_flow(either_way):
    def gradient():
        x = torch.arange(8.0, requires_grad=True)
        functional.dropout(x.square()).sum().backward()
        return x.grad

    expected, _ = seeded(3, gradient)
    with drawing_from(3):
        found = gradient()
    assert torch.equal(found, expected)


@pytest.mark.extended
def test_fits_leave_the_draws_of_another_thread_alone():
    run(
        """
        from concurrent.futures import ThreadPoolExecutor

        import numpy as np
        import torch

        from skae import AutoencoderTransformer
        from skae.architectures import Dense

        def fit(seed):
            model = AutoencoderTransformer(
                architecture=Dense(dropout=0.2), max_iter=3, random_state=seed
            )
            return model.fit(X).components_

        X = np.random.default_rng(0).normal(size=(200, 6))
        alone = [fit(seed) for seed in range(2)]
        torch.manual_seed(0)
        expected = torch.rand(100_000)
        torch.manual_seed(0)
        found = []
        with ThreadPoolExecutor(2) as pool:
            fits = [pool.submit(fit, seed) for seed in range(2)]
            while not all(each.done() for each in fits) and len(found) < len(expected):
                found.append(torch.rand(1))
            together = [each.result() for each in fits]
        assert torch.equal(torch.cat(found), expected[: len(found)])
        for one, other in zip(alone, together):
            np.testing.assert_array_equal(one, other)
        """
    )


# -- dropout ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.0, 0.3, 0.9])
def test_dropout_is_that_of_torch(p):
    x = torch.randn(40, 30, generator=torch.Generator().manual_seed(0))
    expected, _ = seeded(1, lambda: nn.Dropout(p)(x))
    layer = Dropout(p)
    assert torch.equal(seeded(1, lambda: layer(x))[0], expected)
    layer.generator = torch.Generator().manual_seed(1)
    before = torch.get_rng_state()
    assert torch.equal(layer(x), expected)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(layer.eval()(x), x)
    assert repr(layer) == repr(nn.Dropout(p))


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_a_copy_of_dropout_has_no_generator(copied):
    layer = Dropout(0.5)
    layer.generator = torch.Generator()
    other = copied(layer)
    assert other.generator is None
    assert other.p == 0.5
    assert layer.generator is not None


def test_dropout_draws_from_a_generator_that_belongs_to_the_fit(iris):
    def fit(seed):
        model = AutoencoderTransformer(
            architecture=Dense(dropout=0.5), max_iter=3, random_state=seed
        )
        return model.fit(iris).transform(iris)

    before = torch.get_rng_state()
    one = fit(0)
    torch.manual_seed(1)
    assert_array_equal(fit(0), one)
    torch.set_rng_state(before)
    fit(0)
    assert torch.equal(torch.get_rng_state(), before)


# -- what is private or global in torch ------------------------------------------------------------


def test_private_operators_may_be_missing(monkeypatch):
    threshold = private_operator("threshold_backward")
    assert threshold is torch.ops.aten.threshold_backward.grad_input
    assert private_operator("adam") is torch._fused_adam_
    for path in ("aten.no_such_operator", "aten.tanh_backward.no_such", "no_such.at_all", "_no_"):
        monkeypatch.setitem(_PRIVATE_OPERATORS, "missing", path)
        assert private_operator("missing") is None
    monkeypatch.delattr(torch, "_fused_adam_")
    assert private_operator("adam") is None
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert private_operator("linear_pointwise") is None


OPTIMIZERS = {
    torch.optim.Adam: {"fused": True},
    torch.optim.AdamW: {},
    torch.optim.SGD: {"momentum": 0.9},
    torch.optim.Adagrad: {},
    torch.optim.RMSprop: {},
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers_do_the_same_without_the_compiler(optimizer):
    states = []
    for kind in (optimizer, without_compiler(optimizer)):
        weight = nn.Parameter(torch.arange(6.0))
        made = kind([weight], lr=0.1, **OPTIMIZERS[optimizer])
        for _ in range(3):
            made.zero_grad()
            weight.square().sum().backward()
            made.step()
        again = kind([weight], lr=0.5, **OPTIMIZERS[optimizer])
        again.load_state_dict(made.state_dict())
        weight.square().sum().backward()
        again.step()
        assert again.param_groups[0]["lr"] == 0.1
        states.append(weight.detach())
    assert torch.equal(*states)


def test_tangents_are_directional_derivatives():
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight = torch.arange(12.0, dtype=torch.float64).view(3, 4)
    directions = torch.eye(3, dtype=torch.float64)

    def function(x):
        return torch.tanh(x @ weight)

    found = list(tangents(function, x, directions))
    for direction, tangent in zip(directions, found, strict=True):
        _, expected = torch.autograd.functional.jvp(function, x, direction.expand_as(x))
        assert torch.equal(tangent, expected)
        assert not tangent.requires_grad
    (constant,) = tangents(lambda x: torch.ones(5, 2), x, directions[:1])
    assert torch.equal(constant, torch.zeros(5, 2))


def test_without_the_compiler_it_is_not_imported():
    run(
        """
        import sys

        import torch

        from skae._utils.torch import drawing_from, tangents, without_compiler

        for kind in (torch.optim.Adam, torch.optim.SGD, torch.optim.Adagrad, torch.optim.RMSprop):
            weight = torch.nn.Parameter(torch.ones(3))
            optimizer = without_compiler(kind)([weight], lr=0.1)
            optimizer.zero_grad()
            weight.sum().backward()
            optimizer.step()
            optimizer.load_state_dict(optimizer.state_dict())
        with drawing_from(0):
            torch.nn.Linear(2, 2)
        list(tangents(torch.sin, torch.ones(2, 2), torch.eye(2)))
        assert "torch._dynamo" not in sys.modules
        assert "sympy" not in sys.modules
        """
    )


def test_the_import_and_the_first_fit_leave_the_process_as_it_was():
    run(
        """
        import os
        import random
        import warnings

        # What these do to the process themselves is theirs.
        import numpy as np
        import scipy.linalg
        import scipy.sparse
        import scipy.stats
        import sklearn.pipeline
        import skorch
        import torch
        import tqdm

        def state():
            return (
                dict(os.environ),
                list(warnings.filters),
                random.getstate(),
                [*np.random.get_state()[1]],
                torch.get_rng_state().tolist(),
                torch.get_default_dtype(),
                torch.get_num_threads(),
                torch.is_grad_enabled(),
            )

        before = state()
        import skae
        from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
        from skae.optimizers import OPTIMIZERS

        assert state() == before
        X = np.linspace(0, 1, 240).reshape(40, 6) ** 2
        for optimizer in OPTIMIZERS:
            AutoencoderTransformer(2, optimizer=optimizer, max_iter=2).fit(X)
            assert state() == before, optimizer
        for penalty in ("variational", "adversarial", "contractive"):
            AutoencoderTransformer(2, penalty=penalty, max_iter=2).fit(X).transform(X)
            assert state() == before, penalty
        detector = AutoencoderAnomalyDetector(2, max_iter=2).fit(X).partial_fit(X)
        detector.predict(X)
        detector.explain(X[:5])
        assert state() == before
        """
    )
