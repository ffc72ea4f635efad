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
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "inventories",
    "mathml",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "api_pages",
    "generated_pages",
    "benchmark_pictures",
    "component_pages",
    "cost_pages",
    "deep_pages",
    "imputation_pages",
    "table_pages",
    "tutorial_pages",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "examples", "api_list.rst"]
# The list is written by generated_pages and included in api.rst.
autosummary_generate = ["api_list.rst"]
# Types are in the docstrings, in words; in a signature they would hide the names.
autodoc_typehints = "none"
# A role that leads nowhere is an error, also one to another project: see _ext/inventories.py.
nitpicky = True
# autodoc writes every method in full instead, see _templates
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
# All but: extended summaries, "See Also" and examples everywhere (ES01, SA01, EX01; the tests ask
# for an example of every class and function), a summary below the opening quotes (GL01, which newer
# versions do not ask for), and the names of returned values (RT02). A strategy's hooks have the
# docstrings of their base class (GL08).
numpydoc_validation_checks = {"all", "ES01", "SA01", "EX01", "GL01", "RT02", "GL08"}
numpydoc_validation_exclude = {
    r"\.__init__$",
    r"\.set_\w+_request$",
    r"\.(Loss|Optimizer|Schedule)$",
}

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["skae.css"]
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
WITHOUT_SIDEBAR += ["benchmarks", "missing", "parameters", "tables", "variants/*", "coming_from"]
html_sidebars = {page: [] for page in WITHOUT_SIDEBAR}
html_show_sourcelink = False

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "/plot_",
    "download_all_examples": False,
    "show_memory": False,
    # that page would load scripts from elsewhere
    "write_computation_times": False,
    "plot_gallery": True,
    "within_subsection_order": "gallery_order.quick_start_first",
}
