"""Sphinx configuration."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# benchmarks/ is not installed; the benchmark page is built from its result files.
sys.path[:0] = [str(ROOT), str(Path(__file__).parent / "_ext")]

import skae  # noqa: E402  (after the path is set)

project = "skae"
author = "The skae developers"
copyright = "2026, The skae developers"
release = version = skae.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "mathml",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "api_pages",
    "generated_pages",
    "cost_pages",
    "imputation_pages",
    "table_pages",
    "tutorial_pages",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "examples", "api_list.rst"]
# The list is written by generated_pages and included in api.rst.
autosummary_generate = ["api_list.rst"]
# autodoc writes every method in full instead, see _templates
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_validation_checks = {"PR01", "PR02", "PR03", "PR04", "PR07", "RT03", "SS03"}
numpydoc_validation_exclude = {
    r"\.__init__$",
    r"\.set_\w+_request$",
    r"\.(Loss|Optimizer|Schedule)$",
}

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "skae"
html_theme_options = {
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "navbar_align": "left",
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}
# Pages that stand alone, or have wide tables, have no sidebar.
WITHOUT_SIDEBAR = ["index", "install", "quick_start", "auto_examples/*", "api", "generated/*"]
WITHOUT_SIDEBAR += ["benchmarks", "missing", "parameters", "tables", "variants/*"]
html_sidebars = {page: [] for page in WITHOUT_SIDEBAR}
html_show_sourcelink = False

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "/plot_",
    "download_all_examples": False,
    "show_memory": False,
    "plot_gallery": True,
}
