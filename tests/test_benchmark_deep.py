"""The benchmark of the optimizers on images: its fits, what it sums up, and its page."""

import gzip
import re
from pathlib import Path

import deep_pages
import numpy as np
import pytest

from benchmarks import deep, run
from benchmarks.__main__ import main
from skae.optimizers import OPTIMIZERS

pytestmark = pytest.mark.extended
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Write two files of images, one of them compressed, and let the nets be small."""
    rng = np.random.default_rng(0)
    for name, n_rows, opener in (("train", 90, gzip.open), ("t10k", 40, open)):
        ending = ".gz" if opener is gzip.open else ""
        levels = rng.integers(0, 256, size=(n_rows, 1))
        pixels = np.clip(levels + rng.integers(-9, 9, size=(n_rows, 784)), 0, 255)
        with opener(tmp_path / f"{name}-images-idx3-ubyte{ending}", "wb") as file:
            file.write(bytes(16) + pixels.astype(np.uint8).tobytes())
    for name, value in {"WIDTHS": (6,), "WIDTH": 2, "N_TRAIN": 80, "N_TEST": 30}.items():
        monkeypatch.setattr(deep, name, value)
    choices = {
        "adam": deep.Choice("adam", lengths=(1, 2)),
        "soap": deep.Choice("soap", 16, lengths=(1,)),
    }
    monkeypatch.setattr(deep, "CHOICES", choices)
    monkeypatch.setattr(deep, "WHOLE", (1,))
    monkeypatch.setenv("SKAE_FASHION_MNIST", "none")
    return tmp_path


def test_it_measures_steps_and_fits_of_a_folder(small):
    out = small / "deep"
    assert main(["deep", "--images", str(small), "--out", str(out)]) == 0
    rows, about = run.load_results(out)
    found = [(row["set"], row["peer"], row["n_iter"]) for row in rows]
    assert found[:3] == [("steps", "adam", 0), ("steps", "soap", 0), ("fits", "PCA", 0)]
    assert found[3:] == [
        ("fits", "adam", 1),
        ("fits", "adam", 2),
        ("fits", "soap", 1),
        ("whole", "PCA", 0),
        ("whole", "adam", 1),
    ]
    assert [row["n_rows"] for row in rows if row["set"] == "whole"] == [90, 90]
    assert {row["images"] for row in rows} == {small.name}
    assert about["summary"]["soap, 1 epochs"]["step_over_adam"] > 0
    # images of one level, which the first component keeps, and noise of at most nine levels
    assert 0 < about["summary"]["PCA"]["error"] < 784 * (9 / 255) ** 2
    before = out.with_suffix(".csv").read_text()
    main(["deep", "--images", str(small), "--out", str(out), "--resume"])
    assert out.with_suffix(".csv").read_text() == before


def test_without_images_it_says_what_is_missing(small, capsys):
    with pytest.raises(SystemExit):
        main(["deep", "--images", str(small / "no"), "--out", str(small / "deep")])
    assert "train-images-idx3-ubyte" in capsys.readouterr().err
    for wrong in (["--peers", "IsolationForest"], ["--setting", "clean"]):
        with pytest.raises(SystemExit):
            main(["deep", *wrong])
    with pytest.raises(SystemExit):
        main(["never_worse", "--images", str(small)])


def test_time_to_an_error_is_read_between_adams_fits():
    def row(peer, n_iter, error, seconds):
        return {"set": "fits"} | deep._row(peer, n_iter, seconds, error)

    rows = [
        row("adam", 1, 8.0, 10.0),
        row("adam", 2, 6.0, 40.0),
        row("soap", 1, 7.0, 10.0),
        row("soap", 2, 5.0, 10.0),
    ]
    summary = deep.summarise_deep(rows)
    # halfway between the errors, and between the logarithms of 10 and 40 seconds
    assert summary["soap, 1 epochs"]["seconds_over_adam"] == pytest.approx(10 / 20)
    assert "seconds_over_adam" not in summary["soap, 2 epochs"]


def test_the_committed_result_makes_its_table(tmp_path):
    rows, about = run.load_results(RESULTS / "deep")
    assert {row["peer"] for row in rows} == {"PCA", *deep.CHOICES}
    assert {choice.optimizer for choice in deep.CHOICES.values()} <= OPTIMIZERS.keys()
    assert about["summary"] == deep.summarise_deep(rows)
    deep_pages.write_deep(tmp_path, RESULTS)
    table = (tmp_path / "deep.inc").read_text()
    for row in rows:
        if row["set"] == "fits":
            assert f"     - {row['error']:.2f}\n" in table
        if row["set"] == "whole":
            assert f"     - {row['error']:.2f}\n" in (tmp_path / "deep_whole.inc").read_text()
    page = (ROOT / "docs/benchmarks/optimizers.rst").read_text()
    wanted = re.findall(r"include:: /generated/(\S+)", page)
    assert set(wanted) == {path.name for path in tmp_path.iterdir()}
