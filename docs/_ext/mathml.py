"""Renders formulas as MathML, which browsers show without fetching a script from elsewhere."""

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml


def _inline(translator, node):
    translator.body.append(tex2mathml(node.astext(), as_block=False))
    raise nodes.SkipNode


def _block(translator, node):
    formula = tex2mathml(node.astext(), as_block=True)
    # one that is wider than a phone scrolls by itself
    translator.body.append(f'<p class="math" style="overflow-x: auto">{formula}</p>')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True}
