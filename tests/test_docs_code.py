"""The code on pages of the documentation runs, from top to bottom of a page.

Other pages have tests of their own, in `test_pages.py` or beside those of what they are about.
"""

import logging

import pytest

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
PAGES = ["checkpoints", "export", "production", "tables"]


@pytest.fixture
def registries():
    """Leave every registry as it was: what a page registers is its own."""
    before = [dict(registry) for registry in REGISTRIES]
    yield
    for registry, entries in zip(REGISTRIES, before, strict=True):
        registry.clear()
        registry.update(entries)


@pytest.fixture
def logs():
    """Leave the loggers as they were."""
    level, handlers = logging.getLogger("skae").level, logging.getLogger().handlers[:]
    yield
    logging.getLogger("skae").setLevel(level)
    logging.getLogger().handlers[:] = handlers


def run(page):
    """Run the blocks of a page from top to bottom, and return the names that they make."""
    blocks = python_blocks(page)
    assert blocks
    names = {}
    for block in blocks:
        exec(block, names)
    return names


@pytest.mark.parametrize("page", PAGES)
def test_code_of_a_page_runs(page, logs, registries, short_fits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if page == "export":
        pytest.importorskip("skl2onnx")
    run(f"{page}.rst")


def test_the_examples_of_development_do_what_they_say(registries):
    assert run("development/loss.rst")["bound"].shape == (200,)
    assert run("development/new_architecture.rst")["same"]
    found = run("development/penalty.rst")["found"]
    assert found["uncorrelated"] < found["none"] / 2
    names = run("development/scoring.rst")
    assert names["pixel"] == 30
    assert names["p_value"] < 0.02
    names = run("development/peer.rst")
    assert names["errors"]["KernelPCA"] > 0
    assert names["auroc"] > 0.8
