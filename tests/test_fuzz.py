"""Any table and any parameters: a finite result of the right shape, or an error that says why.

What is drawn comes from the parameter constraints and the registries: a new parameter or strategy
enters by itself.
"""

import os
import random
import re
import warnings
from numbers import Integral, Real

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from scipy import sparse

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae._utils.registry import RegistryOptions, Strategy, declared
from skae._utils.sklearn import Interval, Options
from skae.architectures import Architecture

# Flat tables are what is drawn.
pytestmark = pytest.mark.filterwarnings("ignore:Without input_shape each row is taken")

ROWS, FEATURES = [12, *range(8, 41), 5, 3, 2, 1], [4, 5, 6, 7, 8, 3, 2, 1]

# -- parameters, by what their constraints allow ---------------------------------------------------

# What constraints do not say: which sequences are meant, and what would take long or start others.
SMALL_SIZES = st.lists(st.integers(1, 8), max_size=2).map(tuple)
BY_NAME = {
    "hidden_layer_sizes": SMALL_SIZES,
    "decoder_hidden_layer_sizes": st.none() | SMALL_SIZES,
    "max_iter": st.integers(0, 2),
    "max_rows": st.integers(2, 50),
    "n_tokens": st.none() | st.integers(2, 50),
    "callbacks": st.sampled_from([None, [], ()]),
    "device": st.sampled_from(["auto", "cpu", torch.device("cpu")]),
    "distributed": st.just(False),
    "n_jobs": st.sampled_from([None, 1]),
    "random_state": st.integers(0, 2**32 - 1),
    "verbose": st.just(0),
    "feature_range": st.sampled_from([None, (0, 1), (-1, 1), (0, 255)]),
    "blocks": st.just("auto"),
}
# Far from what anyone would pass, and allowed.
EXTREMES = [1e-300, 1e-12, 1e-3, 1.0, 10.0, 1e10, 1e300]


def inside(interval):
    """Draw from an interval, its edges often."""
    low = -np.inf if interval.left is None else interval.left
    high = np.inf if interval.right is None else interval.right
    if interval.type is Integral:
        low = int(low) + (interval.closed in ("right", "neither"))
        return st.integers(low, int(min(high, low + 5)))
    known = [x for x in (low, *EXTREMES, high) if x in interval and np.isfinite(x)]
    between = st.floats(
        max(low, -1e3), min(high, 1e3), exclude_min=low not in interval, exclude_max=True
    )
    return st.sampled_from(known) | between


def allowed(name, constraint):
    """Draw what one constraint of a parameter allows, or return None where it cannot be drawn."""
    if constraint is None:
        return st.none()
    if constraint == "boolean":
        return st.booleans()
    if isinstance(constraint, RegistryOptions):
        return st.sampled_from(sorted(constraint.registry))
    if isinstance(constraint, Options):
        return st.sampled_from(sorted(constraint.options, key=str))
    if isinstance(constraint, Interval):
        return inside(constraint)
    if isinstance(constraint, type) and issubclass(constraint, Strategy):
        kinds = [constraint.registry[key] for key in sorted(constraint.registry)]
        return st.sampled_from(kinds).flatmap(with_parameters)
    if constraint is Real:
        return st.sampled_from([-1.0, 0.0, *EXTREMES])
    return None


def parameters(constraints):
    """Draw some of the parameters that constraints describe."""
    drawn = {}
    for name, each in constraints.items():
        ways = [allowed(name, constraint) for constraint in each]
        ways = [way for way in ways if way is not None]
        if name in BY_NAME:
            drawn[name] = BY_NAME[name]
        elif ways:
            drawn[name] = st.one_of(ways)
    if not drawn:
        return st.just({})
    some = st.lists(st.sampled_from(sorted(drawn)), unique=True, max_size=6)
    return some.flatmap(lambda names: st.fixed_dictionaries({name: drawn[name] for name in names}))


def with_parameters(kind):
    return parameters(kind._parameter_constraints).map(lambda params: kind(**params))


@st.composite
def estimators(draw, kind):
    params = draw(parameters(kind._parameter_constraints))
    # A net that is small, unless the default is drawn on purpose.
    params = {"hidden_layer_sizes": (6,), "max_iter": 1, "random_state": 0} | params
    return kind(**params)


# -- tables ----------------------------------------------------------------------------------------


def powers(rng, most, size):
    return 10.0 ** rng.integers(-most, most, size)


VALUES = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "far from zero": lambda rng, shape: 1e6 + rng.normal(size=shape),
    "heavy tails": lambda rng, shape: np.exp(3 * rng.normal(size=shape)),
    "mixed scales": lambda rng, shape: rng.normal(size=shape) * powers(rng, 9, shape[1]),
    "wildly mixed": lambda rng, shape: rng.normal(size=shape) * powers(rng, 140, shape),
    "fractions": lambda rng, shape: rng.uniform(size=shape),
    "bits": lambda rng, shape: rng.integers(0, 2, shape).astype(float),
    "counts": lambda rng, shape: rng.poisson(2, shape).astype(float),
    "one hot": lambda rng, shape: np.eye(shape[1])[rng.integers(0, shape[1], shape[0])],
    "few rows, often": lambda rng, shape: np.eye(3, shape[1])[rng.integers(3, size=shape[0])],
    "low rank": lambda rng, shape: np.outer(rng.normal(size=shape[0]), 1 + np.arange(shape[1])),
    "constant": lambda rng, shape: np.full(shape, rng.normal()),
    "constant columns": lambda rng, shape: np.tile(rng.normal(size=shape[1]), (shape[0], 1)),
    "zeros": lambda rng, shape: np.zeros(shape),
}
FACTORS = [1.0] * 8 + [1e-323, 1e-310, 1e-300, 1e-160, 1e-30, 1e30, 1e155, 1e300, 1e308]
HOLES = ["none"] * 8 + ["some", "a column", "a row", "ends", "all", "infinity"]
TYPES = [np.float64] * 6 + [np.float32, np.float32, np.float16, np.int64, np.uint8, bool, object]


def wide(X):
    """Return an array of a type that every library has: pandas indexes no float16."""
    return X if X.dtype.char in "fdlB" else X.astype(float)


CONTAINERS = {
    "array": np.asarray,
    "columns first": np.asfortranarray,
    "every other row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "backwards": lambda X: X[::-1, ::-1],
    "list": lambda X: X.tolist(),
    "frame": pd.DataFrame,
    "named frame": lambda X: pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])]),
    "nullable frame": lambda X: pd.DataFrame(X).convert_dtypes(),
    "frame of categories": lambda X: pd.DataFrame(wide(X)).astype("category"),
    "frame of words": lambda X: pd.DataFrame(X).astype(str).astype("category"),
    "polars frame": lambda X: pl.DataFrame(wide(X)),
    "sparse rows": lambda X: sparse.csr_array(wide(X)),
    "sparse columns": lambda X: sparse.csc_matrix(X.astype(float)),
    "coordinates": lambda X: sparse.coo_array(X.astype(float)),
    "tensor": lambda X: torch.tensor(wide(X)),
}
CONTAINERS_OFTEN = ["array"] * 10 + list(CONTAINERS)
WEIGHTS = {
    "none": lambda rng, n: None,
    "ones": lambda rng, n: np.ones(n),
    "whole": lambda rng, n: rng.integers(0, 3, n),
    "any": lambda rng, n: rng.uniform(size=n),
    "huge": lambda rng, n: rng.uniform(size=n) * 1e40,
    "tiny": lambda rng, n: rng.uniform(size=n) * 1e-320,
    "wild": lambda rng, n: powers(rng, 100, n),
    "one": lambda rng, n: np.eye(n)[0],
    "zeros": lambda rng, n: np.zeros(n),
}
WEIGHTS_OFTEN = ["none"] * 8 + list(WEIGHTS)


@st.composite
def tables(draw):
    """Draw a table, as an array of floats and as it is passed on, and weights."""
    shape = draw(st.sampled_from(ROWS)), draw(st.sampled_from(FEATURES))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    X = VALUES[draw(st.sampled_from(list(VALUES)))](rng, shape)
    with np.errstate(all="ignore"):
        X = X * draw(st.sampled_from(FACTORS))
        hole = draw(st.sampled_from(HOLES))
        where = {
            "none": np.zeros(shape, bool),
            "some": rng.uniform(size=shape) < 0.2,
            "a column": np.arange(shape[1]) == shape[1] - 1,
            "a row": np.arange(shape[0])[:, None] == 0,
            "ends": np.arange(shape[1]) >= rng.integers(1, shape[1] + 1, shape[0])[:, None],
            "all": np.ones(shape, bool),
            "infinity": rng.uniform(size=shape) < 0.05,
        }[hole]
        X = np.where(where, np.inf if hole == "infinity" else np.nan, X)
        X = X.astype(draw(st.sampled_from(TYPES)))
        given = CONTAINERS[draw(st.sampled_from(CONTAINERS_OFTEN))](X)
    return given, WEIGHTS[draw(st.sampled_from(WEIGHTS_OFTEN))](rng, shape[0])


# -- what must hold --------------------------------------------------------------------------------


def global_state():
    """Return what a call must leave as it is."""
    return (
        repr(random.getstate()),
        repr(np.random.get_state()),
        torch.get_rng_state().tolist(),
        list(warnings.filters),
        dict(os.environ),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        np.geterr(),
    )


def names_its_cause(error, params):
    """Return whether an error's message says which parameter or which data it is about."""
    words = {
        *params,
        "X",
        "sample_weight",
        "weights",
        "data",
        "array",
        "features",
        "samples",
        "NaN",
    }
    # pandas' and NumPy's own, of words and of entries that are no numbers
    words |= {"to float", "real number", "tensor"}
    return re.search(rf"\b({'|'.join(map(re.escape, sorted(words)))})\b", str(error)) is not None


def check_transformer(model, X, n_rows, n_features):
    codes = model.transform(X)
    assert codes.shape == (n_rows, model.n_components_)
    assert model.components_.shape[0] == model.n_components_
    numbers = [codes, model.components_, model.inverse_transform(codes), model.sample(3, 0)]
    assert numbers[2].shape == (n_rows, n_features)
    assert numbers[3].shape == (3, n_features)
    numbers.append(np.array([model.score(X), model.loss_]))
    if hasattr(model, "score_samples"):
        numbers.append(model.score_samples(X, n_draws=2))
        assert numbers[-1].shape == (n_rows,)
    return numbers


def check_detector(model, X, n_rows, n_features):
    codes, scores = model.transform(X), model.score_samples(X)
    p_values, contributions = model.p_values(X), np.asarray(model.explain(X))
    assert scores.shape == p_values.shape == (n_rows,)
    assert contributions.shape == (n_rows, n_features)
    assert ((p_values >= 0) & (p_values <= 1)).all()
    for labels in (model.predict(X), model.predict(X, fdr=0.1)):
        assert labels.shape == (n_rows,)
        assert set(labels) <= {-1, 1}
    # Rounding is that of the row with the largest.
    size = np.abs(contributions).sum(1).max()
    assert (np.abs(contributions.sum(1) - scores) <= 1e-6 * size + 1e-9).all()
    decision = model.decision_function(X)
    return [codes, model.inverse_transform(codes), scores, decision, p_values, contributions]


def is_padded(model):
    return declared(Architecture, model.architecture).padded


def check(model, table, call):
    X, weight = table
    shape = X.shape if hasattr(X, "shape") else (len(X), len(X[0]))
    before = global_state()
    try:
        getattr(model, call)(X, sample_weight=weight)
    except (ValueError, TypeError) as error:
        names = {name.split("__")[-1] for name in model.get_params(deep=True)}
        if not names_its_cause(error, names):
            raise AssertionError("The error does not say what caused it.") from error
    else:
        # What was fitted raises nothing on the rows that it was fitted to.
        is_detector = isinstance(model, AutoencoderAnomalyDetector)
        for values in (check_detector if is_detector else check_transformer)(model, X, *shape):
            assert np.isfinite(values).all()
        rebuilt = model.reconstruct(X)
        assert rebuilt.shape == shape
        # the padding of shorter sequences stays what it is
        assert np.isfinite(rebuilt).all() or is_padded(model)
    assert global_state() == before


def run(kind, n_cases, piece):
    """Check cases that a number draws."""
    calls = st.sampled_from(["fit", "fit", "partial_fit"])
    checked = given(estimators(kind), tables(), calls)(check)
    once = settings(
        max_examples=n_cases,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        # the first case imports what scikit-learn and torch import late
        suppress_health_check=[HealthCheck.too_slow],
    )
    seed(piece)(once(checked))()


@pytest.mark.parametrize(
    ("kind", "n_cases"), [(AutoencoderTransformer, 80), (AutoencoderAnomalyDetector, 40)]
)
def test_any_case(kind, n_cases):
    run(kind, n_cases, piece=0)


@pytest.mark.slow
@pytest.mark.parametrize("piece", range(1, 11))
@pytest.mark.parametrize("kind", [AutoencoderTransformer, AutoencoderAnomalyDetector])
def test_any_other_case(kind, piece):
    run(kind, 250, piece)
