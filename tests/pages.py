"""The code on the pages of the documentation, for the tests that run it."""

import re
import textwrap
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
_BLOCK = re.compile(r"^( *)\.\. code-block:: (\w+)\n((?: *:.*\n)*)\n((?:\1   .*\n|\n)*)", re.M)


def code_blocks(page):
    """Return the language, the options and the text of each block of code, by a path below docs."""
    return [
        (language, dict(re.findall(r":(\w+): (.*)", options)), textwrap.dedent(text))
        for _, language, options, text in _BLOCK.findall((DOCS / page).read_text())
    ]


def python_blocks(page):
    """Return the text of each block of Python, by a path below docs."""
    return [text for language, _, text in code_blocks(page) if language == "python"]
