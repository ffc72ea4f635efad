"""The benchmark of the variants: its engine, its data on disk, its figures."""

import gzip

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.metrics import mean_squared_error

from benchmarks import corpora, run
from benchmarks.__main__ import main
from benchmarks.datasets import Unavailable
from benchmarks.variants import FAMILIES, _figures, codes, generative

pytestmark = pytest.mark.extended


@pytest.fixture
def toy(monkeypatch):
    """A family of two peers that count their calls."""
    calls = []

    def family(seed):
        if seed > 1:
            raise Unavailable("no such seed")
        peers = {
            name: lambda name=name: calls.append(name) or {"error": 0.5 + seed, "psnr": 20.0}
            for name in ("PCA", "skae")
        }
        yield "numbers", 3, peers

    monkeypatch.setitem(FAMILIES, "toy", family)
    return calls


def test_families_are_measured_written_resumed_and_summed_up(toy, tmp_path, capsys):
    out = str(tmp_path / "v")
    assert main(["variants", "--sets", "toy", "--seeds", "2", "--out", out]) == 0
    assert "toy | numbers | 3 | PCA: error 1, psnr 20" in capsys.readouterr().out
    rows, about = run.load_results(out)
    assert len(rows) == 8
    assert rows[0] == {
        "family": "toy",
        "set": "numbers",
        "k": 3,
        "seed": 0,
        "peer": "PCA",
        "metric": "error",
        "value": 0.5,
    }
    assert about["summary"]["toy | numbers | 3 | skae"] == {"error": 1.0, "psnr": 20.0}
    assert len(toy) == 4
    main(["variants", "--merge", out, "--out", str(tmp_path / "merged")])
    assert run.load_results(tmp_path / "merged")[0] == rows
    main(["variants", "--sets", "toy", "--seeds", "3", "--out", out, "--resume"])
    assert len(toy) == 4
    _, about = run.load_results(out)
    assert about["left_out"] == [{"set": "toy", "peer": "every peer", "why": "no such seed"}]


def test_every_family_of_the_issue_is_there():
    assert set(FAMILIES) == {
        "dense",
        "convolutional",
        "sequences",
        "denoising",
        "sparse",
        "contractive",
        "generative",
        "ordered",
        "documents",
        "tokens",
        "clustering",
        "mixed",
    }


def test_a_real_family_on_digits(monkeypatch, tmp_path):
    monkeypatch.setattr(codes, "_EPOCHS", 1)
    monkeypatch.setenv("SKAE_FASHION_MNIST", str(tmp_path))
    out = str(tmp_path / "v")
    main(["variants", "--sets", "ordered", "--seeds", "1", "--out", out])
    rows, about = run.load_results(out)
    assert {row["set"] for row in rows} == {"digits"}
    assert "dataset-fashion-mnist" in about["left_out"][0]["why"]
    pca = [row["value"] for row in rows if row["peer"] == "PCA"]
    assert pca == sorted(pca, reverse=True)


def test_images_are_read_from_their_files(monkeypatch, tmp_path):
    monkeypatch.setenv("SKAE_FASHION_MNIST", str(tmp_path))
    random = np.random.default_rng(0)
    for kind in ("train", "t10k"):
        pixels = random.integers(256, size=(5, 784), dtype=np.uint8)
        for name, offset, data in (
            ("images-idx3", 16, pixels),
            ("labels-idx1", 8, np.arange(5, dtype=np.uint8)),
        ):
            with gzip.open(tmp_path / f"{kind}-{name}-ubyte.gz", "wb") as file:
                file.write(bytes(offset) + data.tobytes())
    train, test, y_train, y_test = corpora.fashion_mnist(3, 5, seed=0)
    assert train.shape == (3, 784)
    assert_array_equal(np.sort(y_test), np.arange(5))
    assert_allclose(test[np.argmax(y_test)] * 255, pixels[4], atol=1e-4)
    assert len(set(y_train)) == 3


def test_series_of_any_length_are_read(monkeypatch, tmp_path):
    folder = tmp_path / "Toy"
    folder.mkdir()
    for part, line in (("TRAIN", "1,2,3:4,5,6:a"), ("TEST", "7,8:9,10:b")):
        (folder / f"Toy_{part}.ts").write_text(f"# about\n@equalLength false\n@data\n{line}\n")
    monkeypatch.setenv("SKAE_AEON", str(tmp_path))
    X, y = corpora.series("Toy")
    assert_array_equal(X[0], [[1, 4], [2, 5], [3, 6]])
    assert_array_equal(X[1], [[7, 9], [8, 10], [np.nan, np.nan]])
    assert y.tolist() == ["a", "b"]


def test_glosses_are_read(monkeypatch, tmp_path):
    lines = [f"0000000{i} 0{i % 3} n 01 thing 0 000 | a thing of sort {i}; extra" for i in range(9)]
    (tmp_path / "data.noun").write_text("  1 This is the licence\n" + "\n".join(lines) + "\n")
    monkeypatch.setenv("SKAE_WORDNET", str(tmp_path))
    texts, topics = corpora.glosses(6, 3, seed=0)
    assert len(texts) == 6
    assert sorted(topics) == [0, 0, 1, 1, 2, 2]
    assert all(text.startswith("a thing of sort") and "extra" not in text for text in texts)
    assert corpora.words("Don't, a Thing!") == ["don", "t", "a", "thing"]
    monkeypatch.setenv("SKAE_WORDNET", str(tmp_path / "nowhere"))
    with pytest.raises(Unavailable, match="wordnet-base"):
        corpora.glosses(6, 3, seed=0)


def test_figures_are_what_they_are_called():
    images = load_digits().data[:50] / 16
    noisy = images + 0.1
    clipped = np.clip(noisy, 0, 1)
    errors = [mean_squared_error(a, b) for a, b in zip(images, clipped, strict=True)]
    expected = -10 * np.log10(errors)
    assert _figures.mean_psnr(images, noisy) == pytest.approx(np.mean(expected))
    labels = load_digits().target[:50]
    assert _figures.linear_accuracy(images, labels, images, labels) == 1.0


def test_the_discrepancy_has_no_bias():
    random = np.random.default_rng(0)
    same = [_figures.discrepancy(*random.normal(size=(2, 60, 3))) for _ in range(100)]
    assert abs(np.mean(same)) < 4 * np.std(same) / 10
    apart = _figures.discrepancy(random.normal(size=(60, 3)), random.normal(size=(60, 3)) + 1)
    assert apart > 5 * np.std(same)


def test_the_frechet_distance_of_shifted_and_scaled_samples():
    A = np.random.default_rng(0).normal(size=(2000, 3))
    assert generative._frechet(A, A) == pytest.approx(0, abs=1e-6)
    shift = np.array([3.0, 0.0, 4.0])
    assert generative._frechet(A, A + shift) == pytest.approx(25.0)
    # of N(0, 1) and N(0, 4) in three dimensions: 3 * (2 - 1) ** 2
    assert generative._frechet(A, 2 * A) == pytest.approx(3, rel=0.1)
