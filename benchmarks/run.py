"""Runs a task, writes each row as it is measured, and says on what machine."""

import csv
import importlib.metadata
import io
import json
import os
import platform
from datetime import date
from pathlib import Path

import threadpoolctl
import torch
from tqdm import tqdm

from .tasks import TASKS

PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "torch",
    "skorch",
    "pyod",
    "scikit-image",
    "onnxruntime",
)
_NUMBERS = {
    "n_rows": int,
    "n_features": int,
    "k": int,
    "seed": int,
    "batch_size": int,
    "n_iter": int,
    "best_iter": int,
    "chosen_on": int,
    "dimension": int,
}
_TEXTS = {"set", "case", "peer", "family", "metric", "setting", "kind", "images"}


def hardware():
    """Return what the machine is, as far as it says."""
    info = {
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "threads": 1,
    }
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        info["cpu"] = models[0].split(":")[1].strip() if models else None
        pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        info["memory_gib"] = round(pages / 2**30, 1)
    return info


def versions():
    """Return the versions of what was measured."""
    import skae

    found = {"python": platform.python_version(), "skae": skae.__version__}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def _read_value(key, text):
    if key in _TEXTS:
        return text
    return None if text == "" else _NUMBERS.get(key, float)(text)


def load_results(path):
    """Return the rows and the metadata of a result file, named without its ending."""
    with Path(f"{path}.csv").open(newline="") as file:
        rows = [{k: _read_value(k, v) for k, v in row.items()} for row in csv.DictReader(file)]
    return rows, json.loads(Path(f"{path}.json").read_text())


def _replace(path, text):
    # An interrupted run must leave a file that can be read.
    beside = Path(f"{path}.part")
    beside.write_text(text)
    os.replace(beside, path)


def _write(out, rows, about):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    _replace(f"{out}.json", json.dumps(about, indent=2) + "\n")
    _replace(f"{out}.csv", text.getvalue())


def _check_same_origin(first, second):
    for key in ("versions", "hardware"):
        # a package that one of them does not know of had no part in it
        known = [
            name for name, value in second[key].items() if None not in (value, first[key].get(name))
        ]
        if any(first[key][name] != second[key][name] for name in known):
            raise ValueError(f"{key} differ: {first[key]} and {second[key]}; measure them anew")


def run(task_name, names, n_seeds, out, resume=False, **options):
    """Run a task and return what is known of it; with ``resume`` the rows of ``out`` are kept.

    `options` are those of the task's function.
    """
    task = TASKS[task_name]
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    about = {
        "task": task_name,
        "protocol": task.protocol,
        "date": date.today().isoformat(),
        "versions": versions(),
        "hardware": hardware(),
        "left_out": [],
        "summary": {},
    }
    rows, before = [], None
    if resume and Path(f"{out}.csv").exists():
        rows, before = load_results(out)
        _check_same_origin(before, about)
        # The sets of this run are told of anew.
        about["left_out"] = [e for e in before["left_out"] if e["set"] not in names]
    n_before = len(rows)
    done = {tuple(row[key] for key in task.key) for row in rows}

    def leave_out(name, peer, why):
        about["left_out"].append({"set": name, "peer": peer, "why": why})

    torch.set_num_threads(1)
    with threadpoolctl.threadpool_limits(1), tqdm(unit="fit", disable=None) as bar:
        for row in task.run(names, n_seeds, done, leave_out, **options):
            rows.append(row)
            bar.set_postfix_str(" ".join(str(row[key]) for key in task.key))
            bar.update()
            _write(out, rows, about)
    if not rows:
        reasons = [entry["why"] for entry in about["left_out"]]
        raise ValueError("nothing could be measured: " + "; ".join(reasons))
    if len(rows) == n_before:
        about["date"] = before["date"]
    about["summary"] = task.summarise(rows)
    _write(out, rows, about)
    return about


def merge(task_name, parts, out):
    """Join the results of runs over different sets, on one machine, into one."""
    task = TASKS[task_name]
    loaded = [load_results(part) for part in parts]
    rows = [row for part, _ in loaded for row in part]
    keys = [tuple(row[key] for key in task.key) for row in rows]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"{twice} is in more than one of {parts}")
    about = dict(loaded[0][1])
    for _, part in loaded[1:]:
        _check_same_origin(about, part)
        known = {name: value for name, value in part["versions"].items() if value is not None}
        about["versions"] = about["versions"] | known
    about["protocol"] = task.protocol
    about["date"] = max(part["date"] for _, part in loaded)
    left_out = [entry for _, part in loaded for entry in part["left_out"]]
    about["left_out"] = [entry for i, entry in enumerate(left_out) if entry not in left_out[:i]]
    about["summary"] = task.summarise(rows)
    _write(out, rows, about)
    return about


def _as_text(value):
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)


def _as_cell(value):
    if value is None:
        return " " * 9
    return f"{value:9d}" if isinstance(value, int) else f"{value:9.3f}"


def table(task_name, about):
    """Return the summary as text."""
    columns = TASKS[task_name].columns
    if not columns:
        return "\n".join(
            f"{name}: "
            + ", ".join(f"{metric} {_as_text(value)}" for metric, value in entry.items())
            for name, entry in about["summary"].items()
        )
    width = 2 + max(map(len, ["peer", *about["summary"]]))
    lines = ["peer".ljust(width) + "".join(f"{title:>9s}" for title in columns.values())]
    for peer, entry in about["summary"].items():
        cells = (entry.get(key) for key in columns)
        lines.append(peer.ljust(width) + "".join(_as_cell(value) for value in cells))
    lines += [f"left out: {e['peer']} on {e['set']}: {e['why']}" for e in about["left_out"]]
    return "\n".join(lines)
