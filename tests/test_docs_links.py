"""Links and pictures of the documentation; the build checks those between pages (nitpicky)."""

import re
from inspect import signature
from pathlib import Path
from urllib.parse import urlsplit

import inventories
import pytest

import skae
from skae import drift, model_selection, tables

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [p for p in DOCS.rglob("*.rst") if not {"auto_examples", "generated"} & set(p.parts)]
SOURCES = [*PAGES, *ROOT.glob("*.md"), *(ROOT / "skae").rglob("*.py"), *DOCS.rglob("plot_*.py")]
LINK = re.compile(r"https?://[^\s<>\"'`)\]}]*")
PICTURE = re.compile(r"\.\. (?:image|figure):: .*\n((?: +:.*\n(?:      +.*\n)*)*)")


def test_links_to_elsewhere_are_encrypted_and_whole():
    links = {link: path for path in SOURCES for link in LINK.findall(path.read_text())}
    assert links
    for link, path in links.items():
        parts = urlsplit(link)
        if parts.hostname not in ("localhost", "127.0.0.1"):
            assert parts.scheme == "https", f"{link} in {path}"
            assert re.fullmatch(r"([\w-]+\.)+[a-z]{2,}", parts.hostname or ""), f"{link} in {path}"


def test_pictures_say_what_they_show():
    options = {path: PICTURE.findall(path.read_text()) for path in PAGES}
    assert any(options.values())
    for path, of_pictures in options.items():
        assert all(re.search(r":alt: \S", text) for text in of_pictures), path


@pytest.mark.parametrize("project", inventories.PROJECTS)
def test_inventories_are_what_sphinx_reads(project):
    load = pytest.importorskip("sphinx.util.inventory").InventoryFile.loads
    site, names = inventories.PROJECTS[project]
    found = load(inventories.inventory(project), uri=site)
    for name, (kind, _) in names.items():
        assert found[f"py:{kind}", name].uri.startswith(site)
        assert found[f"py:{kind}", name].uri.endswith(f"#{name}")


ESTIMATORS = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (skae, drift, model_selection, tables)
    for name in module.__all__
    if isinstance(getattr(module, name), type)
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_link_to_their_page_where_there_is_a_site(name, monkeypatch):
    cls = ESTIMATORS[name]
    given = {"detector": skae.AutoencoderAnomalyDetector(), "param_grid": {}}
    given["estimator"] = skae.AutoencoderTransformer()
    estimator = cls(**{name: given[name] for name in signature(cls).parameters if name in given})
    assert "example.org" not in estimator._repr_html_()
    site = "https://example.org/generated/{estimator_module}.{estimator_name}.html"
    monkeypatch.setattr(cls, "_doc_link_module", "skae")
    monkeypatch.setattr(cls, "_doc_link_template", site)
    # the page that autosummary writes
    assert f'href="https://example.org/generated/{name}.html"' in estimator._repr_html_()
