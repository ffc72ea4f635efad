"""The code on pages of the documentation runs, from top to bottom of a page.

Other pages have tests of their own, in `test_pages.py` or beside those of what they are about.
"""

import logging
import re
import textwrap
from pathlib import Path

import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

import skae
from benchmarks.detectors import DETECTORS
from benchmarks.peers import PEERS
from skae.architectures import Architecture
from skae.losses import Loss
from skae.penalties import Penalty
from skae.scorings import Scoring

pytestmark = pytest.mark.extended

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^( *)\.\. code-block:: python\n((?: *:.*\n)*)\n((?:\1   .*\n|\n)*)", re.M)
REGISTRIES = [kind.registry for kind in (Architecture, Loss, Penalty, Scoring)]
REGISTRIES += [DETECTORS, PEERS]
# {page: what marks a block that is not run, and why}
PAGES = {
    "checkpoints.rst": {},
    "drift.rst": {},
    "export.rst": {"torch.export.Dim": "tests/test_export.py exports so, of a net in float32"},
    "production.rst": {"MlflowLogger": "packages that the tests do without"},
    "tables.rst": {},
}


@pytest.fixture
def short(monkeypatch):
    """Train for two epochs: the code is what is tested, and how long it trains is not."""
    for estimator in (skae.AutoencoderTransformer, skae.AutoencoderAnomalyDetector):
        monkeypatch.setitem(estimator.__init__.__kwdefaults__, "max_iter", 2)


@pytest.fixture
def registries():
    """Leave every registry as it was: what a page registers is its own."""
    before = [dict(registry) for registry in REGISTRIES]
    yield
    for registry, entries in zip(REGISTRIES, before, strict=True):
        registry.clear()
        registry.update(entries)


@pytest.fixture
def given():
    """Return the names that pages take for granted."""
    X, y = load_breast_cancer(return_X_y=True)
    X, X_new, y, _ = train_test_split(X, 2 * y - 1, train_size=150, test_size=20, random_state=0)
    level, handlers = logging.getLogger("skae").level, logging.getLogger().handlers[:]
    yield {"X": X, "X_new": X_new, "y": y, "train": X, "test": X_new, "stream": [X_new]}
    logging.getLogger("skae").setLevel(level)
    logging.getLogger().handlers[:] = handlers


def run(page, names):
    """Run the blocks of a page from top to bottom, and return them."""
    left_out = PAGES.get(page, {})
    blocks = [textwrap.dedent(code) for _, _, code in BLOCK.findall((DOCS / page).read_text())]
    for block in blocks:
        if not any(mark in block for mark in left_out):
            exec(block, names)
    assert all(any(mark in block for block in blocks) for mark in left_out)
    return blocks


@pytest.mark.parametrize("page", PAGES)
def test_code_of_a_page_runs(page, given, registries, short, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if page == "export.rst":
        pytest.importorskip("skl2onnx")
    run(page, given)


def test_the_examples_of_development_do_what_they_say(given, registries, capsys):
    assert run("development/loss.rst", given)
    assert given["bound"].shape == (200,)
    assert run("development/new_architecture.rst", given)
    assert given["same"]
    assert run("development/penalty.rst", given)
    assert given["found"]["uncorrelated"] < given["found"]["none"] / 2
    assert run("development/scoring.rst", given)
    assert given["pixel"] == 30
    assert given["p_value"] < 0.02
    assert run("development/peer.rst", given)
    assert given["errors"]["KernelPCA"] > 0
    assert given["auroc"] > 0.8
