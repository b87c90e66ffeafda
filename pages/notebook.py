"""A notebook's page: text, code and what the code gave, in one file that opens without a network.

marimo's own export (``marimo export html``) loads its reader from the web; this one holds everything, in the style of
the other pages. Controls stand still in it, with the values that they start with: ``marimo run`` moves them.
"""

import ast
import base64
import html
import importlib.util
import io
import json
import re
import textwrap
from pathlib import Path

from .markup import page


def notebook_page(path) -> str:
    """Run a marimo notebook from top to bottom and return its page.

    Raises:
        ValueError: the file is no marimo notebook.
        Exception: whatever a cell raises, assertions included.
    """
    path = Path(path)
    cells = read_cells(path.read_text(encoding="utf-8"))
    specification = importlib.util.spec_from_file_location(f"notebook_{path.stem}", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    if not cells or not hasattr(module, "app"):
        raise ValueError(f"{path} is no marimo notebook")
    outputs, _ = module.app.run()
    parts = [_cell(code, hidden, output) for (code, hidden), output in zip(cells, outputs, strict=True)]
    title = (module.__doc__ or path.stem).partition(": ")[0]
    kicker = f'<div><p class="kicker">codeckit · {html.escape(title)}</p></div>'
    button = '<button id="theme" type="button" aria-label="light or dark">◐</button>'
    return page(
        path.stem, f'<header class="top">{kicker}{button}</header><main class="notebook">{"".join(parts)}</main>'
    )


def read_cells(source: str) -> list[tuple[str, bool]]:
    """The code of each cell of a marimo notebook, and whether it is hidden.

    >>> read_cells("@app.cell(hide_code=True)\\ndef _(x):\\n    y = x\\n    return (y,)\\n")
    [('y = x', True)]
    """
    found = []
    for node in ast.parse(source).body:
        if not isinstance(node, ast.FunctionDef) or not node.decorator_list:
            continue
        lines = source.splitlines()[node.body[0].lineno - 1 : node.end_lineno]
        first = source.splitlines()[node.lineno - 1 : node.body[0].lineno - 1]
        comments = [line for line in first if line.lstrip().startswith("#")]
        code = textwrap.dedent("\n".join([*comments, *lines]))
        code = code[: code.rindex("return")].rstrip() if isinstance(node.body[-1], ast.Return) else code.rstrip()
        found.append((code, "hide_code=True" in ast.unparse(node.decorator_list[0])))
    return found


def _cell(code, hidden, output):
    shown = "" if hidden or code.startswith("mo.md(") else f"<pre><code>{_highlighted(code)}</code></pre>"
    return shown + ("" if output is None else f'<div class="output">{_output(output)}</div>')


def _highlighted(code):
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    return highlight(code, PythonLexer(), HtmlFormatter(nowrap=True)).rstrip()


def _output(output):
    import marimo
    from matplotlib.figure import Figure

    if isinstance(output, Figure):
        drawn = io.BytesIO()
        output.savefig(drawn, format="png", dpi=2 * output.dpi)
        width, height = (output.get_size_inches() * output.dpi).astype(int)
        data = base64.b64encode(drawn.getvalue()).decode()
        return f'<img width="{width}" height="{height}" src="data:image/png;base64,{data}" alt="figure">'
    if isinstance(output, marimo.ui.slider):
        label = re.search(r"data-label='(.*?)'", output.text)
        name = _TAG.sub("", json.loads(html.unescape(label.group(1)))) if label else "value"
        return f'<p class="control">{html.escape(name)}: <b>{output.value}</b></p>'
    return marimo.as_html(output).text


_TAG = re.compile("<[^>]*>")
