"""Links and pictures of the documentation; the build checks those between pages (nitpicky)."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import inventories
import pytest

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
