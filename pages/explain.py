"""The explorer: a picture's way through one codec or several, stage by stage, as one HTML file.

The page is made of what codecs say of themselves: `Codec.trace` (what stands behind each stage), the stages' docstrings
and parameters, `Stage.maps`, and `Trace.anatomy` (what every bit of the file says, and what every symbol took). Nothing
here knows a codec by name, so a codec of one's own is explained like any other.
"""

import dataclasses
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..codecs.base import Codec
from ..codecs.image_io import read_image
from ..codecs.importance import WeighedEncoder
from ..codecs.trace import Step, Trace
from ..metrics import TooSmallError, ms_ssim, psnr, weighted_psnr
from ..primitives.anatomy import Anatomy, Part
from ..primitives.information import entropy_bits
from ..primitives.stage import Stage
from ..primitives.token_grid import Tokens
from ..primitives.tokens.reducers import STANDS_FOR
from . import charts
from .markup import (
    THEME_BUTTON,
    column_section,
    counted,
    embedded_json,
    escaped,
    figure_of,
    first_paragraph,
    label_of,
    page,
)
from .pictures import (
    SIDE,
    View,
    arrays,
    data_uri,
    fitted,
    fitted_map,
    heat,
    lying,
    map_views,
    plane_names,
    principal_axes,
    principal_colors,
    views,
)

#: The largest page, in bytes: where a picture is so noisy that it would be larger, its pictures are made smaller.
LIMIT = 6_000_000

#: Bytes of the file that are told one by one.
FIRST_BYTES = 1024

#: The picture and its reconstructions are stored without loss up to so many pixels, all together.
_LOSSLESS_PIXELS = 1_300_000

#: Pictures in the viewer have so many pixels a side at most.
_VIEWER_SIDE = 1280


@dataclass(frozen=True, eq=False)
class Explained:
    """All that the page tells of one codec."""

    codec: Codec
    trace: Trace
    anatomy: Anatomy
    decoded: object
    encode_s: float
    decode_s: float
    plain: "Explained | None" = None  # the same codec without importance, if it has one

    @classmethod
    def of(cls, codec: Codec, image: np.ndarray) -> "Explained":
        """Encode, trace and decode a picture."""
        codec.decode(codec.encode(image))  # the first time, modules are imported, code is compiled and weights are read
        start = time.perf_counter()
        stream = codec.encode(image)
        middle = time.perf_counter()
        decoded = codec.decode(stream)
        end = time.perf_counter()
        trace, plain = codec.trace(image), None
        if isinstance(codec.encoder, WeighedEncoder):
            plain = cls.of(dataclasses.replace(codec, encoder=codec.encoder.inner), image)
        return cls(codec, trace, trace.anatomy(), decoded, middle - start, end - middle, plain)

    @property
    def label(self) -> str:
        """The codec's name and setting."""
        return label_of(self.codec)

    @property
    def bits(self) -> int:
        """Size of the file."""
        return 8 * len(self.trace.stream)


def explain(image, codecs, *, name: str | None = None, stages: bool = True) -> str:
    """A page that shows what codecs do to a picture.

    Args:
        image: uint8 array [H,W,3] or [H,W], PIL image, or the path of an image file.
        codecs: one configured `Codec`, or several that stand side by side.
        name: what the picture is called; by default its file's name.
        stages: whether to show what stands behind each stage, which is the largest part.

    Returns:
        The HTML of a page that needs nothing else, of a few MB.

    Raises:
        ValueError: there are no codecs, or the picture is none.

    >>> import codeckit
    >>> page = explain(np.zeros((16, 16), np.uint8), codeckit.codec("jpeg"), name="nothing")
    >>> page[:15], "nothing" in page
    ('<!doctype html>', True)
    """
    codecs = [codecs] if isinstance(codecs, Codec) else list(codecs)
    if not codecs:
        raise ValueError("explain needs at least one codec")
    if name is None:
        name = Path(image).name if isinstance(image, str | Path) else "picture"
    original = read_image(image)
    explained = [Explained.of(codec, original) for codec in codecs]
    for side in (SIDE, SIDE // 2, SIDE // 4):
        text = _page(original, explained, name, stages, side)
        if len(text.encode()) <= LIMIT:
            break
    return text


def _page(original, explained, name, stages, side):
    """The whole page, pictures of stages of at most `side` pixels a side."""
    title = f"{name} through {' and '.join(one.label for one in explained)}"
    height, width = original.shape[:2]
    body = [
        f'<header class="top"><div><p class="kicker">codeckit explain</p><h1>{escaped(name)}</h1><p class="sub">'
        f"{width} × {height} pixels, {counted(original.nbytes)} bytes raw, through "
        f"{' and '.join(f'<b>{escaped(one.label)}</b>' for one in explained)}</p></div>{THEME_BUTTON}</header>",
        f'<section id="summary" class="columns n{len(explained)}">'
        + "".join(_summary(one, original) for one in explained)
        + "</section>",
        _viewer(original, explained, _VIEWER_SIDE * side // SIDE),
        column_section("stages", "Stage by stage", _STAGES_LEAD, [_stages(one, side) for one in explained], explained)
        if stages
        else "",
        column_section("bits", "Where the bits went", _BITS_LEAD, map(_bits, explained), explained),
        column_section("bytes", "The file, byte by byte", _BYTES_LEAD, map(_bytes, explained), explained),
        "<footer>Made by <b>codeckit explain</b>. Bits are counted in the real file; entropies are of order 0, "
        "coefficient by coefficient.</footer>",
    ]
    return page(title, "\n".join(body), scripts=["explain.js"])


_STAGES_LEAD = (
    "Each stage has an input, an output and an inverse. The bars, on a logarithmic scale, show how many bits the "
    "output would take as it stands, how many an ideal static coder would need for it (where it is made of whole "
    "numbers), and how many bits of the file serve this stage. These last ones add up to the file."
)
_BITS_LEAD = "Every bit of the file is counted once, under the stage that it serves and under what it says."
_BYTES_LEAD = (
    "The beginning of the file, decoded. Point at a byte, or move with the arrow keys, to see what it says; point at a "
    "field to see where it stands."
)


# --- figures --------------------------------------------------------------------------------------------------------


def _summary(one, original):
    size = len(one.trace.stream)
    bpp = one.bits / (original.shape[0] * original.shape[1])
    figures = [
        (counted(size), "bytes"),
        (f"{bpp:.3f}" if bpp < 10 else f"{bpp:.1f}", "bits a pixel"),
        (f"{original.nbytes / size:.1f} : 1", "smaller"),
    ]
    if isinstance(one.decoded, Tokens):
        rows, columns = one.decoded.grid
        figures.append((f"{rows} × {columns}", "tokens, no pixels"))
    else:
        decoded = _like(one.decoded, original)
        quality = psnr(original, decoded)
        figures.append(("lossless" if math.isinf(quality) else f"{quality:.2f} dB", "PSNR"))
        if isinstance(one.codec.encoder, WeighedEncoder):
            weighed = weighted_psnr(original, decoded, one.codec.encoder.importance)
            figures.append(("lossless" if math.isinf(weighed) else f"{weighed:.2f} dB", "weighted PSNR"))
        try:
            figures.append((f"{ms_ssim(original, decoded):.4f}", "MS-SSIM"))
        except TooSmallError:
            pass
    figures.append((f"{1000 * one.encode_s:.0f} + {1000 * one.decode_s:.0f} ms", "encode + decode"))
    cells = "".join(f"<div><b>{value}</b><span>{what}</span></div>" for value, what in figures)
    return f'<div class="card"><h3>{escaped(one.label)}</h3><div class="figures">{cells}</div></div>'


def _like(decoded, original):
    return decoded[..., 0] if decoded.ndim > original.ndim else decoded


def _viewer(original, explained, side):
    """The picture, what became of it, the error and the bits, two at a time behind a divider."""
    small = min(side, max(original.shape[:2]))
    pictures = [one for one in explained if not isinstance(one.decoded, Tokens)]
    lossless = (1 + len(pictures)) * original.shape[0] * original.shape[1] <= _LOSSLESS_PIXELS
    quality = None if lossless and small == max(original.shape[:2]) else 92
    layers = [("original", fitted(original, small), quality, "the picture as it went in")]
    for one in explained:
        if isinstance(one.decoded, Tokens):
            layers += _token_layers(one, small)
            continue
        decoded = _like(one.decoded, original)
        layers.append(
            (f"{one.label}: decoded", fitted(decoded, small), quality, f"{counted(len(one.trace.stream))} bytes")
        )
        error = np.abs(decoded.astype(np.int16) - original).reshape(*original.shape[:2], -1).mean(2)
        top = float(np.percentile(error, 99.5)) or 1.0
        caption = f"mean error of a pixel {error.mean():.2f}; yellow is {top:.1f} levels or more"
        layers.append((f"{one.label}: error", heat(fitted_map(error, small), top), 85, caption))
    for one in explained:
        where = one.trace.bits_in_place(one.anatomy)
        if where is not None:
            top = float(np.percentile(where, 99.5)) or 1.0
            shade = 0.35 * layers[0][1].reshape(*layers[0][1].shape[:2], -1).mean(2)[..., None]
            mixed = np.clip(heat(fitted_map(where, small), top) * 0.8 + shade, 0, 255).astype(np.uint8)
            caption = f"yellow is {top:.2f} bits a pixel or more; the mean is {where.mean():.3f}"
            layers.append((f"{one.label}: where the bits went", mixed, 85, caption))
    if len(layers) == 1:
        return ""
    right = 1
    left = 0
    if len(pictures) > 1:
        left, right = 1, 3
    options = "".join(f'<option value="{n}">{escaped(label)}</option>' for n, (label, *_) in enumerate(layers))
    sources = [
        {"src": data_uri(image, quality), "caption": caption, "label": label}
        for label, image, quality, caption in layers
    ]
    height, width = original.shape[:2]
    return f"""<section id="viewer"><h2>Before and after</h2>
<p class="lead">Drag the divider, or focus it and use the arrow keys. Either side can show any layer.</p>
<div class="bar">
<label>left <select id="left" data-start="{left}">{options}</select></label>
<label>right <select id="right" data-start="{right}">{options}</select></label>
<span class="zooms" role="group" aria-label="zoom"><button type="button" data-zoom="0" aria-pressed="true">fit</button>
<button type="button" data-zoom="1">1:1</button><button type="button" data-zoom="4">4:1</button></span></div>
<div class="stage"><div class="split" style="--w:{width};--h:{height};--split:50%">
<img class="right" alt="" draggable="false"><img class="left" alt="" draggable="false"><i class="line"></i>
<input id="divider" type="range" min="0" max="100" step="0.1" value="50" aria-label="divider between left and right">
</div></div>
<div class="captions"><p id="left-caption"></p><p id="right-caption"></p></div>
<script type="application/json" id="layers">{embedded_json(sources)}</script></section>"""


def _token_layers(one, side):
    """Tokens before and after, in the colours of the same three principal components; reduced ones put in place."""
    before = next((step.value for step in one.trace.steps if isinstance(step.value, Tokens)), None)
    labels = next((step.maps[STANDS_FOR] for step in one.trace.steps if STANDS_FOR in step.maps), None)
    after = one.decoded.features if labels is None else one.decoded.features[labels.ravel()]
    if before is None or before.features.ndim != 2 or before.features.shape != after.shape:
        return []
    after = after.reshape(before.map.shape)
    axes = principal_axes(before.features.astype(np.float64))
    squares = np.ones((side // max(before.grid) + 1,) * 2 + (1,), np.uint8)
    colors = "three principal components of the features as colours"
    error = np.abs(before.map - after).mean(2)
    shown = {
        "tokens before": (principal_colors(before.map, axes), colors),
        "tokens decoded": (principal_colors(after, axes), colors),
        "error of tokens": (heat(error), f"mean error of a feature {error.mean():.3f}"),
    }
    return [
        (f"{one.label}: {label}", np.kron(image, squares), None, caption) for label, (image, caption) in shown.items()
    ]


# --- stages ---------------------------------------------------------------------------------------------------------


def _stages(one: Explained, side: int) -> str:
    share = one.trace.bits_by_stage(one.anatomy)
    steps = one.trace.steps
    most = max(step.bits for step in steps)
    cards = []
    for number, step in enumerate(steps):
        stage = one.trace.stages.get(step.role)
        cards.append(_stage_card(number, step, stage, share[step.role], one, most, side))
    if not one.codec.native:
        around = share["file"]
        cards.append(
            f'<article class="card"><header><span class="n">{len(steps)}</span><h4>file</h4><code>.ckt</code></header>'
            f"<p>The container: magic, version, codec, revision of its profile, sections (stages that differ, "
            f"fingerprint of the weights), CRC-32.</p>"
            f"{_bars(one.bits, None, around, most, one.bits)}</article>"
        )
    return "".join(cards)


def _stage_card(number, step: Step, stage: Stage | None, share, one, most, side):
    title = "the picture" if stage is None else escaped(type(stage).__name__)
    told = "What goes in: samples of 8 bits." if stage is None else first_paragraph(type(stage))
    parameters = "" if stage is None else _parameters(stage)
    shapes = " · ".join("×".join(map(str, shape)) for shape in step.shapes) or f"{counted(len(step.value))} bytes"
    dtype = "" if isinstance(step.value, bytes) else f" {arrays(step.value)[0].dtype}"
    own, lists = map_views(step)
    shown = [*views(step.value), *own]
    widest = max((view.image.shape[1] for view in shown if not view.pixelated), default=1)
    pictures = "".join(figure_of(view, widest, side) for view in shown)
    plots = [_histogram(step)]
    plots += [charts.bars(np.sort(values)[::-1], f"{name}, in order of size") for name, values in lists.items()]
    return (
        f'<article class="card"><header><span class="n">{number}</span><h4>{escaped(step.role)}</h4>'
        f"<code>{title}{parameters}</code></header><p>{told}</p>"
        f'<p class="shape">{shapes}{dtype}</p>{_bars(step.bits, step.entropy, share, most, one.bits)}'
        f'<div class="pictures">{pictures}</div><div class="plots">{"".join(plots)}</div></article>'
    )


def _parameters(stage):
    """The stage's fields with their values; paths by their last part."""
    shown = []
    for field in dataclasses.fields(stage):
        value = getattr(stage, field.name)
        text = Path(value).name if isinstance(value, str) and ("/" in value or "\\" in value) else repr(value)
        shown.append(f"{field.name}={text if len(text) < 60 else text[:57] + '…'}")
    return f"({escaped(', '.join(shown))})"


def _bars(raw, entropy, share, most, file_bits):
    """Three bars on one logarithmic scale: as it stands, entropy, in the file."""
    rows = [("as it stands", raw, "raw")]
    if entropy is not None:
        rows.append(("entropy", entropy, "entropy"))
    rows.append(("in the file", share, "real"))
    cells = []
    for name, bits, kind in rows:
        width = 100 * math.log2(1 + bits) / math.log2(1 + most)
        note = f" <em>{100 * bits / file_bits:.1f} % of the file</em>" if kind == "real" and bits else ""
        cells.append(
            f'<dt>{name}</dt><dd><i class="{kind}" style="width:{width:.1f}%"></i><span>{counted(bits)} bits{note}'
            "</span></dd>"
        )
    return f'<dl class="ledger">{"".join(cells)}</dl>'


def _histogram(step):
    if isinstance(step.value, bytes):
        data = np.frombuffer(step.value, np.uint8)
        each = entropy_bits(data) / max(data.size, 1)
        return charts.histogram({"bytes": data}, f"histogram of the bytes; entropy {each:.3f} bits a byte")
    values = {}
    for name, array in zip(plane_names(step.value), arrays(step.value), strict=True):
        if array.size > 1:
            if array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8:
                values |= {letter: array[..., n].ravel() for n, letter in enumerate("RGB")}
            else:
                values[name or "grey"] = array.ravel()
    return charts.histogram(values, "histogram of the values, counts on a logarithmic scale")


# --- bits -----------------------------------------------------------------------------------------------------------


def _bits(one: Explained) -> str:
    share = {role: bits for role, bits in one.trace.bits_by_stage(one.anatomy).items() if bits}
    out = ['<div class="card">', charts.share(_pieces(one, share), one.bits), _share_table(share, one.bits), "</div>"]
    out += ['<div class="card"><h4>What the parts say</h4>', _groups_table(one.anatomy.parts, one.bits), "</div>"]
    if one.plain is not None:
        out += ['<div class="card"><h4>What importance did</h4>', _importance_table(one), "</div>"]
    if one.anatomy.costs:
        out += ['<div class="card"><h4>Plane by plane</h4>', _planes_table(one), *_cost_figures(one), "</div>"]
    return "".join(out)


def _importance_table(one):
    """Where errors count more than the mean, and elsewhere: area, bits and PSNR, with importance and without."""
    original, octaves = one.trace.steps[0].value, one.trace.steps[0].maps["importance"]
    rows = []
    for name, inside in (("more than the mean", octaves > 0), ("less", octaves <= 0)):
        cells = [name, f"{100 * inside.mean():.0f} %"]
        for each in (one, one.plain):
            where = each.trace.bits_in_place(each.anatomy)
            cells.append("–" if where is None or not inside.any() else f"{where[inside].sum() / inside.sum():.3f}")
        for each in (one, one.plain):
            error = (original.astype(np.float64) - _like(each.decoded, original))[inside]
            mean = float((error**2).mean()) if error.size else 0.0
            cells.append(f"{10 * math.log10(255**2 / mean):.2f}" if mean else "–")
        rows.append(cells)
    size = ("the file, bytes", "", counted(len(one.trace.stream)), counted(len(one.plain.trace.stream)), "", "")
    head = ("errors count", "area", "bits a pixel", "without importance", "PSNR, dB", "without")
    body = "".join("<tr>" + "".join(f"<td>{escaped(cell)}</td>" for cell in row) + "</tr>" for row in (*rows, size))
    return f"<table><tr>{''.join(f'<th>{escaped(name)}</th>' for name in head)}</tr>{body}</table>"


def _pieces(one, share):
    """The shares of the stages, the one of the symbols cut into planes."""
    role = "quantize" if "quantize" in share else one.trace.steps[-1].role
    pieces = {}
    for name, bits in share.items():
        if name == role and one.anatomy.costs:
            planes = {f"symbols {n}": float(costs.sum()) for n, _, costs in _planes(one) if costs.size > 1}
            pieces |= planes
            bits -= sum(planes.values())
        pieces[name] = bits
    return pieces


def _planes(one):
    """(name, symbols or None, costs) of each plane whose costs are known."""
    value, costs = one.trace.steps[-2].value, one.anatomy.costs
    names, planes = plane_names(value), arrays(value)
    if len(planes) != len(costs):  # a library's file: the costs are those of planes inside it
        names, planes = (["Y", "Cb", "Cr"] if len(costs) == 3 else ["Y"] * len(costs)), [None] * len(costs)
    return list(zip(names, planes, costs, strict=True))


def _share_table(share, total):
    rows = [(role, counted(bits), f"{100 * bits / total:.2f} %") for role, bits in share.items()]
    rows.append(("sum: the file", counted(sum(share.values())), "100 %"))
    return charts.table(("stage", "bits", "share"), rows, total=True)


def _groups_table(parts: tuple[Part, ...], total):
    groups: dict[str, int] = {}
    for part in parts:
        groups[part.group or part.name] = groups.get(part.group or part.name, 0) + part.bits
    rows = [(escaped(name), counted(bits), f"{100 * bits / total:.2f} %") for name, bits in groups.items()]
    if len(rows) > 14:
        others = sum(bits for bits in list(groups.values())[14:])
        rows = [*rows[:14], (f"{len(rows) - 14} others", counted(others), f"{100 * others / total:.2f} %")]
    return charts.table(("part", "bits", "share"), rows)


def _planes_table(one):
    """Symbols, zeros, entropy and real bits of each plane."""
    rows = []
    for name, plane, costs in _planes(one):
        if costs.size == 1:
            continue
        real = float(costs.sum())
        row = [name or "plane", counted(costs.size)]
        if plane is None:
            row += ["–", "–"]
        else:
            step = Step.of("", "", plane)
            row += [f"{100 * np.mean(plane == 0):.1f} %", "–" if step.entropy is None else counted(step.entropy)]
        rows.append((*row, counted(real), f"{real / costs.size:.3f}"))
    return charts.table(("plane", "symbols", "zeros", "entropy", "real bits", "bits a symbol"), rows)


def _cost_figures(one):
    """Costs by position, by coefficient or by channel."""
    found = []
    for name, _, costs in _planes(one):
        if costs.size == 1:
            continue
        if costs.ndim == 4 and costs.shape[2] == costs.shape[3]:
            mean = costs.mean((0, 1))
            caption = f"{name}: mean bits of each of the {mean.shape[0]} × {mean.shape[1]} coefficients"
            found.append(charts.matrix(mean, caption))
        elif costs.ndim == 3 and costs.shape[2] > 1:
            by_channel = np.sort(costs.sum((0, 1)))[::-1]
            half = int(np.searchsorted(np.cumsum(by_channel), by_channel.sum() / 2)) + 1
            caption = f"{name}: bits of each channel, in order of size; {half} of {len(by_channel)} take half of them"
            found.append(charts.bars(by_channel, caption))
            found.append(figure_of(View(f"{name}: bits at each position", heat(lying(costs.sum(2))), True)))
        elif costs.ndim == 2:
            found.append(figure_of(View(f"{name}: bits of each symbol", heat(fitted_map(costs, SIDE)))))
    return ['<div class="plots">', *found, "</div>"] if found else []


# --- bytes ----------------------------------------------------------------------------------------------------------


def _bytes(one: Explained) -> str:
    """The first bytes with the parts that stand in them; the script lays them out."""
    data = one.trace.stream[:FIRST_BYTES]
    parts, at = [], 0
    for part in one.anatomy.parts:
        if at >= 8 * len(data):
            break
        parts.append([part.name, part.bits, part.value, part.group, part.role])
        at += part.bits
    held = {"hex": data.hex(), "parts": parts, "size": len(one.trace.stream)}
    return (
        f'<div class="card dissection"><div class="hex" role="grid" aria-label="bytes of the file"></div>'
        f'<div class="fields"></div><script type="application/json">{embedded_json(held)}</script></div>'
    )
