"""Real data sets that the tests share."""

import hypothesis
import matplotlib
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits, load_iris, load_wine
from sklearn.model_selection import train_test_split

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer

matplotlib.use("Agg")
# Two test processes on two cores: more threads each would only wait for each other.
torch.set_num_threads(1)
# The same examples in each run, so that a change is not held up by a case that it did not touch;
# --hypothesis-profile=default looks for new ones.
hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.load_profile("same")


@pytest.fixture
def short_fits(monkeypatch):
    """Train for two epochs by default, where the code is tested and not what it learns."""
    for estimator in (AutoencoderTransformer, AutoencoderAnomalyDetector):
        monkeypatch.setitem(estimator.__init__.__kwdefaults__, "max_iter", 2)


@pytest.fixture(scope="session")
def iris():
    return load_iris().data


@pytest.fixture(scope="session")
def wine():
    X = load_wine().data
    return (X - X.mean(0)) / X.std(0)


@pytest.fixture(scope="session")
def digits():
    return load_digits().data[:400] / 16


@pytest.fixture(scope="session")
def diabetes():
    X = load_diabetes().data
    return X / X.std(0)


@pytest.fixture(scope="session")
def images():
    """Digits to learn from and others to look at."""
    digits = load_digits().data / 16
    return train_test_split(digits, train_size=700, test_size=450, random_state=0)
