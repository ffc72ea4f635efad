"""What holds for the project as a whole: layers, lengths, docstrings, the README's code."""

import ast
import doctest
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from numpydoc.validate import validate

import skae
from benchmarks.costs import case_ratios
from benchmarks.run import load_results
from skae._utils.registry import Strategy
from skae.architectures import ARCHITECTURES
from tests.pages import python_blocks

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "skae").rglob("*.py"))
# The rooms in the order in which they may import from each other.
ROOMS = re.findall(r"^\* ``(\w+)``:", (ROOT / "docs/architecture.rst").read_text(), re.MULTILINE)
PUBLIC_MODULES = [
    "skae",
    "skae.architectures",
    "skae.compare",
    "skae.corruptions",
    "skae.drift",
    "skae.export",
    "skae.io",
    "skae.losses",
    "skae.metrics",
    "skae.model_selection",
    "skae.optimizers",
    "skae.penalties",
    "skae.plotting",
    "skae.schedules",
    "skae.scorings",
    "skae.tables",
]


def room(path):
    return path.relative_to(ROOT / "skae").parts[0].removesuffix(".py")


def imported_rooms(path):
    depth = len(path.relative_to(ROOT / "skae").parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            modules = {path.stem for path in (ROOT / "skae").iterdir()}
            names = [node.module] if node.module else [alias.name for alias in node.names]
            # what is no module is a name of skae itself
            names = [name.split(".")[0] for name in names]
            yield from (name if name in modules else "__init__" for name in names)


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_imports_go_one_way(path):
    for name in imported_rooms(path):
        assert ROOMS.index(name) <= ROOMS.index(room(path)), f"{path.name} imports {name}"


def test_every_room_is_on_the_page():
    assert sorted(ROOMS) == sorted({room(path) for path in SOURCES})


@pytest.mark.parametrize("name", ["tables", "metrics", "plotting", "cli"])
def test_some_rooms_use_no_private_ones(name):
    paths = [path for path in SOURCES if room(path) == name]
    private = [n for path in paths for n in imported_rooms(path) if n.startswith("_")]
    assert paths
    allowed = {"__init__", "_utils"} if name in ("tables", "cli") else {"__init__"}
    assert allowed.issuperset(private)


# A class with its parameters and docstrings is one idea. The others are one fit, one net, and all
# that is private in torch: in more files a newcomer would have more to follow.
LONG = {
    "_detector.py": 835,
    "_fit.py": 775,
    "_training/fast.py": 410,
    "_training/net.py": 540,
    "_training/together.py": 485,
    "_transformer.py": 865,
    "_utils/torch.py": 500,
    "architectures/_base.py": 515,
    "losses/_base.py": 415,
}


@pytest.mark.parametrize(
    "path", [*SOURCES, *(ROOT / "benchmarks").glob("*.py")], ids=lambda path: path.name
)
def test_files_are_short(path):
    name = path.relative_to(ROOT / path.relative_to(ROOT).parts[0]).as_posix()
    assert len(path.read_text().splitlines()) <= LONG.get(name, 400)


# What a newcomer has to follow, and the largest number of files that it may run through.
CALLS = {
    "transformer.fit(X)": 19,
    "transformer.transform(X)": 8,
    "detector.fit(X)": 24,
}


def test_a_call_runs_through_few_files():
    code = """
import sys
import numpy as np
import skae
root = skae.__path__[0]
X = np.random.default_rng(0).normal(size=(200, 6))
transformer = skae.AutoencoderTransformer(max_iter=3, random_state=0)
detector = skae.AutoencoderAnomalyDetector(max_iter=3, random_state=0)
for call in sys.argv[1:]:
    found = set()
    def note(frame, event, argument):
        if frame.f_code.co_filename.startswith(root):
            found.add(frame.f_code.co_filename)
    sys.setprofile(note)
    exec(call)
    sys.setprofile(None)
    print(len(found), *sorted(found))
"""
    command = [sys.executable, "-c", code, *CALLS]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for (call, most), line in zip(CALLS.items(), printed.splitlines(), strict=True):
        assert int(line.split()[0]) <= most, f"{call}: {line}"


def public_callables():
    """Return {dotted name: object} of the classes and functions in every ``__all__``."""
    found = {}
    for name in PUBLIC_MODULES:
        module = importlib.import_module(name)
        things = {key: getattr(module, key) for key in module.__all__}
        found |= {f"{name}.{key}": thing for key, thing in things.items() if callable(thing)}
    return found


def is_abstract(thing):
    """Return whether a class is a kind of strategy, which has the documentation of its hooks."""
    return isinstance(thing, type) and Strategy in thing.__bases__


def public_objects():
    """Yield the dotted names of what must have a docstring."""
    for name, thing in public_callables().items():
        yield name
        if isinstance(thing, type):
            inherited = {m for base in thing.__mro__[1:] for m in vars(base)}
            if not is_abstract(thing) and issubclass(thing, Strategy):
                own = {m for m in vars(thing) if m not in inherited}
            else:
                own = set(vars(thing))
            # scikit-learn writes the set_..._request methods
            own = {m for m in own if not m.startswith(("_", "set_"))}
            yield from (f"{name}.{m}" for m in own if inspect.isroutine(getattr(thing, m)))


# ES01 to EX01: an extended summary, "See Also" and examples are not needed of every method.
# GL01: the summary stands on the opening line. RT02: returned values have names.
IGNORED = {"ES01", "SA01", "EX01", "GL01", "RT02"}


@pytest.mark.parametrize("name", sorted(public_objects()))
def test_docstrings_are_numpydoc(name):
    found = validate(name)
    errors = [text for code, text in found["errors"] if code not in IGNORED]
    assert errors == []


def signatures(thing):
    """Yield the functions of a public object that users call: of strategies how they are made."""
    kinds = {kind.__module__.split(".")[1] for kind in Strategy.__subclasses__()}
    if not isinstance(thing, type):
        yield thing
        return
    for owner in thing.__mro__:
        if not owner.__module__.startswith("skae."):
            continue
        strategy = owner.__module__.split(".")[1] in kinds | {"_utils"}
        for name, value in vars(owner).items():
            function = value.fget if isinstance(value, property) else inspect.unwrap(value)
            function = getattr(function, "fn", getattr(function, "__func__", function))
            hook = strategy or name.startswith(("_", "set_"))
            if inspect.isfunction(function) and (name == "__init__" or not hook):
                yield function


@pytest.mark.parametrize("name", sorted(public_callables()))
def test_public_signatures_have_types(name):
    for function in signatures(public_callables()[name]):
        parameters = inspect.signature(function).parameters.values()
        bare = [p.name for p in parameters if p.annotation is p.empty]
        assert set(bare) <= {"self", "cls"}, function
        assert function.__name__ == "__init__" or "return" in function.__annotations__, function


@pytest.mark.extended
@pytest.mark.parametrize("name", sorted(public_callables()))
def test_examples_run(name):
    thing = public_callables()[name]
    tests = [t for t in doctest.DocTestFinder(recurse=False).find(thing, name) if t.examples]
    assert tests or is_abstract(thing), f"{name} has no example"
    for test in tests:
        assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.extended
@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs/variants").glob("*.rst")), ids=lambda page: page.stem
)
def test_code_of_the_variants_runs(page):
    registry = dict(ARCHITECTURES)
    blocks = python_blocks(page)
    assert blocks or page.stem == "index"
    names = {}
    for block in blocks:
        exec(block, names)
    # what a page registers is its own
    for name in ARCHITECTURES.keys() - registry:
        del ARCHITECTURES[name]


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_readme_code_runs(whole, tmp_path, monkeypatch, capsys, request):
    monkeypatch.chdir(tmp_path)
    if not whole:
        request.getfixturevalue("short_fits")
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == text.count("```python")
    names = {}
    for block, printed in blocks:
        exec(block, names)
        found = capsys.readouterr().out
        assert found == printed if whole else found.count("\n") == printed.count("\n")


def test_readme_names_extras_that_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    text = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"(?:skae|\.)\[([\w,]+)\]", text)
    assert named
    assert {extra for group in named for extra in group.split(",")} <= set(extras)


def test_every_folder_is_a_package():
    # setuptools finds those only
    assert {path.parent for path in SOURCES} == {
        path.parent for path in SOURCES if path.name == "__init__.py"
    }


def test_the_version_is_one():
    assert skae.__version__ in (ROOT / "CHANGELOG.md").read_text()
    assert f"version: {skae.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_workflows_run_every_step():
    [steps] = re.findall(r'^all="(.*)"$', (ROOT / ".ci/run").read_text(), re.MULTILINE)
    text = (ROOT / ".github/workflows/tests.yml").read_text()
    runs = re.findall(r"steps: ([\w ]+), python", text)
    assert {step for run in runs for step in run.split()} == set(steps.split())
    assert ".ci/run ${{ matrix.steps }}" in text


def readme_figures():
    """Return the figures of the README's table, from the committed result files."""
    results = ROOT / "benchmarks/results"
    names = ("speed", "anomaly", "calibration", "never_worse", "tables")
    speed, anomaly, calibration, worse, tables = (load_results(results / name)[0] for name in names)
    fresh, about = load_results(results / "fresh")
    fresh_seconds, at_start = (
        [row[key] for row in fresh if row["peer"] == "skae"] for key in ("fit_seconds", "best_iter")
    )
    error = {peer: f"{e['geometric_mean']:.2f}" for peer, e in about["summary"].items()}

    def between(part, peer, over):
        ratios = [r for r in case_ratios(speed, part, peer, over).values() if r is not None]
        return min(ratios), float(np.median(ratios)), max(ratios)

    def mean(rows, metric, peer, **where):
        rows = [r for r in rows if "mlbench" in r["set"] and r["peer"] == peer]
        return np.mean([r[metric] for r in rows if where.items() <= r.items()])

    def alarms(peer):
        shares = [mean(calibration, "false_alarms", peer, alpha=a) for a in (0.01, 0.05, 0.1)]
        return "{:.1f}, {:.1f} and {:.1f} %".format(*(100 * share for share in shares))

    detectors, wide = (load_results(results / n)[1]["summary"] for n in ("anomaly", "wide"))

    def both(peer, figure, form):
        settings = ("contaminated", "clean")
        return " and ".join(form.format(detectors[f"{peer} ({s})"][figure]) for s in settings)

    def clean(peer):
        others = [r for r in anomaly if r["peer"] == peer and r["setting"] == "clean"]
        return np.mean([r["roc_auc"] for r in others if "oddbench" not in r["set"]])

    glass = [
        row["false_alarms"]
        for row in calibration
        if (row["set"], row["peer"], row["alpha"]) == ("glass (mlbench)", "skae", 0.1)
    ]
    ratios = np.array([row["ratio_to_pca"] for row in worse])
    far = [r[key] for r in worse for key in r if key.startswith(("rows_at", "feature_at"))]
    planted = {
        peer: [r for r in tables if (r["case"], r["chosen_on"], r["peer"]) == ("planted", 0, peer)]
        for peer in ("skae", "IsolationForest")
    }
    auroc = {peer: np.mean([r["auroc"] for r in rows]) for peer, rows in planted.items()}
    flagged, named = (np.mean([r[key] for r in planted["skae"]]) for key in ("flagged", "named"))
    assert len({r["set"] for r in planted["skae"]}) == 14
    return [
        f"{np.sum(ratios > 1.01) or 'none'} of {len(worse)} tables above 1.01 times",
        f"{np.exp(np.log(ratios).mean()):.2f} times it in the mean",
        f"none above {np.ceil(100 * max(far)) / 100:.2f}",
        f"on {100 * np.mean([r['best_iter'] == 0 for r in worse]):.0f} % of these tables",
        both("the choice", "not_chosen_on", "{:.3f}"),
        f"`IsolationForest` {both('IsolationForest', 'not_chosen_on', '{:.3f}')}",
        f"five neighbours {both('DTE-NP', 'not_chosen_on', '{:.3f}')}",
        f"five neighbours have {clean('DTE-NP'):.3f} and skae {clean('skae'):.3f}",
        "`IsolationForest` has {:.3f} and skae {:.3f}".format(
            *(wide[f"{peer} (contaminated)"]["roc_auc"] for peer in ("IsolationForest", "skae"))
        ),
        f"{both('skae', 'mean_seconds_over_isolation_forest', '{:.1f}')} times",
        f"{alarms('skae')}; `IsolationForest` {alarms('IsolationForest')}",
        f"{100 * np.mean(glass):.1f} % for 10 %",
        f"{error['skae']} times PCA's error",
        f"`MLPRegressor` {error['MLPRegressor']}, the same net with a random start "
        f"{error['skae (random start)']}",
        f"on {about['summary']['skae']['pairs']} pairs",
        f"on {sum(best == 0 for best in at_start)} of {len(at_start)} fits it stays PCA",
        f"a fit takes {np.median(fresh_seconds):.0f} s, PCA's a millisecond",
        "scores {:.0f} to {:.0f} times".format(
            *between("detector", "skae, scores", "IsolationForest, scores")[::2]
        ),
        f"{auroc['skae']:.2f}; `IsolationForest` {auroc['IsolationForest']:.2f}",
        f"{100 - 100 * flagged:.0f} % of these rows are not flagged at p ≤ 0.05",
        f"in {100 - 100 * named:.0f} % another column is named",
    ]


def test_readme_table_has_measured_figures_only():
    text = (ROOT / "README.md").read_text().partition("## How good is it")[2]
    rows = re.findall(r"^\| (.*) \|$", text, re.MULTILINE)[1:]
    assert 1 <= len(rows) <= 5
    for row in rows:
        what, ours, losses = row.split(" | ")
        page, anchor = re.search(r"\((docs/[\w/]+.rst)#([\w-]+)\)", what).groups()
        headings = re.findall(r"^(.+)\n[-~]+$", (ROOT / page).read_text(), re.M)
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings}
        assert ours
        assert losses
    # nothing is left of the cells when the figures and the sizes asked for are taken away
    cells = " ".join(cell for row in rows for cell in row.split(" | ")[1:])
    for figure in readme_figures():
        assert figure in cells
        cells = cells.replace(figure, "")
    assert re.findall(r"\d+", cells) == []
