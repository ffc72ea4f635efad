"""Searches on a cluster: two worker processes, one of which is killed, and user's own classes."""

import os
import signal
from itertools import chain

import joblib
import pytest
from dask.distributed import Client, LocalCluster
from numpy.testing import assert_array_equal
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
from torch import nn

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae.losses import Huber
from skae.metrics import explained_variance_scorer

SMALL = {"max_iter": 4, "random_state": 0}


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        # It would drop the second copy of what the searches scatter.
        client.amm.stop()
        yield client


@pytest.fixture(scope="module")
def folds(digits):
    return list(KFold(3, shuffle=True, random_state=0).split(digits))


class WorkerScore:
    """The estimator's score, noting in a folder which process computed it.

    `deadly`: the first call kills its own process, as a machine that fails would.
    """

    def __init__(self, folder, deadly=False):
        self.folder = folder
        self.deadly = deadly

    def __call__(self, estimator, X, y=None):
        (self.folder / str(os.getpid())).touch()
        if self.deadly:
            try:
                (self.folder / "killed").touch(exist_ok=False)
            except FileExistsError:
                return explained_variance_scorer(estimator, X)
            (self.folder / "killed").write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return explained_variance_scorer(estimator, X)

    def processes(self):
        return {int(path.name) for path in self.folder.iterdir() if path.name != "killed"}


def assert_same_search(one, other, X):
    # estimators among the parameters are equal in what they say
    assert str(one.best_params_) == str(other.best_params_)
    scores = [key for key in one.cv_results_ if "test_score" in key]
    assert "split2_test_score" in scores
    for key in scores:
        assert_array_equal(one.cv_results_[key], other.cv_results_[key])
    assert_array_equal(one.best_estimator_.transform(X), other.best_estimator_.transform(X))


def autoencoders(folds, scoring):
    grid = {"n_components": [2, 4], "loss__delta": [0.5]}
    model = AutoencoderTransformer(loss=Huber(), **SMALL)
    return GridSearchCV(model, grid, scoring=scoring, cv=folds)


def pca_and_autoencoder(folds, scoring):
    pipeline = Pipeline([("scale", StandardScaler()), ("reduce", PCA())])
    grid = {
        "reduce": [PCA(random_state=0), AutoencoderTransformer(**SMALL)],
        "reduce__n_components": [2, 4],
    }
    return GridSearchCV(pipeline, grid, scoring=scoring, cv=folds)


@pytest.mark.extended
def test_a_search_on_a_cluster_is_the_local_one(client, digits, folds, tmp_path):
    local = pca_and_autoencoder(folds, explained_variance_scorer).fit(digits)
    score = WorkerScore(tmp_path)
    with joblib.parallel_config(backend="dask"):
        remote = pca_and_autoencoder(folds, score).fit(digits)
    assert_same_search(remote, local, digits)
    assert score.processes() <= set(client.run(os.getpid).values())


@pytest.mark.extended
def test_a_killed_worker_changes_nothing(client, digits, folds, tmp_path):
    local = autoencoders(folds, explained_variance_scorer).fit(digits)
    score = WorkerScore(tmp_path, deadly=True)
    # What only the killed worker held could not be computed again.
    with joblib.parallel_config(backend="dask", scatter=[digits, *chain(*folds)]):
        remote = autoencoders(folds, score).fit(digits)
    assert_same_search(remote, local, digits)
    killed = int((tmp_path / "killed").read_text())
    assert killed in score.processes()
    assert len(score.processes()) > 1
    client.wait_for_workers(2)
    assert killed not in client.run(os.getpid).values()


@pytest.mark.extended
def test_own_classes_travel_to_a_worker_and_back(client, digits):
    # Defined here, these can only be sent by value.
    class Pair(nn.Module):
        def __init__(self, n_features=64, n_components=2):
            super().__init__()
            self.encoder = nn.Linear(n_features, n_components)
            self.decoder = nn.Linear(n_components, n_features)

        def encode(self, x):
            return self.encoder(x)

        def decode(self, z):
            return self.decoder(z)

    class Epochs(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("seen_by", type(self).__name__)

    for model in (
        AutoencoderTransformer(architecture=Pair, callbacks=[Epochs()], init="random", **SMALL),
        AutoencoderAnomalyDetector(callbacks=[Epochs()], **SMALL),
    ):
        back = client.submit(model.fit, digits).result()
        model.fit(digits)
        assert_array_equal(back.transform(digits), model.transform(digits))
        net = getattr(back, "nets_", [getattr(back, "net_", None)])[0]
        assert net.history[-1]["seen_by"] == "Epochs"
