"""Runs a task, writes each row as it is measured, and says on what machine."""

import csv
import importlib.metadata
import json
import os
import platform
from datetime import date
from pathlib import Path

import threadpoolctl
import torch
from tqdm import tqdm

from .tasks import TASKS

PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "skorch", "pyod")
_NUMBERS = {
    "n_rows": int,
    "n_features": int,
    "k": int,
    "seed": int,
    "n_iter": int,
    "best_iter": int,
}
_TEXTS = {"set", "peer"}


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
    path = Path(path)
    with path.with_suffix(".csv").open(newline="") as file:
        rows = [{k: _read_value(k, v) for k, v in row.items()} for row in csv.DictReader(file)]
    return rows, json.loads(path.with_suffix(".json").read_text())


def _write(path, fields, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def run(task_name, names, n_seeds, out):
    """Run a task and return its summary; rows that ``out`` has already are not measured again."""
    task = TASKS[task_name]
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    table = out.with_suffix(".csv")
    rows, left_out = [], {}
    if out.with_suffix(".json").exists():
        rows, before = load_results(out)
        left_out = {(e["set"], e["peer"]): e["why"] for e in before["left_out"]}
    done = {tuple(row[key] for key in task.key) for row in rows}

    def leave_out(name, peer, why):
        left_out[name, peer] = why

    def write_about(summary):
        about = {
            "task": task_name,
            "protocol": task.protocol,
            "date": date.today().isoformat(),
            "versions": versions(),
            "hardware": hardware(),
            "left_out": [{"set": s, "peer": p, "why": w} for (s, p), w in left_out.items()],
            "summary": summary,
        }
        out.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n")
        return about

    torch.set_num_threads(1)
    with threadpoolctl.threadpool_limits(1), tqdm(unit="fit", disable=None) as bar:
        for row in task.run(names, n_seeds, done, leave_out):
            rows.append(row)
            bar.set_postfix_str(f"{row['set']} {row['k']} {row['peer']}")
            bar.update()
            _write(table, list(rows[0]), rows)
            write_about({})
    if not rows:
        raise ValueError("nothing could be measured: " + "; ".join(left_out.values()))
    return write_about(task.summarise(rows))


def merge(task_name, parts, out):
    """Join the results of runs over different sets into one."""
    task, out = TASKS[task_name], Path(out)
    loaded = [load_results(part) for part in parts]
    rows = [row for part, _ in loaded for row in part]
    about = dict(loaded[0][1])
    about["left_out"] = [entry for _, part in loaded for entry in part["left_out"]]
    about["summary"] = task.summarise(rows)
    _write(out.with_suffix(".csv"), list(rows[0]), rows)
    out.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n")
    return about


def table(about):
    """Return the summary as text."""
    lines = [
        f"{'peer':26s} {'pairs':>5s} {'ratio':>7s} {'worst':>7s} {'>1.01':>5s} {'seconds':>8s}"
    ]
    for peer, entry in about["summary"].items():
        lines.append(
            f"{peer:26s} {entry['pairs']:5d} {entry['geometric_mean']:7.3f} "
            f"{entry['worst_ratio']:7.3f} {entry['pairs_above_1.01']:5d} "
            f"{entry['median_fit_seconds']:8.2f}"
        )
    lines += [f"left out: {e['peer']} on {e['set']}: {e['why']}" for e in about["left_out"]]
    return "\n".join(lines)
