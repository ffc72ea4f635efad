"""What is written to Python's logger "skae"."""

import logging
import re
import subprocess
import sys

import pytest
from skorch.callbacks import EpochTimer

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer


def test_a_line_for_each_fit_and_at_debug_for_each_epoch(iris, caplog):
    autoencoder = AutoencoderTransformer(2, max_iter=3, random_state=0)
    with caplog.at_level(logging.INFO, "skae"):
        autoencoder.fit(iris)
    (line,) = caplog.messages
    best, last, loss, start = re.search(
        r"^fitted to 150 rows in \S+ s: epoch (\d) of (\d) is kept, with a loss of (\S+); "
        r"the start's: (\S+)$",
        line,
    ).groups()
    assert (int(best), int(last)) == (autoencoder.best_iter_, autoencoder.n_iter_)
    assert float(loss) == pytest.approx(autoencoder.loss_, rel=1e-3)
    assert float(start) == pytest.approx(autoencoder.history_[0]["valid_loss"], rel=1e-3)
    caplog.clear()
    with caplog.at_level(logging.DEBUG, "skae"):
        AutoencoderAnomalyDetector(max_iter=2, n_folds=2, random_state=0).fit(iris)
    assert [line.partition(":")[0] for line in caplog.messages if line.startswith("epoch")] == [
        "epoch 1 of 2",
        "epoch 1 of 2",
        "epoch 2 of 2",
        "epoch 2 of 2",
    ]
    assert sum(line.startswith("fitted to") for line in caplog.messages) == 2


def test_a_fit_that_goes_on_says_from_where(iris, tmp_path, caplog, monkeypatch):
    autoencoder = AutoencoderTransformer(2, max_iter=5, random_state=0, checkpoint=tmp_path / "fit")

    def interrupt(self, net, **kwargs):
        if net.history[-1]["epoch"] == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EpochTimer, "on_epoch_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            autoencoder.fit(iris)
    with caplog.at_level(logging.INFO, "skae"):
        autoencoder.fit(iris)
    assert re.match(r"going on after epoch [12], from .*fit$", caplog.messages[0])


@pytest.mark.extended
def test_nothing_is_printed_unless_it_is_asked_for():
    code = (
        "from sklearn.datasets import load_iris; from skae import AutoencoderTransformer\n"
        "AutoencoderTransformer(2, max_iter=1).fit(load_iris().data)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
