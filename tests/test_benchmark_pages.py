"""The page of costs is written from result files, and says where a target is missed."""

import csv
import json
import re
from pathlib import Path

import benchmark_pictures
import cost_pages
import pytest

from benchmarks.run import load_results
from benchmarks.summary import geometric_mean, mean_ratios

pytestmark = pytest.mark.extended

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
ABOUT = {
    "date": "2026-01-02",
    "versions": {"skae": "0", "pyod": None},
    "hardware": {"machine": "abacus", "cores": 2},
    "protocol": "Turn by turn.",
    "left_out": [{"set": "epoch", "peer": "PyOD AutoEncoder, c", "why": "not there"}],
}


def write(path, figures):
    """Write a result file of {(part, case, peer, metric): values of the repeats}."""
    rows = [
        {
            "set": part,
            "case": case,
            "n_rows": 10,
            "n_features": 3,
            "k": 2,
            "seed": seed,
            "peer": peer,
            "metric": metric,
            "value": value,
        }
        for (part, case, peer, metric), values in figures.items()
        for seed, value in enumerate(values)
    ]
    with Path(f"{path}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    Path(f"{path}.json").write_text(json.dumps(ABOUT))


@pytest.fixture
def page(tmp_path):
    """Write all tables of a small run; return a function that reads one."""
    case, quick = "5 x 3, hidden (8,), batch 32", "5 x 3, hidden (8,), batch 512"
    speed = {
        ("epoch", case, "torch loop", "seconds"): [2.0, 4.0, 2.0],
        ("epoch", case, "skae", "seconds"): [3.0, 6.0, 9.0],
        ("epoch", case, "skorch", "seconds"): [6.0, 12.0, 18.0],
        ("epoch", quick, "torch loop", "seconds"): [1.0],
        ("epoch", quick, "skae", "seconds"): [1.0],
        ("to_error", "iris", "MLPRegressor", "seconds"): [7.0],
        ("to_error", "iris", "skae to MLPRegressor's", "seconds"): [""],
        ("import", "a new process", "torch, skorch", "seconds"): [1.0],
        ("import", "a new process", "torch, skorch, skae", "seconds"): [1.0625],
    }
    memory = {
        ("patches", "9 x 9", peer, metric): [value]
        for peer in ("skae", "PCA")
        for metric, value in (("beyond_mb", 1234.5), ("peak_mb", 2345.6), ("seconds", 1.5))
    }
    growth = {
        (part, "10 x 3", peer, "seconds"): [1.0]
        for part in cost_pages.AXES
        for peer in ("PCA", "skae")
    }
    search, plain, at_once = "9 x 3, 64 wide", "GridSearchCV", "BatchedGridSearchCV"
    batched = {
        ("batched", search, plain, "seconds"): [6.0],
        ("batched", search, at_once, "seconds"): [1.5],
        ("batched", search, at_once, "largest_difference"): [2e-8],
        ("batched", search, at_once, "same_best"): [1.0],
    }
    serving = {
        ("serving", "score, 1,000 rows", "skae", "seconds"): [0.5],
        ("serving", "score, 1,000 rows", "onnxruntime", "seconds"): [0.25],
        ("serving", "packages", "skae", "mb"): [1000.0],
        ("serving", "packages", "onnxruntime", "mb"): [100.0],
    }
    files = {"speed": speed, "memory": memory, "growth": growth}
    files |= {"batched": batched, "serving": serving}
    for name, figures in files.items():
        write(tmp_path / name, figures)
    cost_pages.write_costs(tmp_path, tmp_path)
    return lambda name: (tmp_path / name).read_text()


def cells(text, first):
    """Return the cells of the row that starts with a text."""
    for row in text.split("   * - ")[1:]:
        found = [cell.strip() for cell in row.split("     - ")]
        if found[0] == first:
            return found
    raise AssertionError(f"no row {first}")


def test_targets_say_what_is_missed(page):
    text = page("costs_targets.inc")
    # the median of 1.5, 1.5 and 4.5 is farther off than 1
    assert cells(text, "epoch: skae / torch loop") == [
        "epoch: skae / torch loop",
        "at most 1.05",
        "1.25",
        "1.5",
        "5 x 3, hidden (8,), batch 32",
        "**1 of 2**",
    ]
    assert cells(text, "epoch: skae / skorch (batch 32)")[-1] == "1 of 1"
    assert cells(text, "import: torch, skorch, skae / torch, skorch")[3] == "1.06"
    assert cells(text, "search: n_jobs=1 / n_jobs=2")[-1] == "not measured"
    missed = page("costs_missed.inc")
    assert cells(missed, "patches: skae, beyond_mb")[1:] == ["at most 300", "9 x 9", "1,234"]
    assert "batch 512" not in missed


def test_tables_have_the_ratios_and_what_is_not_there(page):
    row = cells(page("costs_epoch.inc"), "5 x 3, hidden (8,), batch 32")
    assert row[1:] == ["2", "1.50", "", "3.00", "", ""]
    row = cells(page("costs_to_error.inc"), "iris")
    assert row[1:5] == ["2", "7", "never", "0.0"]
    assert row[5:] == ["", "", ""]
    row = cells(page("costs_batched.inc"), "9 x 3, 64 wide")
    assert row[1:] == ["6", "1.5", "4.0", "2e-08", "yes"]
    row = cells(page("costs_serving.inc"), "score, 1,000 rows")
    assert row[1:] == ["500 ms", "250 ms", "4,000", "0.50"]
    row = cells(page("costs_serving.inc"), "packages")
    assert row[1:] == ["1,000 MB", "100 MB", "", "0.10"]
    assert "not there" in page("costs_left_out.inc")
    assert "2026-01-02 on abacus" in page("costs_growth_summary.inc")
    assert "<svg" in page("costs_growth.svg")


def test_the_pictures_show_the_result_files(tmp_path):
    benchmark_pictures.draw(tmp_path, RESULTS)
    page = (RESULTS.parents[1] / "docs" / "benchmarks.rst").read_text()
    shown = set(re.findall(r"generated/(picture_\w+\.svg)", page))
    assert shown == {path.name for path in tmp_path.glob("*.svg")}

    rows = load_results(RESULTS / "reconstruction")[0]
    axes = benchmark_pictures.error_picture(rows).axes[0]
    [ours] = [line for line in axes.lines if line.get_label() == "skae"]
    ratios = mean_ratios(rows)["skae"]
    digits = geometric_mean(ratio for (name, _), ratio in ratios.items() if name == "digits")
    assert ours.get_xdata()[axes_labels(axes).index("digits")] == pytest.approx(digits)

    summary = load_results(RESULTS / "anomaly")[1]["summary"]
    axes = benchmark_pictures.detection_picture(summary).axes[1]
    place = axes_labels(benchmark_pictures.detection_picture(summary).axes[0]).index("skae")
    found = [
        line.get_xdata()[0]
        for line in axes.lines
        if len(line.get_xdata()) == 1 and line.get_ydata()[0] == place
    ]
    # the score that halves of the sets chose, on the other halves
    assert found == [summary["the choice (clean)"]["not_chosen_on"]]


def axes_labels(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def test_the_detectors_of_the_picture_are_the_choice_and_others():
    summary = load_results(RESULTS / "anomaly")[1]["summary"]
    labels = axes_labels(benchmark_pictures.detection_picture(summary).axes[0])
    assert [label for label in labels if label.startswith("skae")] == ["skae"]
    assert {"IsolationForest", "DTE-NP", "PyOD KNN"} <= set(labels)
