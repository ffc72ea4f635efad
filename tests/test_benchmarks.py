"""The benchmark measures what it says, resumes, and tells what it leaves out."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks import (
    anomaly,
    datasets,
    detectors,
    peers,
    probability,
    reconstruction,
    run,
    summary,
    tasks,
    wide,
)
from benchmarks.__main__ import main
from benchmarks.labelled import LABELLED, Labelled
from skae import AutoencoderAnomalyDetector

pytestmark = pytest.mark.extended


@pytest.fixture(autouse=True)
def quick_peers(monkeypatch):
    """Leave two peers, the second a PCA that is called skae and has a history."""

    def quick(X, k, seed):
        fitted = peers.pca(X, k, seed)
        fitted.history = [(0.5, 1.0), (1.5, 0.8), (2.5, 0.69)]
        return fitted

    monkeypatch.setattr(
        reconstruction, "PEERS", {"PCA": peers.PEERS["PCA"], "skae": peers.Peer(quick, "skae")}
    )
    monkeypatch.setattr(reconstruction, "start_loss", lambda X, k, seed: 1.0)


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
    monkeypatch.setitem(reconstruction.PEERS, "another", reconstruction.PEERS["skae"])
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
    monkeypatch.setitem(reconstruction.PEERS, "absent", peers.Peer(peers.pca, "no_such_package"))
    monkeypatch.setitem(
        reconstruction.PEERS, "slow", peers.Peer(peers.pca, "sklearn", max_cells=10)
    )
    # the absent peer must not be asked to warm up either
    out = tmp_path / "r"
    sets = ["fashion_mnist_10k", "iris"]
    main(["reconstruction", "--sets", *sets, "--seeds", "1", "--out", str(out)])
    left_out = {(e["set"], e["peer"]): e["why"] for e in run.load_results(out)[1]["left_out"]}
    assert "apt-get install dataset-fashion-mnist" in left_out["fashion_mnist_10k", "every peer"]
    assert "no_such_package is not installed" in left_out["iris", "absent"]
    assert "the limit for its fit time is 10" in left_out["iris", "slow"]
    del reconstruction.PEERS["absent"], reconstruction.PEERS["slow"]
    main(["reconstruction", "--sets", "iris", "--seeds", "1", "--out", str(out), "--resume"])
    left_out = run.load_results(out)[1]["left_out"]
    assert [entry["set"] for entry in left_out] == ["fashion_mnist_10k"]


@pytest.mark.parametrize("arguments", [["reconstruction", "--sets", "mnist"], ["speed_of_light"]])
def test_a_bad_name_ends_with_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert "invalid choice" in message or "no set mnist in reconstruction" in message


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


@pytest.fixture
def labelled(monkeypatch):
    """Leave a set with obvious anomalies, its twin, one that is not there, and two detectors."""
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(95, 3)), rng.normal(size=(5, 3)) + 20])
    y = np.repeat([0, 1], [95, 5])

    def absent():
        raise datasets.Unavailable("no file glass.npz")

    sets = {
        "blob": Labelled(lambda: (X, y), "made"),
        "again": Labelled(lambda: (X, y), "made", twin="blob"),
        "absent": Labelled(absent, "elsewhere"),
        "lonely": Labelled(lambda: (X, y), "made", twin="absent"),
    }
    monkeypatch.setattr(anomaly, "SETS", sets)
    kept = {title: detectors.DETECTORS[title] for title in ("OneClassSVM", "IsolationForest")}
    missing = detectors.Detector(None, "no_such_package", calibrated=True)
    monkeypatch.setattr(anomaly, "DETECTORS", kept | {"missing": missing})
    for name in ("anomaly", "calibration", "probability"):
        task = dataclasses.replace(tasks.TASKS[name], sets=sets)
        monkeypatch.setitem(tasks.TASKS, name, task)


def test_detectors_are_ranked_by_what_they_find(labelled, tmp_path, capsys):
    out = tmp_path / "a"
    assert main(["anomaly", "--seeds", "2", "--out", str(out)]) == 0
    rows, about = run.load_results(out)
    assert {row["set"] for row in rows} == {"blob", "lonely"}
    assert len(rows) == 2 * 2 * 2 * 2
    assert all(row["roc_auc"] == 1 for row in rows)
    # Five anomalies in a hundred rows, of which 70 are to fit: three or four of them anomalies.
    assert {row["n_rows"] for row in rows if row["setting"] == "contaminated"} == {70}
    assert {row["n_rows"] for row in rows if row["setting"] == "clean"} <= {66, 67}
    forest = about["summary"]["IsolationForest (clean)"]
    assert forest["mean_rank"] == 1.5
    assert forest["mean_seconds_over_isolation_forest"] == 1
    why = {(e["set"], e["peer"]): e["why"] for e in about["left_out"]}
    assert why["again", "every peer"] == "the same rows as blob"
    assert why["absent", "every peer"] == "no file glass.npz"
    assert "no_such_package" in why["blob", "missing"]
    assert "AUROC" in capsys.readouterr().out


def test_settings_and_peers_are_chosen(labelled, tmp_path):
    out = tmp_path / "a"
    chosen = ["--setting", "clean", "--peers", "IsolationForest"]
    assert main(["anomaly", "--sets", "blob", "--seeds", "1", "--out", str(out), *chosen]) == 0
    (row,), about = run.load_results(out)
    assert (row["setting"], row["peer"]) == ("clean", "IsolationForest")
    assert {"set": "every set", "peer": "OneClassSVM", "why": "not asked for"} in about["left_out"]
    with pytest.raises(SystemExit):
        main(["calibration", "--setting", "clean"])


def test_wide_tables_keep_a_tenth_of_anomalies_and_choose_nothing(labelled, monkeypatch, tmp_path):
    monkeypatch.setattr(wide, "WIDE", {})
    rows = np.random.default_rng(0).normal(size=(150, 200))
    odd = np.arange(150) >= 90
    wide.wide_set("made", "here")(lambda: (pd.DataFrame(rows + 9.0 * odd[:, None]), odd))
    X, y = wide.WIDE["made"].load()
    assert (X.shape, y.sum()) == ((100, 200), 10)
    monkeypatch.setattr(anomaly, "WIDE", wide.WIDE)
    monkeypatch.setitem(
        tasks.TASKS, "wide", dataclasses.replace(tasks.TASKS["wide"], sets=wide.WIDE)
    )
    out = tmp_path / "w"
    chosen = ["--seeds", "1", "--setting", "clean", "--peers", "IsolationForest", "OneClassSVM"]
    assert main(["wide", "--out", str(out), *chosen]) == 0
    found = run.load_results(out)[1]["summary"]
    assert found.keys() == {"IsolationForest (clean)", "OneClassSVM (clean)"}
    assert found["IsolationForest (clean)"]["roc_auc"] == 1
    assert "chosen_on" not in found["IsolationForest (clean)"]


def test_wide_tables_that_are_not_there_are_left_out(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(datasets.KERNLAB, str(tmp_path))
    with pytest.raises(SystemExit):
        main(["wide", "--sets", "musk", "--out", str(tmp_path / "w")])
    assert "apt-get download r-cran-kernlab" in capsys.readouterr().err


def test_a_folder_of_oddbench(labelled, tmp_path, capsys):
    rng = np.random.default_rng(0)
    test, labels = rng.normal(size=(41, 2)), np.arange(41) % 2
    test[labels == 1] += 9
    train = rng.normal(size=(60, 2))
    np.savez(tmp_path / "Made.npz", train=train, test=test, test_labels=labels)
    common = ["--oddbench", str(tmp_path), "--sets", "oddbench/Made", "--seeds", "1"]
    assert main(["anomaly", *common, "--out", str(tmp_path / "a")]) == 0
    rows, _ = run.load_results(tmp_path / "a")
    assert {(r["setting"], r["n_rows"]) for r in rows} == {("clean", 60), ("contaminated", 81)}
    assert all(row["roc_auc"] == 1 for row in rows)
    fitted, judged, truth = anomaly.SETS["oddbench/Made"].split("contaminated", 0)
    # No row is on both sides, and each keeps its label.
    assert not (fitted[:, None] == judged[None]).all(2).any()
    assert_array_equal(truth, (judged > 4.5).all(1))
    with pytest.raises(SystemExit):
        main(["anomaly", "--oddbench", str(tmp_path / "none")])
    assert "no .npz files" in capsys.readouterr().err


def test_a_choice_is_reported_on_the_sets_that_it_was_not_made_on():
    rng = np.random.default_rng(0)
    values = {(p, s): rng.random() for p in ("a", "b", "peer") for s in map(str, range(12))}
    rows = [
        {"peer": p, "set": s, "setting": setting, "roc_auc": v + (setting == "clean")}
        for (p, s), v in values.items()
        for setting in ("contaminated", "clean")
    ]
    means, chosen = summary.choose_on_halves(rows, ["a", "b"], n_halves=400)
    assert sum(chosen.values()) == 400
    assert "peer" not in chosen
    # What was chosen for its luck on one half has less of it on the other.
    on, off = means["the choice", "clean"]
    best = max(np.mean([values[p, str(s)] for s in range(12)]) for p in ("a", "b")) + 1
    assert on > best > off
    peer = np.mean([values["peer", str(s)] for s in range(12)])
    assert_allclose(means["peer", "contaminated"], peer, atol=0.02)


def test_false_alarms_are_counted_on_clean_rows_alone(labelled, tmp_path):
    out = tmp_path / "c"
    assert main(["calibration", "--sets", "blob", "--seeds", "1", "--out", str(out)]) == 0
    rows, about = run.load_results(out)
    assert {row["n_rows"] for row in rows} == {48}
    assert {row["alpha"] for row in rows} == {0.01, 0.05, 0.1}
    X = anomaly.SETS["blob"].load()[0][:95]
    train, test = np.array_split(X[np.random.default_rng(0).permutation(95)], 2)
    scaler = StandardScaler().fit(train)
    forest = IsolationForest(contamination=0.1, random_state=0).fit(scaler.transform(train))
    (row,) = (r for r in rows if r["alpha"] == 0.1 and r["peer"] == "IsolationForest")
    assert row["false_alarms"] == (forest.predict(scaler.transform(test)) == -1).mean()
    assert about["summary"]["IsolationForest"]["worst_set_0.1"] == "blob"
    above = row["false_alarms"] > 0.1
    assert about["summary"]["IsolationForest"]["above_0.1"] == above


def test_conditional_p_values_are_a_peer_beside_the_detectors_own(
    labelled, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(anomaly, "DETECTORS", {"skae": detectors.DETECTORS["skae"]})
    out = tmp_path / "c"
    chosen = ["calibration", "--sets", "blob", "--seeds", "2", "--out", str(out)]
    assert main(chosen) == 0
    rows, about = run.load_results(out)
    rates = {(r["peer"], r["alpha"], r["seed"]): r["false_alarms"] for r in rows}
    ours, careful = "skae", "skae, confidence=0.9"
    assert {peer for peer, _, _ in rates} == {ours, careful}
    X = anomaly.SETS["blob"].load()[0][:95]
    train, test = np.array_split(X[np.random.default_rng(1).permutation(95)], 2)
    scaler = StandardScaler().fit(train)
    model = AutoencoderAnomalyDetector(random_state=1).fit(scaler.transform(train))
    p_values = model.p_values(scaler.transform(test), confidence=0.9)
    assert rates[careful, 0.1, 1] == (p_values <= 0.1).mean()
    for peer in (ours, careful):
        above = [[rates[peer, a, s] > a for a in (0.01, 0.05, 0.1)] for s in (0, 1)]
        assert about["summary"][peer]["above_0.1"] == np.mean(above, axis=0)[2]
        assert about["summary"][peer]["above_any"] == np.any(above, axis=1).mean()
    # What is there already is neither fitted nor written twice.
    monkeypatch.setattr(anomaly, "_fit", None)
    monkeypatch.setattr(anomaly, "_warm_up", lambda found: None)
    assert main([*chosen, "--resume"]) == 0
    assert run.load_results(out)[0] == rows


def test_probabilities_are_judged_beside_the_constant(labelled, tmp_path, monkeypatch):
    monkeypatch.setattr(probability, "DETECTORS", detectors.DETECTORS)
    out = tmp_path / "p"
    assert main(["probability", "--sets", "blob", "--out", str(out)]) == 0
    rows, about = run.load_results(out)
    assert {row["setting"] for row in rows} == {"known", "auto"}
    assert len(rows) == 2 * (3 + len(probability.CANDIDATES))
    found = {(row["peer"], row["setting"]): row for row in rows}
    # Three or four anomalies in 70 rows to fit, one or two in 30 to judge.
    (share,) = {row["share_of_anomalies"] for row in rows}
    constant = found["constant", "auto"]
    assert_allclose(constant["brier"], share * 0.95**2 + (1 - share) * 0.05**2, atol=1e-4)
    assert_allclose(
        constant["log_loss"], -share * np.log(0.05) - (1 - share) * np.log(0.95), atol=1e-3
    )
    ours = about["summary"]["skae, roc_auc=0.8 (known)"]
    assert ours["log_loss"] < found["constant", "known"]["log_loss"]
    assert ours["better_than_constant"] == 1


def test_the_calibration_error_is_zero_where_bins_keep_their_word():
    chance = np.repeat([0.2, 0.4, 0.6, 0.8, 1.0], 100)
    truth = np.concatenate([np.arange(50) % 5 < 5 * p for p in chance[::50] - 1e-9]).astype(int)
    assert_allclose(probability.calibration_error(chance, truth), 0, atol=1e-12)
    assert_allclose(probability.calibration_error(chance - 0.1, truth), 0.1)
    known = np.array([0.0, 1.0, 2.0])
    assert_allclose(probability.linear(known, np.array([-1.0, 0.5, 9.0])), [0, 0.25, 1])
    one = stats.norm.cdf(1) - stats.norm.cdf(-1)
    spread = np.sqrt(2 / 3)
    assert_allclose(probability.unify(known, np.array([0.0, 1.0, 1 + spread])), [0, 0, one])


def test_every_detector_fits_and_scores():
    X = np.random.default_rng(0).normal(size=(80, 4))
    odd = np.full((1, 4), 30.0)
    for detector in detectors.DETECTORS.values():
        if detector.package == "pyod":
            continue  # an extra of the benchmarks, which the tests do without
        model, seconds = anomaly._fit(detector, X, 0.1, 0)
        assert seconds > 0
        assert detector.odd(model, odd)[0] > np.median(detector.odd(model, X))
        if detector.calibrated:
            assert detector.flags(model, odd)[0]


def test_sets_that_all_have_are_compared():
    values = {
        "a": {"x": 0.9, "y": 0.8, "z": 0.1},
        "b": {"x": 0.7, "y": 0.9},
        "c": {"x": 0.7, "y": 0.2},
    }
    scores, peers = summary.shared_scores(values)
    assert peers == ["a", "b", "c"]
    assert scores.tolist() == [[0.9, 0.7, 0.7], [0.8, 0.9, 0.2]]


def test_adbench_files_are_read_where_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv(datasets.ADBENCH, str(tmp_path))
    with pytest.raises(datasets.Unavailable, match="--adbench DIR"):
        LABELLED["glass"].load()
    np.savez(tmp_path / "14_glass.npz", X=np.ones((4, 2), np.float32), y=np.array([0, 1, 0, 0]))
    X, y = LABELLED["glass"].load()
    assert X.dtype == np.float64
    assert list(y) == [0, 1, 0, 0]
