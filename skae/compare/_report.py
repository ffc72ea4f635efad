"""The HTML report of a comparison."""

import base64
import html
import io
from importlib.metadata import version

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2.5rem auto;
  padding: 0 1.25rem; }
h1 { font-size: 1.7rem; margin: 0 0 .4rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
.lead { font-size: 1.15rem; margin: 0 0 .6rem; } .note { color: #555; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem; text-align: right; border-bottom: 1px solid #ddd; }
th { font-weight: 600; } tr.autoencoder td { background: #fdf3ec; } .better { font-weight: 600; }
img { max-width: 100%; } .wide, pre { overflow-x: auto; }
@media (prefers-color-scheme: dark) {
  body { background: #16181d; color: #e6e6e6; } .note { color: #aaa; }
  th, td { border-color: #444; } tr.autoencoder td { background: #33261c; }
  img { background: #fff; border-radius: 4px; }
}
"""
# Kinds of columns whose errors are fractions of wrong values.
_CATEGORICAL = ("boolean", "category", "hashed")
# The columns in the order in which they are shown: their titles, and their format in the report.
COLUMNS = {
    "n_components": ("components", "{}"),
    "model": ("model", "{}"),
    "error": ("held-out error", "{:.4g}"),
    "ratio_to_pca": ("ratio to PCA", "{:.3f}"),
    "explained_variance": ("explained variance", "{:.1%}"),
    "fit_seconds": ("fit seconds", "{:.3f}"),
    "downstream_score": ("downstream score", "{:.3f}"),
}


def write_report(result, path, title, image_shape, command):
    """Write the report of a `ComparisonResult` to a file."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            "The report needs matplotlib: install it with pip install 'skae[plot]'."
        ) from None

    def picture(what, draw, size, n_axes=1):
        # A new Figure, not pyplot's, leaves the user's backend and current figure unchanged.
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots(1, n_axes))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=130)
        data = base64.b64encode(buffer.getvalue()).decode()
        return f'<img alt="{what}" src="data:image/png;base64,{data}">'

    about = "The held-out error of both models at each width"
    sections = {"Error against the width of the code": picture(about, result.plot, (8, 4.2))}
    about = "Scatter plots of the first two components of both models"
    drawing = picture(about, result.plot_codes, (10, 4.6), 2)
    sections["The codes of the rows left out of one fold"] = drawing
    if image_shape is not None:
        drawing = picture(
            "Images above their reconstructions by both models",
            lambda ax: result.plot_reconstructions(image_shape, ax),
            (10, 2.9),
        )
        sections["Images of rows left out"] = drawing
    sections["How the training went"] = picture(
        "The losses of each epoch", result.plot_history, (8, 4.2)
    )
    pictures = "\n".join(f"<h2>{heading}</h2>\n{drawing}" for heading, drawing in sections.items())
    path.write_text(
        f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{_STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>
<p class="lead">{html.escape(result.headline())}</p>
<p>{html.escape(_verdict(result))}</p>
<p class="note">{_conditions(result)}</p>
{_table(result.means())}
{_columns(result)}
{pictures}
{_repeat(result, command)}
</body></html>
""",
        encoding="utf-8",
    )


def _verdict(result):
    """Return what else there is to weigh: seconds, and the downstream score, whoever wins."""
    rows = result.means()
    pairs = [*zip(rows[::2], rows[1::2], strict=True)]
    text = "A fit takes " + _listed(
        f"{own['fit_seconds']:.2g} s ({pca['fit_seconds']:.2g} s for PCA)" for pca, own in pairs
    )
    text += "."
    if "downstream_score" in rows[0]:
        text += " A linear model of the codes scores " + _listed(
            f"{own['downstream_score']:.3f} ({pca['downstream_score']:.3f} with PCA's)"
            for pca, own in pairs
        )
        n_better = sum(own["downstream_score"] > pca["downstream_score"] for pca, own in pairs)
        text += f": the autoencoder's codes are better at {n_better} of {len(pairs)} widths."
    return text


def _listed(parts):
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _repeat(result, command):
    """Return what is needed to do the comparison again."""
    widths = sorted({int(k) for k in result.results["n_components"]})
    n_folds = int(result.results["fold"].max()) + 1
    code = (
        "from skae.compare import compare_with_pca\n\n"
        f"result = compare_with_pca(X{'' if result.y is None else ', y'}, n_components={widths}, "
        f"cv={n_folds}, scale={result.scale}, random_state={result.random_state!r})\n"
        'result.to_html("report.html")'
    )
    lines = [command, "", code] if command else [code]
    names = "skae", "scikit-learn", "torch", "numpy"
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"<h2>Do it again</h2>\n<pre>{html.escape(chr(10).join(lines))}</pre>\n"
        f'<p class="note">{html.escape(versions)}.</p>'
    )


def _conditions(result):
    n_folds = int(result.results["fold"].max()) + 1
    n_rows, n_features = result.X.shape
    text = f"{n_rows} rows, {n_features} features, {n_folds} folds, the same for both models. "
    if result.columns is not None:
        text += "Numbers and dates are standardized on the training rows of each fold, and "
        text += "categories are indicators; entries that are missing are left out. "
    elif result.scale:
        text += "Features are standardized on the training rows of each fold, and errors are in "
        text += "those units. "
    else:
        text += "Features are not scaled, and errors are in their units. "
    text += "The error is the mean squared error of an entry of the held-out rows. All numbers are "
    text += "means over the folds; the ratio is the ratio of the mean errors."
    if "downstream_score" in result.results:
        text += (
            " The downstream score is that of a linear model fitted to the codes: its accuracy for "
            "classes, its R² for numbers."
        )
    return text


def _columns(result):
    """Return the errors of the columns of a table, or nothing."""
    errors = result.column_errors()
    if errors is None:
        return ""
    body = []
    for row in errors.itertuples(index=False):
        form = "{:.1%} wrong" if row.kind in _CATEGORICAL else "{:.3f}"
        better = ' class="better"' if row.autoencoder < row.PCA else ""
        cells = "".join(f"<td>{html.escape(str(c))}</td>" for c in row[:3])
        pca, own = form.format(row.PCA), form.format(row.autoencoder)
        body.append(f"<tr>{cells}<td>{pca}</td><td{better}>{own}</td></tr>")
    titles = "components", "column", "kind", "PCA", "autoencoder"
    head = "".join(f"<th>{title}</th>" for title in titles)
    rows = "".join(body)
    return f"""<h2>Errors of the columns</h2>
<p class="note">Of categories the fraction of values that are not the reconstructed one; of numbers
and dates the mean squared error in standardized units.</p>
<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"""


def _table(rows):
    shown = [name for name in COLUMNS if name in rows[0]]
    head = "".join(f"<th>{COLUMNS[name][0]}</th>" for name in shown)
    body = []
    for row in rows:
        cells = []
        for name in shown:
            better = name == "ratio_to_pca" and row["model"] != "PCA" and row[name] < 1
            mark = ' class="better"' if better else ""
            cells.append(f"<td{mark}>{COLUMNS[name][1].format(row[name])}</td>")
        body.append(f'<tr class="{row["model"]}">{"".join(cells)}</tr>')
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return f'<div class="wide">{table}</div>'
