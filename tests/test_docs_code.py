"""The code on pages of the documentation runs, from top to bottom of a page.

Other pages have tests of their own, in `test_pages.py` or beside those of what they are about.
"""

import logging

import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from benchmarks.detectors import DETECTORS
from benchmarks.peers import PEERS
from skae.architectures import Architecture
from skae.losses import Loss
from skae.penalties import Penalty
from skae.scorings import Scoring
from tests.pages import python_blocks

pytestmark = pytest.mark.extended

REGISTRIES = [kind.registry for kind in (Architecture, Loss, Penalty, Scoring)]
REGISTRIES += [DETECTORS, PEERS]
# {page: what marks a block that is not run, and why}
PAGES = {
    "checkpoints.rst": {},
    "drift.rst": {},
    "export.rst": {"torch.export.Dim": "tests/test_export.py exports so, of a net in float32"},
    "production.rst": {},
    "tables.rst": {},
}


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
    blocks = python_blocks(page)
    for block in blocks:
        if not any(mark in block for mark in left_out):
            exec(block, names)
    assert all(any(mark in block for block in blocks) for mark in left_out)
    return blocks


@pytest.mark.parametrize("page", PAGES)
def test_code_of_a_page_runs(page, given, registries, short_fits, tmp_path, monkeypatch):
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
