"""Fits on an accelerator, where there is one, and what leaves it."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer

CUDA = torch.cuda.is_available()
needs_cuda = pytest.mark.skipif(not CUDA, reason="there is no CUDA device")


def answer(estimator, X):
    if isinstance(estimator, AutoencoderTransformer):
        return estimator.transform(X)
    return estimator.score_samples(X)


@pytest.mark.skipif(CUDA, reason="there is a CUDA device")
@pytest.mark.parametrize(
    "estimator",
    [AutoencoderTransformer(2, max_iter=3), AutoencoderAnomalyDetector(max_iter=3)],
    ids=lambda estimator: type(estimator).__name__,
)
def test_a_device_that_is_gone_is_not_needed_to_predict(estimator, iris):
    # As a pickle from a machine with a GPU would be: nothing in it depends on the device.
    estimator = estimator.set_params(random_state=0).fit(iris)
    transformer = isinstance(estimator, AutoencoderTransformer)
    for fit in [estimator._fitted] if transformer else estimator._crossfit.fits:
        fit.settings.params["device"] = "cuda"
    estimator.set_params(device="cuda")
    loaded = pickle.loads(pickle.dumps(estimator))
    assert_array_equal(answer(loaded, iris), answer(estimator, iris))
    if transformer:
        # chunks go on where the net is
        assert loaded.partial_fit(iris).net_.device == "cpu"
        with pytest.raises(ValueError, match="device='cuda' is not available"):
            loaded.fit(iris)


@needs_cuda
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"architecture": "convolutional", "input_shape": (8, 8)},
        {"architecture": "recurrent", "input_shape": (8, 8)},
        {"penalty": "variational"},
        {"penalty": "adversarial"},
        {"corruption": "salt_and_pepper"},
        {"loss": "poisson"},
        {"loss": "mixed"},
    ],
    ids=str,
)
def test_a_cuda_device_fits_like_the_cpu(params, digits):
    models = [
        AutoencoderTransformer(4, max_iter=5, random_state=0, device=device, **params).fit(digits)
        for device in ("cuda", "cpu")
    ]
    on_cuda, on_cpu = (model.score(digits) for model in models)
    assert on_cuda == pytest.approx(on_cpu, abs=0.05)
    assert next(models[0].net_.module_.parameters()).is_cuda
    # the start is computed on the CPU for both
    first, second = (model.history_[0]["train_loss"] for model in models)
    assert first == pytest.approx(second, rel=1e-4)


@needs_cuda
def test_a_pickle_from_cuda_predicts_on_a_machine_without(digits, tmp_path):
    model = AutoencoderTransformer(4, max_iter=5, random_state=0, device="cuda").fit(digits)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    np.save(tmp_path / "digits.npy", digits)
    script = (
        "import pickle, numpy as np, torch; assert not torch.cuda.is_available(); "
        "model = pickle.load(open('model.pkl', 'rb')); "
        "np.save('codes.npy', model.transform(np.load('digits.npy')))"
    )
    subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        check=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert_allclose(np.load(tmp_path / "codes.npy"), model.transform(digits), atol=1e-12)


@needs_cuda
def test_rows_stay_on_the_device(digits):
    from skorch.callbacks import Callback

    class Where(Callback):
        def on_epoch_begin(self, net, dataset_train=None, **kwargs):
            self.held_ = dataset_train._held

    where = Where()
    params = {"max_iter": 1, "random_state": 0, "callbacks": [where]}
    AutoencoderTransformer(4, device="cuda", **params).fit(digits)
    assert where.held_.is_cuda
