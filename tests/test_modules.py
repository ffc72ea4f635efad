"""The encoder and the decoder as torch modules of rows in the units of X."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skae import AutoencoderTransformer
from skae.losses import LOSSES, Huber, Preparation


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_modules_are_the_methods(loss, whiten, digits):
    X = digits if loss == "binary_cross_entropy" else np.rint(16 * digits)
    model = AutoencoderTransformer(3, loss=loss, max_iter=2, whiten=whiten, random_state=0).fit(X)
    codes = model.encoder_(torch.tensor(X))
    assert_allclose(codes.detach(), model.transform(X), rtol=1e-9, atol=1e-9)
    rows = model.decoder_(codes).detach()
    assert_allclose(rows, model.inverse_transform(model.transform(X)), rtol=1e-7, atol=1e-7)


def test_gradients_are_those_of_the_methods(iris):
    model = AutoencoderTransformer(1, max_iter=10, early_stopping=False, random_state=0).fit(iris)
    x = torch.tensor(iris[:5], requires_grad=True)
    (slope,) = torch.autograd.grad(model.decoder_(model.encoder_(x)).sum(), x)
    step = 1e-5
    for j, direction in enumerate(np.eye(4)):
        ahead, behind = (model.reconstruct(iris[:5] + s * direction) for s in (step, -step))
        assert_allclose(slope[:, j], (ahead - behind).sum(1) / (2 * step), rtol=1e-5, atol=1e-8)


def test_missing_entries_are_filled(iris):
    X = iris.copy()
    X[::7, 1] = np.nan
    model = AutoencoderTransformer(2, max_iter=2, random_state=0).fit(X)
    x = torch.tensor(X, requires_grad=True)
    codes = model.encoder_(x)
    assert_allclose(codes.detach(), model.transform(X), rtol=1e-9, atol=1e-9)
    (slope,) = torch.autograd.grad(codes.sum(), x)
    assert torch.isfinite(slope).all()


def test_the_modules_are_copies(iris):
    model = AutoencoderTransformer(2, max_iter=0, random_state=0).fit(iris)
    before = model.transform(iris)
    encoder = model.encoder_.float()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.zero_()
    assert encoder(torch.tensor(iris, dtype=torch.float32)).abs().max() == 0
    assert_allclose(model.transform(iris), before, rtol=0)


@pytest.mark.parametrize("max_iter", [0, 2])
def test_what_is_zero_until_it_is_trained_costs_nothing(max_iter, iris):
    model = AutoencoderTransformer(2, max_iter=max_iter, early_stopping=False, random_state=0)
    model.fit(iris)
    x, called = torch.tensor(iris), []
    modules = [model.encoder_, model.decoder_]
    for module in modules:
        for layer in module.modules():
            if isinstance(layer, torch.nn.Linear):
                layer.register_forward_hook(lambda *_: called.append(1))
    with torch.no_grad():
        codes = modules[0](x)
        rows = modules[1](codes)
    assert bool(called) == (max_iter > 0)
    assert_allclose(rows, model.reconstruct(iris), rtol=1e-12)
    # What learns from them sees all layers.
    assert_allclose(modules[0](x).detach(), codes, rtol=1e-12)
    assert called


class Doubled(Preparation):
    def transform(self, X):
        return 2 * X, None


class HuberOfDoubled(Huber):
    preparation = Doubled()


def test_rows_prepared_in_numpy_have_no_gradient(digits):
    model = AutoencoderTransformer(2, loss=HuberOfDoubled(), max_iter=0).fit(digits)
    x = torch.tensor(digits)
    assert_allclose(model.encoder_(x).detach(), model.transform(digits), rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="no gradient by these rows"):
        model.encoder_(x.requires_grad_())
    assert not hasattr(AutoencoderTransformer(), "encoder_")


def test_rows_prepared_as_shares_have_a_gradient(digits):
    model = AutoencoderTransformer(2, loss="multinomial", max_iter=0).fit(digits)
    x = torch.tensor(digits[:3], requires_grad=True)
    (slope,) = torch.autograd.grad(model.encoder_(x).sum(), x)
    # shares do not change with the total
    assert_allclose((slope * x).sum(1).detach(), 0, atol=1e-12)
    assert slope.abs().max() > 0
