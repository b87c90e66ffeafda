"""Notebooks run, and their pages hold what they gave. The study `notebooks` runs them all; here the shortest."""

from pathlib import Path

import pytest
from codeckit.bench.studies.notebooks import ORDER
from codeckit.pages import notebook_page
from codeckit.pages.notebook import read_cells

NOTEBOOKS = Path(__file__).parents[2] / "docs" / "notebooks"

SMALL = '''
"""Notebook 9: small."""
import marimo

app = marimo.App()


@app.cell(hide_code=True)
def _(mo, twice):
    mo.md(f"**{twice}** <")
    return


@app.cell
def _():
    import marimo as mo
    from matplotlib.figure import Figure

    twice = 2 * 21  # the answer
    assert twice == 42
    Figure(figsize=(1, 1))
    return mo, twice


@app.cell
def _(mo):
    mo.ui.slider(1, 5, value=3, label="how many")
    return
'''


@pytest.fixture
def marimo():
    return pytest.importorskip("marimo", reason="notebooks need marimo: pip install 'codeckit[teach]'")


def test_a_page_holds_text_code_and_what_it_gave(marimo, tmp_path):
    path = tmp_path / "small.py"
    path.write_text(SMALL)
    page = notebook_page(path)
    assert "<strong>42</strong>" in page and "mo.md(" not in page
    assert '<span class="c1"># the answer</span>' in page
    assert 'src="data:image/png;base64,' in page
    assert '<p class="control">how many: <b>3</b></p>' in page


def test_a_cell_that_fails_fails_the_notebook(marimo, tmp_path):
    path = tmp_path / "wrong.py"
    path.write_text(SMALL.replace("== 42", "== 43"))
    with pytest.raises(AssertionError):
        notebook_page(path)
    path.write_text("x = 1\n")
    with pytest.raises(ValueError, match="no marimo notebook"):
        notebook_page(path)


def test_all_are_there():
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.py")) == sorted(ORDER)
    for name in ORDER:
        cells = read_cells((NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8"))
        assert cells[0][0].startswith("mo.md(") and len(cells) >= 9
        assert any("assert" in code for code, _ in cells)  # they check what they claim


def test_entropy_runs(marimo):
    page = notebook_page(NOTEBOOKS / "entropy.py")
    assert "ContextCoded" in page and "above the entropy" in page
