"""The benchmark measures what it says, resumes, and tells what it leaves out."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks import datasets, peers, run, summary, tasks
from benchmarks.__main__ import main


@pytest.fixture(autouse=True)
def quick_peers(monkeypatch):
    """Leave two peers, the second a PCA that is called skae and has a history."""

    def quick(X, k, seed):
        fitted = peers.pca(X, k, seed)
        fitted.history = [(0.5, 1.0), (1.5, 0.8), (2.5, 0.69)]
        return fitted

    monkeypatch.setattr(
        tasks, "PEERS", {"PCA": peers.PEERS["PCA"], "skae": peers.Peer(quick, "skae")}
    )
    monkeypatch.setattr(tasks, "start_loss", lambda X, k, seed: 1.0)


@pytest.mark.parametrize("name", ["digits", "wine", "iris", "diabetes", "swiss_roll", "s_curve"])
def test_sets_are_rows_of_finite_numbers(name):
    X = datasets.DATASETS[name].load()
    assert X.ndim == 2
    assert np.isfinite(X).all()


def test_widths_follow_the_protocol():
    table, images = datasets.DATASETS["wine"], datasets.DATASETS["digits"]
    assert datasets.code_widths(table, 13) == [1, 2, 3, 6]
    assert datasets.code_widths(table, 4) == [1, 2]
    assert datasets.code_widths(table, 2) == [1]
    assert datasets.code_widths(images, 64) == [2, 8, 32]


def test_a_run_writes_measures_and_resumes(tmp_path, capsys):
    out = tmp_path / "results" / "r"
    arguments = ["reconstruction", "--sets", "iris", "--seeds", "1", "--out", str(out)]
    assert main(arguments) == 0
    assert "PCA" in capsys.readouterr().out
    rows, about = run.load_results(out)
    assert [(row["k"], row["peer"]) for row in rows] == [
        (1, "PCA"),
        (1, "skae"),
        (2, "PCA"),
        (2, "skae"),
    ]
    train, test = train_test_split(load_iris().data, test_size=0.25, random_state=0)
    scaler = StandardScaler().fit(train)
    pca = PCA(1).fit(scaler.transform(train))
    x = scaler.transform(test)
    error = ((x - pca.inverse_transform(pca.transform(x))) ** 2).mean()
    assert_allclose(rows[0]["error"], error)
    assert rows[1]["ratio_to_pca"] == 1
    assert rows[1]["seconds_to_0.9"] == 1.5
    assert rows[1]["seconds_to_0.7"] == 2.5
    assert rows[0]["seconds_to_0.9"] is None
    assert about["hardware"]["cores"] >= 1
    assert about["versions"]["torch"]
    before = out.with_suffix(".csv").read_text()
    main(["reconstruction", "--sets", "iris", "--seeds", "2", "--out", str(out), "--resume"])
    assert out.with_suffix(".csv").read_text().startswith(before)
    assert len(run.load_results(out)[0]) == 8


def test_rows_are_measured_anew_unless_resumed(tmp_path):
    out = tmp_path / "v0.1"
    arguments = ["reconstruction", "--sets", "iris", "--seeds", "1", "--out", str(out)]
    main(arguments)
    table = tmp_path / "v0.1.csv"
    kept = [line.replace("iris,150", "iris,7") for line in table.read_text().splitlines()[:2]]
    table.write_text("\n".join(kept) + "\n")
    main([*arguments, "--resume"])
    assert [row["n_rows"] for row in run.load_results(out)[0]] == [7, 150, 150, 150]
    main(arguments)
    assert [row["n_rows"] for row in run.load_results(out)[0]] == [150] * 4


def test_a_resumed_split_has_its_seconds(tmp_path, monkeypatch):
    monkeypatch.setitem(tasks.PEERS, "another", tasks.PEERS["skae"])
    out = tmp_path / "r"
    arguments = ["reconstruction", "--sets", "iris", "--seeds", "1", "--out", str(out)]
    main(arguments)
    table = tmp_path / "r.csv"
    table.write_text("".join(table.read_text().splitlines(True)[:3]))  # PCA and skae at k=1
    main([*arguments, "--resume"])
    rows = [row for row in run.load_results(out)[0] if row["peer"] == "another"]
    assert [row["seconds_to_0.9"] for row in rows] == [1.5, 1.5]


@pytest.mark.parametrize("change", [{"versions": {"torch": "0.1"}}, {"hardware": {"cpu": "Z80"}}])
def test_rows_of_another_origin_are_not_mixed(tmp_path, change, capsys):
    out = tmp_path / "r"
    arguments = ["reconstruction", "--sets", "iris", "--seeds", "1", "--out", str(out)]
    main(arguments)
    about = run.load_results(out)[1]
    (tmp_path / "r.json").write_text(json.dumps(about | change))
    with pytest.raises(SystemExit):
        main([*arguments, "--resume"])
    assert f"{next(iter(change))} differ" in capsys.readouterr().err
    assert run.load_results(out)[1] == about | change


def test_the_start_is_the_loss_of_pca():
    X = load_iris().data
    assert_allclose(peers.start_loss(X, 2, 1), peers.skae(X, 2, 1).history[0][1])


def test_parts_are_merged(tmp_path):
    for name in ("iris", "wine"):
        main(["reconstruction", "--sets", name, "--seeds", "1", "--out", str(tmp_path / name)])
    parts = [str(tmp_path / name) for name in ("iris", "wine")]
    main(["reconstruction", "--merge", *parts, "--out", str(tmp_path / "all")])
    rows, about = run.load_results(tmp_path / "all")
    assert {row["set"] for row in rows} == {"iris", "wine"}
    assert about["summary"]["skae"]["pairs"] == 6
    with pytest.raises(SystemExit):
        main(["reconstruction", "--merge", parts[0], parts[0], "--out", str(tmp_path / "twice")])


def test_what_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("SKAE_FASHION_MNIST", str(tmp_path / "nowhere"))
    monkeypatch.setitem(tasks.PEERS, "absent", peers.Peer(peers.pca, "no_such_package"))
    monkeypatch.setitem(tasks.PEERS, "slow", peers.Peer(peers.pca, "sklearn", max_cells=10))
    # the absent peer must not be asked to warm up either
    out = tmp_path / "r"
    sets = ["fashion_mnist_10k", "iris"]
    main(["reconstruction", "--sets", *sets, "--seeds", "1", "--out", str(out)])
    left_out = {(e["set"], e["peer"]): e["why"] for e in run.load_results(out)[1]["left_out"]}
    assert "apt-get install dataset-fashion-mnist" in left_out["fashion_mnist_10k", "every peer"]
    assert "no_such_package is not installed" in left_out["iris", "absent"]
    assert "the limit for its fit time is 10" in left_out["iris", "slow"]
    del tasks.PEERS["absent"], tasks.PEERS["slow"]
    main(["reconstruction", "--sets", "iris", "--seeds", "1", "--out", str(out), "--resume"])
    left_out = run.load_results(out)[1]["left_out"]
    assert [entry["set"] for entry in left_out] == ["fashion_mnist_10k"]


@pytest.mark.parametrize("arguments", [["reconstruction", "--sets", "mnist"], ["speed_of_light"]])
def test_a_bad_name_ends_with_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "invalid choice" in capsys.readouterr().err


def test_nothing_to_measure_ends_with_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SKAE_FASHION_MNIST", str(tmp_path / "nowhere"))
    with pytest.raises(SystemExit) as ended:
        main(["reconstruction", "--sets", "fashion_mnist_10k", "--out", str(tmp_path / "r")])
    assert ended.value.code == 2
    assert "nothing could be measured: no file" in capsys.readouterr().err


def test_summary_is_the_geometric_mean_over_the_pairs():
    rows = [
        {
            "set": "a",
            "k": k,
            "seed": seed,
            "peer": peer,
            "ratio_to_pca": ratio,
            "fit_seconds": 2.0,
            "best_iter": None if peer == "PCA" else 1,
            "seconds_to_0.9": 3.0 if (k, seed) == (1, 0) and peer != "PCA" else None,
            "seconds_to_0.7": None,
        }
        for peer, k, seed, ratio in [
            ("PCA", 1, 0, 1.0),
            ("PCA", 2, 0, 1.0),
            ("skae", 1, 0, 0.3),
            ("skae", 1, 1, 0.5),
            ("skae", 2, 0, 1.6),
        ]
    ]
    rows.append(rows[0] | {"seed": 1})
    found = summary.summarise_reconstruction(rows)["skae"]
    assert_allclose(found["geometric_mean"], np.sqrt(0.4 * 1.6))
    assert (found["worst_k"], found["pairs_above_1.01"]) == (2, 1)
    assert (found["median_seconds_to_0.9_shared"], found["median_seconds_to_0.7"]) == (3.0, None)
