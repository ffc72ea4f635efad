"""Links to other projects' pages without a network: small inventories of the names that are used.

intersphinx reads what a site has from its file objects.inv. The names here were looked up in those
of Debian's packages python3.11-doc, python-sklearn-doc and python-pandas-doc, those of NumPy and
torch, and what scikit-learn 1.2 does not have, on the projects' rule for addresses. Adding a name
is one line. A role with a name that is in no inventory is an error, as the pages are nitpicky.
"""

import zlib
from pathlib import Path

# {project: (its site, {name: (kind, address below the site)})}, "$" stands for the name
PAGE = "modules/generated/$.html#$"
TORCH = "generated/$.html#$"
PROJECTS = {
    "python": (
        "https://docs.python.org/3/",
        {"os.PathLike": ("class", "library/os.html#$")},
    ),
    "sklearn": (
        "https://scikit-learn.org/stable/",
        {
            "sklearn.set_config": ("function", PAGE),
            "sklearn.calibration.CalibrationDisplay": ("class", PAGE),
            "sklearn.decomposition.PCA": ("class", PAGE),
            "sklearn.decomposition.TruncatedSVD": ("class", PAGE),
            "sklearn.ensemble.IsolationForest": ("class", PAGE),
            "sklearn.feature_extraction.text.TfidfVectorizer": ("class", PAGE),
            "sklearn.model_selection.GridSearchCV": ("class", PAGE),
            "sklearn.model_selection.KFold": ("class", PAGE),
            "sklearn.model_selection.StratifiedKFold": ("class", PAGE),
            "sklearn.model_selection.ValidationCurveDisplay": ("class", PAGE),
            "sklearn.model_selection.cross_validate": ("function", PAGE),
            "sklearn.pipeline.Pipeline": ("class", PAGE),
            "sklearn.utils.metadata_routing.MetadataRequest": ("class", PAGE),
        },
    ),
    "pandas": (
        "https://pandas.pydata.org/docs/",
        {"pandas.DataFrame": ("class", "reference/api/$.html#$")},
    ),
    "torch": (
        "https://docs.pytorch.org/docs/stable/",
        {
            "torch.Tensor": ("class", "tensors.html#$"),
            "torch.nn.Module": ("class", TORCH),
        },
    ),
}


def inventory(project):
    """Return a file objects.inv, as Sphinx writes it: a head in text, and the names compressed."""
    lines = [
        f"{name} py:{kind} 1 {address.replace('$', name)} -\n"
        for name, (kind, address) in PROJECTS[project][1].items()
    ]
    head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
    head += "# The remainder of this file is compressed using zlib.\n"
    return head.encode() + zlib.compress("".join(lines).encode())


def write_inventories(app, config):
    """Write the inventories, and tell intersphinx where they are."""
    folder = Path(app.srcdir) / "generated"
    folder.mkdir(exist_ok=True)
    for project, (site, _) in PROJECTS.items():
        path = folder / f"{project}.inv"
        path.write_bytes(inventory(project))
        config.intersphinx_mapping[project] = (site, str(path))


def setup(app):
    # before intersphinx checks its setting
    app.connect("config-inited", write_inventories, priority=100)
    return {"parallel_read_safe": True}
