"""Small charts as SVG and HTML, drawn without a library: histograms, bars, matrices, tables.

They take their colours from the page's style sheet (classes ``s0`` … ``s7``), so they follow light and dark.
"""

import html
import math

import numpy as np

_WIDTH, _HEIGHT = 360, 130
_LONG, _LINE = 1000, 60  # of timelines
_BINS = 96

#: Colours of components; other names take the next one.
_SERIES = {"R": 2, "G": 3, "B": 1, "Y": 0, "Cb": 1, "Cr": 2, "y": 1, "z": 2}


def histogram(values: dict[str, np.ndarray], caption: str) -> str:
    """Step curves of how often values occur, one a name; counts on a logarithmic scale.

    >>> histogram({"Y": np.array([1, 1, 2])}, "values")[:20]
    '<figure class="chart'
    """
    finite = {name: array[np.isfinite(array)] for name, array in values.items()}
    finite = {name: array for name, array in finite.items() if array.size}
    if not finite:
        return ""
    low = min(float(array.min()) for array in finite.values())
    high = max(float(array.max()) for array in finite.values())
    shown_low = min(float(np.percentile(array, 0.05)) for array in finite.values())
    shown_high = max(float(np.percentile(array, 99.95)) for array in finite.values())
    whole = all(array.dtype.kind in "iub" for array in finite.values())
    if whole:  # whole numbers have whole bins, at most 256 of them
        width = max(1, -(-int(shown_high - shown_low + 1) // 256))
        edges = np.arange(np.floor(shown_low) - 0.5, np.floor(shown_high) + width + 0.5, width)
    else:
        edges = np.linspace(shown_low, shown_high if shown_high > shown_low else shown_low + 1, _BINS + 1)
    counts = {name: np.histogram(array, edges)[0] for name, array in finite.items()}
    most = np.log1p(max(int(count.max()) for count in counts.values()) or 1)
    curves, keys = [], []
    for n, (name, count) in enumerate(counts.items()):
        x = np.repeat(_WIDTH * np.arange(len(count) + 1) / len(count), 2)[1:-1]
        y = np.repeat(_HEIGHT - 4 - (_HEIGHT - 12) * np.log1p(count) / most, 2)
        points = " ".join(f"{a:.4g},{b:.4g}" for a, b in zip(x, y, strict=True))
        series = _SERIES.get(name, n % 8)
        curves.append(f'<polyline class="s{series}" points="0,{_HEIGHT - 4} {points} {_WIDTH},{_HEIGHT - 4}"/>')
        keys.append(f'<span class="key s{series}">{html.escape(name)}</span>')
    legend = "".join(keys) if len(keys) > 1 else ""
    outside = sum(int(((array < edges[0]) | (array > edges[-1])).sum()) for array in finite.values())
    note = f"; {outside} outside, {low:.5g} … {high:.5g} in all" if outside else ""
    return (
        f'<figure class="chart"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html.escape(caption)}">'
        f"{''.join(curves)}</svg><p class='axis'><span>{edges[0]:.4g}</span><span>{edges[-1]:.4g}</span></p>"
        f"<figcaption>{legend}{html.escape(caption + note)}</figcaption></figure>"
    )


def bars(values: np.ndarray, caption: str) -> str:
    """A bar a value, in order.

    >>> "<rect" in bars(np.array([3.0, 1.0]), "two")
    True
    """
    values = np.asarray(values, np.float64)
    top = float(values.max(initial=0)) or 1.0
    step = _WIDTH / max(len(values), 1)
    shapes = []
    for n, value in enumerate(values.tolist()):
        height = max((_HEIGHT - 8) * value / top, 0)
        shapes.append(
            f'<rect class="s1" x="{n * step:.2f}" y="{_HEIGHT - height:.2f}" width="{max(step - 0.6, 0.4):.2f}" '
            f'height="{height:.2f}"><title>{n}: {value:.4g}</title></rect>'
        )
    return (
        f'<figure class="chart"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html.escape(caption)}">'
        f"{''.join(shapes)}</svg><p class='axis'><span>0 … {len(values) - 1}</span><span>top {top:.4g}</span></p>"
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def timeline(stacks: dict[str, np.ndarray], line: np.ndarray, kinds: list[str], top: float, span: tuple) -> str:
    """Frames of a video from left to right: bars cut into shares, and a line of another quantity beneath.

    A bar's height is the square root of its sum, so that the small ones can be seen, too.

    Args:
        stacks: the shares of each frame's bar, by name, each of as many numbers as there are frames.
        line: a number for each frame.
        kinds: a letter for each frame; bars of frames of the kind "I" are marked.
        top: the largest sum that the bars have room for.
        span: the least and the largest number that the line has room for.

    >>> timeline({"bits": np.array([2.0, 1.0])}, np.array([30.0, 31.0]), ["I", "P"], 2, (30, 31)).count("<g ")
    2
    """
    count = max(len(kinds), 1)
    step = _LONG / count
    groups = []
    for n, kind in enumerate(kinds):
        base, shapes, total = float(_HEIGHT), [], float(sum(values[n] for values in stacks.values()))
        for color, values in enumerate(stacks.values()):
            height = (_HEIGHT - 8) * math.sqrt(total / top) * float(values[n]) / (total or 1)
            base -= height
            shapes.append(
                f'<rect class="s{color}" x="{n * step:.2f}" y="{base:.2f}" '
                f'width="{max(0.86 * step, 0.5):.2f}" height="{height:.2f}"/>'
            )
        told = ", ".join(f"{name} {values[n]:.0f}" for name, values in stacks.items())
        title = html.escape(f"frame {n}, {kind}: {told} bits; {line[n]:.2f} dB")
        behind = f'<rect class="behind" x="{n * step:.2f}" y="0" width="{step:.2f}" height="{_HEIGHT}"/>'
        mark = f'<circle cx="{(n + 0.43) * step:.2f}" cy="4" r="3"/>' if kind == "I" else ""
        groups.append(f'<g data-frame="{n}"><title>{title}</title>{behind}{"".join(shapes)}{mark}</g>')
    low, high = span
    scale = (_LINE - 10) / ((high - low) or 1)
    heights = np.clip(_LINE - 5 - scale * (line - low), 0, _LINE)
    points = " ".join(f"{(n + 0.43) * step:.2f},{y:.2f}" for n, y in enumerate(heights.tolist()))
    keys = "".join(f'<span class="key s{n}">{html.escape(name)}</span>' for n, name in enumerate(stacks))
    return (
        f'<figure class="chart timeline"><p class="axis"><span>{keys}<span class="key i">I-frame</span></span>'
        f"<span>{top:.0f} bits</span></p>"
        f'<svg viewBox="0 0 {_LONG} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="bits of each frame">{"".join(groups)}</svg>'
        f'<p class="axis"><span>PSNR</span><span>{low:.1f} … {high:.1f} dB</span></p>'
        f'<svg viewBox="0 0 {_LONG} {_LINE}" preserveAspectRatio="none" role="img" aria-label="PSNR of each frame">'
        f'<polyline class="s3" points="{points}"/></svg></figure>'
    )


def matrix(values: np.ndarray, caption: str) -> str:
    """A small matrix [n,m] of numbers from 0 up as a table whose cells are coloured by size.

    >>> matrix(np.array([[1.0, 0.0]]), "m").count("<td")
    2
    """
    top = float(values.max()) or 1.0
    rows = []
    for row in values.tolist():
        cells = "".join(f'<td style="--heat:{100 * (value / top) ** 0.5:.0f}%">{_short(value)}</td>' for value in row)
        rows.append(f"<tr>{cells}</tr>")
    return (
        f'<figure class="chart"><div class="scroll"><table class="matrix">{"".join(rows)}</table></div>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _short(value):
    return f"{value:.1f}" if value >= 0.95 else f"{value:.2f}"[1:] if value >= 0.005 else "0"


def share(parts: dict[str, float], total: float) -> str:
    """One bar that is cut into shares.

    >>> share({"a": 1, "b": 3}, 4).count("<i")
    2
    """
    pieces = []
    for n, (name, part) in enumerate(parts.items()):
        percent = 100 * part / total
        label = f"<span>{html.escape(name)}</span>" if percent > 8 else ""
        grow, title = f"flex-grow:{max(percent, 0.4):.3f}", f"{html.escape(name)}: {percent:.2f} %"
        pieces.append(f'<i class="s{n % 8}" style="{grow}" title="{title}">{label}</i>')
    return f'<div class="share">{"".join(pieces)}</div>'


def table(heading, rows, total: bool = False) -> str:
    """A table: the first column to the left, numbers to the right; with `total` the last row is a sum.

    >>> table(("a", "b"), [("x", 1)])[:26]
    '<div class="scroll"><table'
    """
    head = "".join(f"<th>{cell}</th>" for cell in heading)
    body = []
    for n, row in enumerate(rows):
        kind = ' class="total"' if total and n == len(rows) - 1 else ""
        body.append(f"<tr{kind}>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>")
    return f'<div class="scroll"><table class="data"><tr>{head}</tr>{"".join(body)}</table></div>'
