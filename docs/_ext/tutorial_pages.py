"""Runs the tutorials that show pictures, and keeps the pictures that their code saves."""

import contextlib
import io
import os
import re
import shutil
import tempfile
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt

CODE = re.compile(r"^\.\. code-block:: python\n\n((?:   .*\n|\n)+)", re.MULTILINE)
PICTURE = re.compile(r"/generated/tutorials/(\S+\.png)")


def draw(page, folder):
    """Run the Python code of a page, and move the pictures that it saves to a folder."""
    blocks = CODE.findall(page.read_text())
    # What comes after the last picture may need packages that the documentation does not.
    while "savefig" not in blocks[-1]:
        blocks.pop()
    names = {}
    with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):
        with contextlib.redirect_stdout(io.StringIO()):
            for block in blocks:
                exec(textwrap.dedent(block), names)
        plt.close("all")
        for name in PICTURE.findall(page.read_text()):
            shutil.move(name, folder / name)
            # newer than the page, also where the clock of the files is coarse
            os.utime(folder / name)


def draw_all(app):
    """Draw what is missing, or older than its page."""
    folder = Path(app.srcdir) / "generated/tutorials"
    folder.mkdir(parents=True, exist_ok=True)
    for page in sorted((Path(app.srcdir) / "tutorials").glob("*.rst")):
        pictures = [folder / name for name in PICTURE.findall(page.read_text())]
        changed = page.stat().st_mtime
        if any(not path.exists() or path.stat().st_mtime < changed for path in pictures):
            draw(page, folder)


def setup(app):
    app.connect("builder-inited", draw_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
