"""The explorer of videos: a clip's way through one codec or several, frame by frame, as one HTML file.

All that the page shows is what decoding finds (`codecs.video.trace_video`): the kind and the bytes of each frame, and
what it was made of, under the names of `VideoStage.observe`. Nothing here knows a codec by name.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from PIL import Image, ImageDraw

from ..codecs.base import Codec
from ..codecs.frames import read_video
from ..codecs.video import FrameTrace, trace_video
from ..metrics import psnr
from . import charts
from .markup import THEME_BUTTON, column_section, counted, escaped, figure_of, first_paragraph, label_of, page
from .pictures import View, blocks_by_frequency, contact_sheet, heat, signed

#: The largest page, in bytes: where a clip is so noisy that it would be larger, its pictures are made smaller.
LIMIT = 8_000_000

#: Pictures have so many pixels a side at most.
SIDE = 448

#: Channels that are shown of latents and features.
_CHANNELS = 8

#: Arrows in a row of the motion field, about.
_ARROWS = 28


@dataclass(frozen=True, eq=False)
class Watched:
    """All that the page tells of one codec.

    Attributes:
        codec: the codec.
        fps: frames a second.
        size: bytes of the file.
        kinds, psnr: of each frame.
        parts: bits of each frame, by what they are for.
        frames: the first ones in full: the original, the frame decoded before it (None for the first), the trace.
    """

    codec: Codec
    fps: Fraction
    size: int
    kinds: list[str]
    psnr: np.ndarray
    parts: dict[str, np.ndarray]
    frames: list[tuple[np.ndarray, np.ndarray | None, FrameTrace]]

    @classmethod
    def of(cls, codec: Codec, video, shown: int) -> "Watched":
        """Encode a video, decode it, and keep what there is to see.

        Raises:
            ValueError: the codec's chunks are not frames.
        """
        stream = codec.encode_video(video, progress=codec.name)
        kinds, distances, spent, frames, before = [], [], [], [], None
        for trace, original in zip(trace_video(stream, codec.for_stream), video, strict=True):
            if math.isnan(trace.bytes):
                raise ValueError(
                    f"the stream of {codec.name} does not tell its frames apart; explain shows videos by dvc, dcvc, "
                    "video-teaching and codecs of stills"
                )
            decoded = _like(trace.frame, original)
            kinds.append(trace.kind or "I")
            distances.append(psnr(original, decoded))
            spent.append(_parts(trace))
            if len(frames) < shown:
                frames.append((original, before, trace))
                before = decoded
        names = sorted({name for parts in spent for name in parts}, key=_ORDER.index)
        parts = {name: np.array([each.get(name, 0.0) for each in spent]) for name in names}
        return cls(codec, video.fps, len(stream), kinds, np.array(distances), parts, frames)

    @property
    def label(self) -> str:
        """The codec's name and setting."""
        return label_of(self.codec)

    @property
    def bits(self) -> np.ndarray:
        """Bits of each frame."""
        return sum(self.parts.values(), np.zeros(len(self.kinds)))


def explain_video(frames, codecs, *, name: str | None = None, shown: int = 8, limit: int | None = None) -> str:
    """A page that shows what codecs do to a video, frame by frame.

    Args:
        frames: what `read_video` takes, but nothing that can be read only once.
        codecs: one configured `Codec`, or several that stand side by side.
        name: what the video is called; by default what `read_video` calls it.
        shown: the first frames, to be shown in full. The charts show all.
        limit: stop after so many frames.

    Returns:
        The HTML of a page that needs nothing else, of a few MB.

    Raises:
        ValueError: there are no codecs or frames, or a codec's chunks are not frames.

    >>> import codeckit
    >>> clip = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3)).astype(np.uint8)
    >>> page = explain_video(clip, codeckit.codec("video-teaching"), name="noise")
    >>> page[:15], page.count('class="frame"')
    ('<!doctype html>', 2)
    """
    codecs = [codecs] if isinstance(codecs, Codec) else list(codecs)
    if not codecs:
        raise ValueError("explain needs at least one codec")
    if not isinstance(shown, int) or shown < 1:
        raise ValueError(f"shown is a number of frames, at least 1, not {shown!r}")
    video = read_video(frames, limit=limit)
    watched = [Watched.of(codec, video, shown) for codec in codecs]
    for side in (SIDE, SIDE // 2, SIDE // 4):
        text = _page(video.size, watched, name or video.name, side)
        if len(text.encode()) <= LIMIT:
            break
    return text


def _page(size, watched: list[Watched], name, side):
    height, width = size
    count, shown = len(watched[0].kinds), len(watched[0].frames)
    top = max(float(one.bits.max()) for one in watched)
    finite = np.concatenate([one.psnr[np.isfinite(one.psnr)] for one in watched])
    span = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 100.0)
    labels = [f"<b>{escaped(one.label)}</b>" for one in watched]
    inner = [
        f'<section id="inside"><h2>Inside a frame</h2><p class="lead">{_INSIDE_LEAD}</p>'
        f'<div class="bar frames"><label>frame <input id="frame" type="range" min="0" max="{shown - 1}" value="0" '
        f'aria-label="frame"></label><output id="frame-number">0</output></div>'
    ]
    for number in range(shown):
        cells = "".join(
            f'<div class="column">{_heading(one, watched)}{_frame(one, number, side)}</div>' for one in watched
        )
        inner.append(
            f'<div class="frame" data-shown="{number}"><div class="columns n{len(watched)}">{cells}</div></div>'
        )
    body = [
        f'<header class="top"><div><p class="kicker">codeckit explain</p><h1>{escaped(name)}</h1><p class="sub">'
        f"{width} × {height} pixels, {count} frames, {float(watched[0].fps):.4g} a second, through "
        f"{' and '.join(labels)}</p></div>{THEME_BUTTON}</header>",
        f'<section id="summary" class="columns n{len(watched)}">'
        + "".join(_summary(one, size) for one in watched)
        + "</section>",
        column_section("frames", "Frame by frame", _FRAMES_LEAD, (_chart(one, top, span) for one in watched), watched),
        *inner,
        "</section>",
        "<footer>Made by <b>codeckit explain</b>. Bits are counted in the real stream while it is decoded. PSNR is "
        "that of all samples of a frame, in RGB.</footer>",
    ]
    return page(f"{name} through {' and '.join(one.label for one in watched)}", "\n".join(body), ["explain_video.js"])


_FRAMES_LEAD = (
    "Each bar is a frame, and its height the square root of the bits that it took. A dot marks an <b>I-frame</b>, "
    "which is coded without others. The frames between are <b>P-frames</b>: each is predicted from the one decoded "
    "before it, and takes far fewer bits for that. The line is the PSNR. Scales are the same for all codecs. Click a "
    "bar of the first frames to see inside it."
)
_INSIDE_LEAD = (
    "The steps that lead to one frame, in the order in which they happen. Move the slider to see the next frame. "
    "All of them were found by decoding the stream, so they are what every decoder sees; the original alone is "
    "known to nobody but the encoder."
)


def _heading(one, watched):
    return f'<h3 class="codec">{escaped(one.label)}</h3>' if len(watched) > 1 else ""


def _summary(one: Watched, size):
    pixels = len(one.kinds) * size[0] * size[1]
    seconds = float(len(one.kinds) / one.fps)
    bits, kinds = one.bits, np.array(one.kinds)
    figures = [
        (counted(one.size), "bytes"),
        (f"{8 * one.size / pixels:.4f}", "bits a pixel"),
        (counted(8 * one.size / seconds / 1000), "kbit a second"),
        (f"{one.psnr.mean():.2f} dB", "PSNR, mean of the frames"),
    ]
    figures += [
        (counted(bits[kinds == kind].mean() / 8), f"bytes of {'an' if kind == 'I' else 'a'} {kind}-frame")
        for kind in dict.fromkeys(one.kinds)
    ]
    cells = "".join(f"<div><b>{value}</b><span>{what}</span></div>" for value, what in figures)
    return f'<div class="card"><h3>{escaped(one.label)}</h3><div class="figures">{cells}</div></div>'


def _chart(one: Watched, top, span):
    kinds, total = np.array(one.kinds), float(one.bits.sum())
    shares = {
        f"{kind}: {name}": float(bits[kinds == kind].sum())
        for kind in dict.fromkeys(one.kinds)
        for name, bits in one.parts.items()
        if bits[kinds == kind].any()
    }
    rows = [(escaped(name), counted(bits), f"{100 * bits / total:.1f} %") for name, bits in shares.items()]
    rows.append(("sum: all frames", counted(total), "100 %"))
    return (
        f'<div class="card">{charts.timeline(one.parts, one.psnr, one.kinds, top, span)}'
        f"<h4>What the bits are for</h4>{charts.share(shares, total)}"
        f"{charts.table(('part', 'bits', 'share'), rows, total=True)}</div>"
    )


# --- one frame ------------------------------------------------------------------------------------------------------


def _frame(one: Watched, number: int, side: int) -> str:
    """The steps of a frame, a card each."""
    original, before, trace = one.frames[number]
    bits = 8 * trace.bytes
    kind = "without any other frame" if trace.kind != "P" else "predicted from the frame decoded before it"
    head = (
        f'<p class="shape">frame {number}: {trace.kind or "I"}, {kind}; {counted(trace.bytes)} bytes, '
        f"{one.psnr[number]:.2f} dB</p>"
    )
    share = charts.share({name: values[number] for name, values in one.parts.items()}, bits)
    cards = []
    for count, (title, told, shown) in enumerate(_steps(one, original, before, trace), 1):
        pictures = "".join(figure_of(view, side=side) for view in shown)
        cards.append(
            f'<article class="card"><header><span class="n">{count}</span><h4>{title}</h4></header><p>{told}</p>'
            f'<div class="pictures">{pictures}</div></article>'
        )
    return f"{head}{share}{''.join(cards)}"


def _steps(one: Watched, original, before, trace: FrameTrace) -> Iterable[tuple[str, str, list[View]]]:
    """Title, text and pictures of each step that the frame went through."""
    maps, predicted = trace.maps, trace.kind == "P"
    yield "The frame", "What goes in.", [View("original", original)]
    guess = None
    if predicted and "motion" in maps:
        length = np.hypot(*np.moveaxis(maps["motion"], 2, 0))
        caption = (
            f"mean {length.mean():.2f} pixels, longest {length.max():.1f}; {counted(_sum(maps, 'motion bits'))} bits"
        )
        yield "Motion", _MOTION, [View(caption, motion_picture(maps["motion"], before))]
    if predicted and "prediction" in maps:
        guess = maps["prediction"]
        yield "Prediction", _PREDICTION, [View(_distance("prediction", original, guess), guess)]
    if predicted and "corrected" in maps:
        guess = maps["corrected"]
        told = f"{_CORRECTED} <em>{first_paragraph(type(one.codec.stages['prediction']))}</em>"
        shown = [View(_distance("corrected prediction", original, guess), _samples(guess))]
        if "context" in maps:
            sheet, order = contact_sheet(maps["context"], _CHANNELS)
            caption = f"its features: {len(order)} of {maps['context'].shape[2]} channels"
            shown.append(View(caption, sheet))
        yield "Correction", told, shown
    if guess is not None:
        left = _rgb(original).astype(np.float32) - _rgb(guess)
        caption = f"original less prediction, doubled, around grey; root mean square {math.sqrt((left**2).mean()):.2f}"
        yield "What is left to say", _LEFT, [View(caption, _around_grey(left))]
    symbols = maps.get("latents", maps.get("coefficients"))
    if symbols is not None:
        zeros = f"{100 * np.mean(symbols == 0):.1f} % of {counted(symbols.size)} are zero"
        if symbols.ndim == 3:
            sheet, order = contact_sheet(symbols, _CHANNELS)
            yield "Symbols", _LATENTS, [View(f"{len(order)} of {symbols.shape[2]} channels; {zeros}", sheet, True)]
        else:
            yield "Symbols", _COEFFICIENTS, [View(zeros, signed(blocks_by_frequency(symbols)))]
    if "symbol bits" in maps:
        where = maps["symbol bits"]
        caption = f"{counted(where.sum())} bits for symbols; yellow is {np.percentile(where, 99.5):.0f} bits or more"
        yield "Where the bits went", _BITS, [View(caption, _over(heat(where), original))]
    if predicted and "residual" in maps:
        told = _ADDED if "corrected" in maps else _ADDED_BY_DCT
        yield "What the decoder adds", told, [View("doubled, around grey", _around_grey(maps["residual"]))]
    yield "The decoded frame", _DECODED, [View(_distance("decoded", original, trace.frame), trace.frame)]


_MOTION = (
    "The encoder looks for each block in the frame that was decoded before. A line leads from the middle of a block to "
    "the place that it is taken from. The hue tells the direction, the strength of the colour the distance. Vectors "
    "cost bits, too: a block whose own vector gains too little takes that of its neighbours."
)
_PREDICTION = (
    "The frame decoded before, each block moved. Encoder and decoder both have it. It is made of the decoded frame, "
    "not of the original, because the decoder has no other; otherwise their predictions would drift apart."
)
_CORRECTED = (
    "A network looks at the prediction and mends what motion leaves behind: seams between blocks, blur of "
    "interpolation, errors of the frame before. It costs no bits. It computes in whole numbers, so that every machine "
    "has the same result."
)
_LEFT = (
    "What the prediction does not tell: things that were hidden before, motion that no vector describes, light that "
    "changes, noise. This, or the frame given its prediction, is what the bits of the symbols are for."
)
_LATENTS = (
    "The analysis transform turns it into channels at a sixteenth of the resolution, and each value is rounded. These "
    "symbols are what the entropy coder writes. Where the prediction is good, all of them are zero and cost next to "
    "nothing."
)
_COEFFICIENTS = (
    "The difference goes through the DCT of 8×8 blocks, and coefficients are rounded to steps. One small picture for "
    "each of the 64 frequencies, of luma. These symbols are what the entropy coder writes."
)
_BITS = (
    "Bits of the symbols at each position of 16×16 pixels, over the frame. In a predicted frame they lie where the "
    "prediction fails, mostly at edges of what moves."
)
_ADDED = (
    "The synthesis transform turns the symbols back into pixels. This is added to the prediction. Where bits were "
    "saved, nothing is added, and the prediction stands as it is."
)
_ADDED_BY_DCT = (
    "Dequantized, transformed back, and added to the prediction. Where bits were saved, nothing is added, and the "
    "prediction stands as it is."
)
_DECODED = "What every decoder shows, and what the next frame is predicted from."


def motion_picture(motion: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """A motion field over the frame that it points into, uint8 [h,w,3]: small frames are enlarged.

    Args:
        motion: vectors [rows,columns,2] of blocks of 4, 8 or 16 pixels a side, down and right, in pixels.
        frame: [H,W,3] or [H,W]. Blocks are whole, so they may reach beyond it.

    >>> motion_picture(np.zeros((2, 3, 2)), np.full((30, 40, 3), 90, np.uint8)).shape
    (360, 480, 3)
    """
    rows, columns = motion.shape[:2]
    height, width = frame.shape[:2]
    block = next(side for side in (4, 8, 16) if rows * side >= height and columns * side >= width)
    scale = max(1, math.ceil(480 / max(width, 1)))
    length = np.hypot(motion[..., 0], motion[..., 1])
    strength = np.clip(length / max(float(np.percentile(length, 99)), 1.0), 0, 1)
    hue = np.arctan2(motion[..., 0], motion[..., 1])[..., None] + np.array([0, -2, 2]) * np.pi / 3
    colors = 255 * (0.5 + 0.5 * np.cos(hue))
    dim = 0.5 * _rgb(frame).mean(2, keepdims=True).repeat(3, 2)
    field, share = (x.repeat(block, 0).repeat(block, 1)[:height, :width] for x in (colors, 0.6 * strength[..., None]))
    mixed = ((1 - share) * dim + share * field).astype(np.uint8).repeat(scale, 0).repeat(scale, 1)
    image = Image.fromarray(mixed)
    draw = ImageDraw.Draw(image)
    every = max(1, round(columns / _ARROWS))
    for row in range(every // 2, rows, every):
        for column in range(every // 2, columns, every):
            y, x = (scale * block * (place + 0.5) for place in (row, column))
            down, right = scale * motion[row, column]
            draw.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=(255, 255, 255))
            if down or right:
                draw.line((x, y, x + right, y + down), fill=(255, 255, 255), width=1)
    return np.asarray(image)


#: What bits of frames are for, in the order in which they are shown.
_ORDER = ("frame", "symbols", "motion", "headers")


def _parts(trace: FrameTrace) -> dict[str, float]:
    """The bits of a frame by what they are for: those that are measured, and the rest, which is headers and checks."""
    if "symbol bits" not in trace.maps:
        return {"frame": 8 * trace.bytes}
    symbols, motion = (_sum(trace.maps, name) for name in ("symbol bits", "motion bits"))
    return {"symbols": symbols, "motion": motion, "headers": max(8 * trace.bytes - symbols - motion, 0.0)}


def _sum(maps, name):
    return float(maps[name].sum()) if name in maps else 0.0


def _like(decoded, original):
    return decoded[..., 0] if decoded.ndim > original.ndim else decoded


def _rgb(frame):
    return frame if frame.ndim == 3 else frame[..., None].repeat(3, 2)


def _samples(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _around_grey(difference):
    return _samples(128 + 2 * difference.astype(np.float32))


def _distance(what, original, frame):
    return f"{what}: {psnr(_rgb(original), _rgb(_samples(frame))):.2f} dB"


def _over(colors, frame):
    """Colours of positions of 16×16 pixels over a dim frame."""
    height, width = frame.shape[:2]
    shade = 0.35 * _rgb(frame).mean(2)[..., None]
    return np.clip(0.8 * colors.repeat(16, 0).repeat(16, 1)[:height, :width] + shade, 0, 255).astype(np.uint8)
