"""The code on the site's pages runs, and prints what the pages show."""

import contextlib
import io
import re
import shlex
from importlib.util import find_spec
from itertools import pairwise

import pytest

from skae import cli
from tests.pages import DOCS, code_blocks
from tests.test_project import readme_figures

pytestmark = pytest.mark.extended

NAMES = ["index", "quick_start", "parameters", "coming_from", "anomaly_detection", "drift"]
PAGES = [DOCS / f"{name}.rst" for name in NAMES]
PAGES += sorted((DOCS / "how_to").glob("*.rst")) + sorted((DOCS / "tutorials").glob("*.rst"))
PAGES.remove(DOCS / "how_to" / "tracking.rst")  # see test_tracking.py
# Of these what the code prints is tested as well, which takes as long as the training does.
PRINTING = [page for page in PAGES if "code-block:: text" in page.read_text()]
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def blocks(page):
    """Return the kind of each block of a page that is to run, its text, and what it prints."""
    found = [(language, text) for language, _, text in code_blocks(page)]
    return [
        (kind, text, after if after_kind == "text" else None)
        for (kind, text), (after_kind, after) in pairwise([*found, ("", "")])
        if kind != "text"
    ]


def output(kind, text, names):
    """Return what Python code or the commands of skae print."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        if kind == "python":
            exec(text, names)
        else:
            for line in text.splitlines():
                program, *arguments = shlex.split(line, comments=True) or [""]
                if program == "skae":
                    assert cli.main(arguments) in (0, None), line
    return printed.getvalue()


def assert_printed(printed, shown):
    """Check the words of what was printed; another processor may round the numbers differently."""
    printed, shown = printed.split(), shown.split()
    if shown[0] == "...":
        shown = shown[1:]
        printed = printed[-len(shown) :]
    found, wanted = " ".join(printed), " ".join(shown)
    assert NUMBER.sub("#", found) == NUMBER.sub("#", wanted)
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in (found, wanted)]
    assert numbers[0] == pytest.approx(numbers[1], rel=0.1, abs=0.02)


def skip_without_packages(page):
    """Skip a page for which there is a package missing that only the documentation needs."""
    for package in re.findall(r'files\("(\w+)"\)', page.read_text()):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


def with_marks(page):
    # the documentation cannot be made unless the code of a page with pictures runs
    drawn = "/generated/tutorials/" in page.read_text()
    return pytest.param(page, marks=[pytest.mark.slow] if drawn else [])


@pytest.mark.parametrize("page", [*map(with_marks, PAGES)], ids=lambda page: page.stem)
def test_code_of_the_pages_runs(page, short_fits, tmp_path, monkeypatch):
    skip_without_packages(page)
    monkeypatch.chdir(tmp_path)
    names = {}
    for kind, text, _ in blocks(page):
        if "import Checkpoint" in text or "import ProgressBar" in text:
            continue  # tested with skorch's and scikit-learn's callbacks
        arguments = " --max-iter 2" if text.startswith("skae compare") else ""
        text = re.sub(r"(max.iter[= ])\d\d+", r"\g<1>2", text)
        output(kind, text.rstrip() + arguments, names)


@pytest.mark.slow
@pytest.mark.parametrize("page", PRINTING, ids=lambda page: page.stem)
def test_pages_show_what_is_printed(page, tmp_path, monkeypatch):
    skip_without_packages(page)
    monkeypatch.chdir(tmp_path)
    names = {}
    for kind, text, shown in blocks(page):
        printed = output(kind, text, names)
        if shown is not None:
            assert_printed(printed, shown)


def test_the_home_page_has_figures_of_the_readme_only():
    text = (DOCS / "index.rst").read_text().partition("How good is it\n")[2]
    headings = re.findall(r"^(.+)\n[-~]+$", (DOCS / "benchmarks.rst").read_text(), re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    links = re.findall(r"<benchmarks.html#([\w-]+)>", text)
    assert links
    assert set(links) <= anchors
    text = re.sub(r"\s+", " ", text).replace("``", "`")
    figures = [figure for figure in readme_figures() if figure in text]
    for figure in figures:
        text = text.replace(figure, "")
    assert re.findall(r"\d+", text) == []


def test_the_limits_of_the_promise_are_measured():
    text = (DOCS / "faq.rst").read_text().partition("_never-worse:")[2].partition("_____")[0]
    text = re.sub(r"\s+", " ", text.partition("\nBeside other")[0])
    figures = [figure for figure in readme_figures() if figure in text]
    assert len(figures) == 2
