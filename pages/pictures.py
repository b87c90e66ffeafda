"""Pictures of what stands between the stages of a codec, whatever it is.

What an array holds is read off its shape and values, never off the codec's name:

==============  ================================================================  =====================================
array           what it is                                                         shown as
==============  ================================================================  =====================================
uint8 [h,w,3]   a picture                                                          itself
uint8 [h,w]     samples of a plane                                                 grey; colour differences in colour
[h,w]           samples with a sign, or wavelet coefficients                       grey, or magnitudes if most are small
[h,w,n,n]       blocks of coefficients                                             blocks in place, and by frequency
[h,w,C]         channels of a latent or of features, or tokens                     the channels of most energy
==============  ================================================================  =====================================
"""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..codecs.trace import Step
from ..primitives.picture import Picture
from ..primitives.token_grid import Tokens

#: Pictures of stages have so many pixels a side at most.
SIDE = 512

#: Channels that are shown of a latent.
CHANNELS = 24


@dataclass(frozen=True, eq=False)
class View:
    """A picture to show: uint8 [h,w,3] or [h,w], with a caption; `pixelated` where its pixels are to be seen."""

    caption: str
    image: np.ndarray
    pixelated: bool = False


def data_uri(image: np.ndarray, quality: int | None = 82) -> str:
    """A picture as a ``data:`` address, WebP of that quality; None for without loss.

    >>> data_uri(np.zeros((2, 2), np.uint8))[:23]
    'data:image/webp;base64,'
    """
    out = io.BytesIO()
    Image.fromarray(image).save(out, "WEBP", lossless=quality is None, quality=quality or 60, method=4)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()


def fitted(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    """The picture, made smaller if it has more than `side` pixels a side.

    >>> fitted(np.zeros((100, 50), np.uint8), 20).shape
    (20, 10)
    """
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))


def thinned(array: np.ndarray, side: int = 2 * SIDE) -> np.ndarray:
    """Every k-th row and column of [h,w,…], blocks whole, so that what is drawn has not much more than `side` pixels.

    >>> thinned(np.zeros((50, 20, 8, 8)), 100).shape
    (13, 5, 8, 8)
    """
    across = max(array.shape[:2]) * (max(array.shape[2:]) if array.ndim == 4 else 1)
    step = max(across // side, 1)
    return array[::step, ::step]


def fitted_map(values: np.ndarray, side: int) -> np.ndarray:
    """Numbers [h,w], averaged to at most `side` a side: float32.

    >>> fitted_map(np.array([[0.0, 2.0], [4.0, 6.0]]), 1).tolist()
    [[3.0]]
    """
    height, width = values.shape
    scale = min(side / max(height, width), 1)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BOX))


def heat(values: np.ndarray, top: float | None = None) -> np.ndarray:
    """Values [h,w] from 0 up as colours, black to yellow; `top` is the brightest, by default the 99.5th percentile."""
    from matplotlib import colormaps

    top = top or float(np.percentile(values, 99.5)) or 1.0
    return (255 * colormaps["inferno"](np.clip(values / top, 0, 1))[..., :3]).astype(np.uint8)


def signed(values: np.ndarray) -> np.ndarray:
    """Values [h,w] around 0 as colours: 0 dark, positive orange, negative blue; brightness by log of the magnitude."""
    size = np.abs(values).astype(np.float64)
    top = float(size.max()) or 1.0
    floor = max(float(np.median(size[size > 0])) / 4, top * 1e-4) if (size > 0).any() else 1.0
    strength = (np.log1p(size / floor) / np.log1p(top / floor)) ** 0.7
    dark, warm, cold = np.array([16, 20, 28]), np.array([255, 176, 66]), np.array([86, 180, 255])
    colors = np.where((values > 0)[..., None], warm, cold)
    return (dark + strength[..., None] * (colors - dark)).astype(np.uint8)


def grey(values: np.ndarray) -> np.ndarray:
    """Values [h,w] on a scale from their smallest to their largest, but for the outermost hundredth of them."""
    low, high = np.percentile(values, (0.5, 99.5))
    return (255 * np.clip((values - low) / ((high - low) or 1), 0, 1)).astype(np.uint8)


def is_sparse(values: np.ndarray) -> bool:
    """Whether most values are small beside the largest, as those of coefficients are.

    >>> is_sparse(np.array([0, 0, 1, -90])), is_sparse(np.array([-60, 70, 80, -90]))
    (True, False)
    """
    size = np.abs(values.astype(np.float64))
    return bool(np.median(size) < 0.1 * np.percentile(size, 99.5))


def plane_view(values: np.ndarray, name: str) -> View:
    """A plane [h,w] of samples or coefficients."""
    if values.dtype == np.uint8:
        return View(name, values)
    if is_sparse(values):
        return View(f"{name}: magnitudes, orange positive, blue negative", signed(values))
    return View(name, grey(values))


def blocks_in_place(blocks: np.ndarray) -> np.ndarray:
    """[rows,columns,n,m] as [rows·n, columns·m], every block where it stands in the picture.

    >>> blocks_in_place(np.arange(8).reshape(1, 2, 2, 2)).tolist()
    [[0, 1, 4, 5], [2, 3, 6, 7]]
    """
    rows, columns, n, m = blocks.shape
    return blocks.swapaxes(1, 2).reshape(rows * n, columns * m)


def blocks_by_frequency(blocks: np.ndarray) -> np.ndarray:
    """[rows,columns,n,m] as [n·rows, m·columns]: n·m small pictures, one of each coefficient.

    >>> blocks_by_frequency(np.arange(8).reshape(1, 2, 2, 2)).tolist()
    [[0, 4, 1, 5], [2, 6, 3, 7]]
    """
    rows, columns, n, m = blocks.shape
    return blocks.transpose(2, 0, 3, 1).reshape(n * rows, m * columns)


def lying(array: np.ndarray) -> np.ndarray:
    """[h,1,…] as [1,h,…]: what is a list, such as tokens with no places, takes less of a page lying than standing."""
    return array.swapaxes(0, 1) if array.shape[1] == 1 else array


def contact_sheet(channels: np.ndarray, count: int = CHANNELS) -> tuple[np.ndarray, list[int]]:
    """The channels of most energy of [h,w,C] side by side, and their numbers."""
    spread = channels.reshape(-1, channels.shape[2]).astype(np.float64).std(0)
    order = np.argsort(-spread, kind="stable")[:count].tolist()
    if channels.min() < 0:
        tiles = [signed(channels[..., c]) for c in order]
    else:  # one scale for all
        top = float(np.log1p(channels.max())) or 1.0
        tiles = [heat(np.log1p(channels[..., c]), top) for c in order]
    across = max(1, round((len(tiles) * channels.shape[0] / channels.shape[1]) ** 0.5))
    across = min(across, len(tiles))
    down = -(-len(tiles) // across)
    height, width = channels.shape[:2]
    sheet = np.full((down * (height + 1) - 1, across * (width + 1) - 1, 3), 128, np.uint8)
    for n, tile in enumerate(tiles):
        y, x = n // across * (height + 1), n % across * (width + 1)
        sheet[y : y + height, x : x + width] = tile
    return sheet, order


def principal_axes(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of vectors [N,C], and the three directions [C,3] along which they differ most."""
    mean = features.mean(0)
    _, _, axes = np.linalg.svd(features - mean, full_matrices=False)
    axes = axes[:3].T
    return mean, np.pad(axes, ((0, 0), (0, 3 - axes.shape[1])))


def principal_colors(channels: np.ndarray, axes: tuple[np.ndarray, np.ndarray] | None = None) -> np.ndarray:
    """[h,w,C] as colours: its three principal components as red, green and blue; `axes` of another's for comparison."""
    flat = channels.reshape(-1, channels.shape[-1]).astype(np.float64)
    mean, directions = axes or principal_axes(flat)
    parts = (flat - mean) @ directions
    scale = 2.5 * (parts.std(0) + 1e-9)
    return (255 * np.clip(0.5 + parts / (2 * scale), 0, 1)).astype(np.uint8).reshape(*channels.shape[:2], 3)


def label_colors(labels: np.ndarray) -> np.ndarray:
    """Labels [h,w] as colours uint8 [h,w,3], hues a golden angle apart, in three shades."""
    hue = labels.astype(np.float64)[..., None] * 0.381966 * 2 * np.pi
    colors = 0.5 + 0.5 * np.cos(hue + np.array([0, 2, 4]) * np.pi / 3)
    return (255 * (0.25 + 0.65 * colors) * (1 - 0.2 * (labels % 3))[..., None]).astype(np.uint8)


def plane_names(value) -> list[str]:
    """What the planes of a step are called."""
    if isinstance(value, Picture):
        count = len(value.planes)
        sides = {plane.ndim for plane in value.planes}
        if 3 in sides:
            names = ["y", "z"]
        elif value.color == "ycbcr" or (value.color != "rgb" and count == 3):
            names = ["Y", "Cb", "Cr"]
        elif value.color == "rgb":
            names = ["R", "G", "B"]
        else:
            names = [value.color]
        names += [f"plane {n}" for n in range(len(names), count)]
        return names[: len(value.planes)]
    return ["tokens"] if isinstance(value, Tokens) else [""]


def arrays(value) -> list[np.ndarray]:
    """The arrays of a step's value; none for bytes."""
    if isinstance(value, bytes):
        return []
    if isinstance(value, Tokens):
        return [value.map if value.features.ndim == 2 else value.map[..., None]]
    return list(value.planes) if isinstance(value, Picture) else [value]


def views(value) -> list[View]:
    """Pictures of one step's value.

    >>> [view.caption for view in views(np.zeros((4, 4, 3), np.uint8))]
    ['the picture']
    """
    if isinstance(value, bytes):
        data = np.frombuffer(value[: 1 << 16], np.uint8)
        width = int(max(data.size, 1) ** 0.5)
        data = data[: width * (data.size // width)]
        shown = "" if len(value) <= 1 << 16 else f", the first {data.size}"
        return [View(f"every byte a dot{shown}: what is coded well looks like noise", data.reshape(-1, width), True)]
    found = []
    for name, array in zip(plane_names(value), arrays(value), strict=True):
        if array.size == 1:
            continue
        if array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8:
            found.append(View("the picture", array))
        elif array.ndim == 2 and array.dtype == np.uint8 and name in ("Cb", "Cr"):
            found.append(View(name, _difference_colors(array, name)))
        elif array.ndim == 2:
            shown = array if array.dtype == np.uint8 else thinned(array)
            found.append(plane_view(shown, name or "the picture"))
        elif array.ndim == 3:
            array = lying(array)
            sheet, order = contact_sheet(array)
            which = f"the {len(order)} of {array.shape[2]} channels with most energy" if len(order) > 1 else "values"
            found.append(View(f"{name}: {which}", sheet, True))
            if array.shape[2] > 3:
                found.append(View(f"{name}: three principal components as colours", principal_colors(array), True))
        elif array.ndim == 4:
            array = thinned(array)
            found.append(View(f"{name}: blocks in place", signed(blocks_in_place(array))))
            found.append(View(f"{name}: by frequency, one picture a coefficient", signed(blocks_by_frequency(array))))
    return found


def _difference_colors(plane, name):
    """A colour-difference plane at middle luma: what its values mean."""
    offset = plane.astype(np.float64) - 128
    blue, red = (offset, 0 * offset) if name == "Cb" else (0 * offset, offset)
    rgb = np.stack([128 + 1.402 * red, 128 - 0.344 * blue - 0.714 * red, 128 + 1.772 * blue], -1)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def map_views(step: Step) -> tuple[list[View], dict[str, np.ndarray]]:
    """What a stage shows beside its values (`Stage.maps`): pictures, and lists of numbers by name."""
    found, lists = [], {}
    for name, array in step.maps.items():
        if array.ndim == 1:
            lists[name] = array
        elif array.ndim == 2 and array.dtype.kind == "u":
            found.append(View(f"{name}: {len(np.unique(array))} colours", label_colors(array), True))
        elif array.ndim == 2:
            found.append(View(name, heat(array) if array.min() >= 0 else signed(array), True))
        elif array.ndim == 3 and name != "latents":
            sheet, order = contact_sheet(array)
            found.append(View(f"{name}: the {len(order)} of {array.shape[2]} channels that vary most", sheet, True))
    return found, lists
