"""Colour: RGB and luma/chroma, in 8-bit samples with the rounding of JFIF.

Natural pictures vary mostly in brightness, and eyes see brightness sharper than colour. So codecs turn R, G, B into a
luma Y (a weighted mean) and two colour differences, scaled to the same 8 bits:

    Y  = K_r R + (1 − K_r − K_b) G + K_b B
    Cb = (B − Y) / (2 − 2 K_b) + 128
    Cr = (R − Y) / (2 − 2 K_r) + 128

with full range 0…255 for all three. K_r, K_b are 0.299, 0.114 for BT.601 (what JFIF prescribes: ITU-T T.871 clause 7)
and 0.2126, 0.0722 for BT.709. Video more often uses the *limited* range, 16…235 for Y and 16…240 for Cb and Cr, and up
to 12 bits (ITU-T H.273 clause 8.3); `rgb_to_planes` and `planes_to_rgb` have these.

Results are *rounded* to integers (flooring would lose half a level on average and cap any codec at 43.7 dB; rounding
caps it at 53 dB). The arithmetic is 16-bit fixed point with constants that T.871 prints to five decimals: what libjpeg
computes, to the bit, so that our JPEG decodes to the same pixels as everybody's.
"""

from dataclasses import dataclass

import numpy as np

from .compiled import njit
from .errors import StreamError
from .picture import Picture
from .stage import Stage

#: (K_r, K_b) of each matrix.
MATRICES = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}

# Planes of the colour models that have RGB pixels.
_PLANES = {"grey": 1, "ycbcr": 3, "rgb": 3, "cmyk": 4, "ycck": 4}


# numba computes sums and products of 32-bit integers in 64 bits. `i32` brings each back at once, so that vectors hold
# twice as many lanes.
i32 = np.int32


def _fixed(value: float) -> int:
    """A constant with 16 fractional bits."""
    return round(value * 65536)


def _forward_constants(matrix: str) -> np.ndarray:
    kr, kb = MATRICES[matrix]
    kg = 1 - kr - kb
    cb, cr = 2 - 2 * kb, 2 - 2 * kr
    y = [_fixed(kr), _fixed(kg), _fixed(kb)]
    u = [-_fixed(kr / cb), -_fixed(kg / cb), _fixed(0.5)]
    v = [_fixed(0.5), -_fixed(kg / cr), -_fixed(kb / cr)]
    return np.array([y, u, v], np.int32)


def _inverse_constants(matrix: str) -> np.ndarray:
    kr, kb = MATRICES[matrix]
    kg = 1 - kr - kb
    cb, cr = 2 - 2 * kb, 2 - 2 * kr
    return np.array([_fixed(round(c, 5)) for c in (cr, cb, kb * cb / kg, kr * cr / kg)], np.int32)


@njit(cache=True, inline="always")
def _weighted(a, x, b, y, c, z, offset):
    """a·x + b·y + c·z + offset for constants with 16 fractional bits, without these bits."""
    return i32(i32(i32(a * x) + i32(b * y)) + i32(i32(c * z) + offset)) >> i32(16)


@njit(cache=True)
def _rgb_to_ycbcr(rgb, constants, luma, blue, red):
    ry, gy, by = constants[0]
    ru, gu, bu = constants[1]
    rv, gv, bv = constants[2]
    half = i32(1 << 15)
    # Differences are offset by 128 and rounded half down, as libjpeg rounds them.
    centre = i32((128 << 16) + (1 << 15) - 1)
    for i in range(luma.size):
        r, g, b = i32(rgb[3 * i]), i32(rgb[3 * i + 1]), i32(rgb[3 * i + 2])
        luma[i] = _weighted(ry, r, gy, g, by, b, half)
        blue[i] = _weighted(ru, r, gu, g, bu, b, centre)
        red[i] = _weighted(rv, r, gv, g, bv, b, centre)


@njit(cache=True, inline="always")
def _clip(value):
    return min(max(i32(value), i32(0)), i32(255))


@njit(cache=True)
def _ycbcr_to_rgb(luma, blue, red, constants, rgb):
    red_r, blue_b, blue_g, red_g = constants
    half, zero = i32(1 << 15), i32(0)
    for i in range(luma.size):
        y, u, v = i32(luma[i]), i32(i32(blue[i]) - i32(128)), i32(i32(red[i]) - i32(128))
        rgb[3 * i] = _clip(y + _weighted(red_r, v, zero, zero, zero, zero, half))
        rgb[3 * i + 1] = _clip(y + _weighted(-blue_g, u, -red_g, v, zero, zero, half))
        rgb[3 * i + 2] = _clip(y + _weighted(blue_b, u, zero, zero, zero, zero, half))


def rgb_to_ycbcr(image: np.ndarray, matrix: str = "bt601") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Planes Y, Cb, Cr (each uint8 [H,W]) of an RGB image (uint8 [H,W,3]).

    Source: ITU-T T.871 clause 7.

    >>> y, cb, cr = rgb_to_ycbcr(np.array([[[255, 0, 0]]], np.uint8))
    >>> int(y[0, 0]), int(cb[0, 0]), int(cr[0, 0])
    (76, 85, 255)
    """
    image = np.ascontiguousarray(image)
    planes = tuple(np.empty(image.shape[:2], np.uint8) for _ in range(3))
    _rgb_to_ycbcr(image.ravel(), _forward_constants(matrix), *(plane.ravel() for plane in planes))
    return planes


def ycbcr_to_rgb(y: np.ndarray, cb: np.ndarray, cr: np.ndarray, matrix: str = "bt601") -> np.ndarray:
    """RGB image (uint8 [H,W,3]) of planes Y, Cb, Cr (each uint8 [H,W]), clipped to 0…255.

    Raises:
        ValueError: the planes' shapes differ.

    >>> plane = lambda value: np.array([[value]], np.uint8)
    >>> ycbcr_to_rgb(plane(76), plane(85), plane(255)).tolist()
    [[[254, 0, 0]]]
    """
    if not y.shape == cb.shape == cr.shape:
        raise ValueError(
            f"Y, Cb and Cr must have one shape, not {y.shape}, {cb.shape} and {cr.shape}; upsample them first"
        )
    rgb = np.empty((*y.shape, 3), np.uint8)
    planes = (np.ascontiguousarray(plane).ravel() for plane in (y, cb, cr))
    _ycbcr_to_rgb(*planes, _inverse_constants(matrix), rgb.ravel())
    return rgb


# --- any range, any depth: what video standards code ---

#: The range of samples: all codes, or those that studio video keeps to.
RANGES = ("full", "limited")


def _scales(value_range: str, bits: int) -> tuple[float, float, float, float]:
    """Scale and offset of Y, scale and offset of Cb and Cr, for RGB and differences on a scale of 255."""
    if value_range == "full":
        top = (1 << bits) - 1
        return top / 255, 0.0, top / 255, float(1 << (bits - 1))
    unit = 1 << (bits - 8)
    return 219 * unit / 255, 16.0 * unit, 224 * unit / 255, 128.0 * unit


@njit(cache=True)
def _rgb_to_planes(rgb, kr, kb, scales, top, luma, blue, red):
    y_scale, y_offset, c_scale, c_offset = scales
    kg = 1 - kr - kb
    for i in range(luma.size):
        r, g, b = float(rgb[3 * i]), float(rgb[3 * i + 1]), float(rgb[3 * i + 2])
        y = kr * r + kg * g + kb * b
        luma[i] = np.rint(y * y_scale + y_offset)
        blue[i] = min(np.rint((b - y) / (2 - 2 * kb) * c_scale + c_offset), top)
        red[i] = min(np.rint((r - y) / (2 - 2 * kr) * c_scale + c_offset), top)


@njit(cache=True)
def _planes_to_rgb(luma, blue, red, kr, kb, scales, rgb):
    y_scale, y_offset, c_scale, c_offset = scales
    kg = 1 - kr - kb
    for i in range(luma.size):
        y = (luma[i] - y_offset) / y_scale
        b = y + (blue[i] - c_offset) / c_scale * (2 - 2 * kb)
        r = y + (red[i] - c_offset) / c_scale * (2 - 2 * kr)
        g = (y - kr * r - kb * b) / kg
        rgb[3 * i] = min(max(np.rint(r), 0.0), 255.0)
        rgb[3 * i + 1] = min(max(np.rint(g), 0.0), 255.0)
        rgb[3 * i + 2] = min(max(np.rint(b), 0.0), 255.0)


def rgb_to_planes(image: np.ndarray, matrix="bt601", value_range="full", bits=8) -> tuple[np.ndarray, ...]:
    """Planes Y, Cb, Cr of an RGB image, in any range and depth: `rgb_to_ycbcr` for video standards.

    Args:
        image: uint8 [H,W,3], or uint8 [H,W] for Y alone.
        matrix: one of `MATRICES`.
        value_range: ``"full"`` (0 … 2^bits − 1) or ``"limited"`` (Y 16 … 235, Cb and Cr 16 … 240, times 2^(bits − 8)).
        bits: 8 … 16.

    Returns:
        Three planes (or one) [H,W], uint8 where `bits` is 8, else uint16. Source: ITU-T H.273 clause 8.3.

    >>> y, cb, cr = rgb_to_planes(np.full((1, 1, 3), 255, np.uint8), value_range="limited", bits=10)
    >>> int(y[0, 0]), int(cb[0, 0]), int(cr[0, 0])
    (940, 512, 512)
    """
    if image.ndim == 3 and (value_range, bits) == ("full", 8):
        return rgb_to_ycbcr(image, matrix)
    scales = _scales(value_range, bits)
    dtype = np.uint8 if bits == 8 else np.uint16
    if image.ndim == 2:
        return (np.rint(image * scales[0] + scales[1]).astype(dtype),)
    planes = tuple(np.empty(image.shape[:2], dtype) for _ in range(3))
    flat = (plane.ravel() for plane in planes)
    _rgb_to_planes(np.ascontiguousarray(image).ravel(), *MATRICES[matrix], scales, float((1 << bits) - 1), *flat)
    return planes


def planes_to_rgb(planes: tuple[np.ndarray, ...], matrix="bt601", value_range="full", bits=8) -> np.ndarray:
    """The inverse of `rgb_to_planes`: uint8 [H,W,3], or [H,W] of one plane, rounded and clipped to 0…255.

    >>> image = np.array([[[10, 200, 30]]], np.uint8)
    >>> planes_to_rgb(rgb_to_planes(image, "bt709", "limited", 10), "bt709", "limited", 10).tolist()
    [[[10, 200, 30]]]
    """
    if len(planes) == 3 and (value_range, bits) == ("full", 8):
        return ycbcr_to_rgb(*planes, matrix)
    scales = _scales(value_range, bits)
    if len(planes) == 1:
        return np.clip(np.rint((planes[0] - scales[1]) / scales[0]), 0, 255).astype(np.uint8)
    rgb = np.empty((*planes[0].shape, 3), np.uint8)
    flat = (np.ascontiguousarray(plane).ravel() for plane in planes)
    _planes_to_rgb(*flat, *MATRICES[matrix], scales, rgb.ravel())
    return rgb


def cmyk_to_rgb(cmyk: np.ndarray) -> np.ndarray:
    """RGB (uint8 [H,W,3]) of CMYK in Adobe's inverted convention (uint8 [H,W,4], 255 = no ink).

    Printing inks have no exact RGB; this is the usual plain product of paper left uncovered, R = C · K / 255, rounded.

    >>> cmyk_to_rgb(np.array([[[255, 128, 0, 255]]], np.uint8)).tolist()
    [[[255, 128, 0]]]
    """
    black = cmyk[..., 3:].astype(np.int32)
    ink = 255 - cmyk[..., :3].astype(np.int32)
    product = ink * black + 128
    return np.clip(black - ((product + (product >> 8)) >> 8), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class YCbCr(Stage):
    """Image (uint8 [H,W,3] or [H,W]) to a `Picture` of Y, Cb, Cr planes, and back.

    A grey image becomes one plane. `inverse` follows the picture's own colour model, so that files which hold RGB,
    CMYK or YCCK come out as RGB too.

    Attributes:
        matrix: ``"bt601"`` (JFIF) or ``"bt709"``.

    >>> image = np.full((2, 3, 3), 100, np.uint8)
    >>> bool((YCbCr().inverse(YCbCr().forward(image)) == image).all())
    True
    """

    matrix: str = "bt601"

    def __post_init__(self):
        if self.matrix not in MATRICES:
            raise ValueError(f"matrix is one of {', '.join(MATRICES)}, not {self.matrix!r}")

    def forward(self, image: np.ndarray) -> Picture:
        """Convert an image; the planes have its size."""
        size = image.shape[:2]
        if image.ndim == 2:
            return Picture((image,), size)
        return Picture(rgb_to_ycbcr(image, self.matrix), size, ((1, 1),) * 3, "ycbcr")

    def inverse(self, picture: Picture) -> np.ndarray:
        """uint8 [H,W] of a grey picture, uint8 [H,W,3] of all others.

        Raises:
            StreamError: the planes are not those of an image: their number, size or type is another.
        """
        planes = picture.planes
        if len(planes) != _PLANES.get(picture.color) or any(
            plane.shape != picture.size or plane.dtype != np.uint8 for plane in planes
        ):
            described = ", ".join(f"{plane.dtype} {list(plane.shape)}" for plane in planes)
            raise StreamError(f"planes {described} are no {picture.color} image of {picture.size} uint8 samples")
        if picture.color == "grey":
            return planes[0]
        if picture.color == "ycbcr":
            return ycbcr_to_rgb(*planes, self.matrix)
        if picture.color == "rgb":
            return np.stack(planes, axis=-1)
        if picture.color == "ycck":  # YCbCr of the inks C, M, Y complemented, and K as it is
            cmy = 255 - ycbcr_to_rgb(*planes[:3], self.matrix)
            return cmyk_to_rgb(np.dstack([cmy, planes[3]]))
        return cmyk_to_rgb(np.stack(planes, axis=-1))


@dataclass(frozen=True)
class ComponentTransform(Stage):
    """The component transforms of JPEG 2000 (ITU-T T.800 Annex G), unrounded or reversible, around zero.

    Both shift samples by −128. The irreversible one (ICT) is Y, Cb, Cr of BT.601 in floats: nothing is lost before the
    quantizer. The reversible one (RCT) is a rounded cousin on integers that its inverse restores exactly::

        Y = ⌊(R + 2G + B) / 4⌋    U = B − G    V = R − G        G = Y − ⌊(U + V) / 4⌋    R = V + G    B = U + G

    Attributes:
        reversible: RCT to int32 planes instead of ICT to float32 planes.

    >>> image = np.array([[[10, 200, 30], [255, 0, 9]]], np.uint8)
    >>> stage = ComponentTransform(reversible=True)
    >>> [plane.tolist() for plane in stage.forward(image).planes]
    [[[-18, -62]], [[-170, 9]], [[-190, 255]]]
    >>> bool((stage.inverse(stage.forward(image)) == image).all())
    True
    """

    reversible: bool = False

    def forward(self, image: np.ndarray) -> Picture:
        """Image (uint8 [H,W,3] or [H,W]) to a `Picture` of three planes or one."""
        size = image.shape[:2]
        dtype = np.int32 if self.reversible else np.float32
        if image.ndim == 2:
            return Picture((image.astype(dtype) - 128,), size)
        r, g, b = np.moveaxis(image.astype(dtype) - 128, 2, 0)
        if self.reversible:
            planes = (r + 2 * g + b) >> 2, b - g, r - g
        else:
            kr, kb = MATRICES["bt601"]
            y = kr * r + (1 - kr - kb) * g + kb * b
            planes = y, (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr)
        return Picture(tuple(map(np.ascontiguousarray, planes)), size, ((1, 1),) * 3, "ycbcr")

    def inverse(self, picture: Picture) -> np.ndarray:
        """uint8 [H,W,3], or [H,W] of one plane, rounded and clipped.

        Raises:
            StreamError: the planes are not those of an image.
        """
        planes = picture.planes
        if len(planes) not in (1, 3) or any(plane.shape != picture.size for plane in planes):
            raise StreamError(f"{len(planes)} planes are no image of {picture.size} samples")
        if self.reversible:
            # A damaged stream may hold any integers; those of an image have 9 bits.
            planes = [np.clip(plane, -(1 << 20), 1 << 20).astype(np.int32) for plane in planes]
        if len(planes) == 1:
            samples = planes[0]
        elif self.reversible:
            y, u, v = planes
            g = y - ((u + v) >> 2)
            samples = np.stack([v + g, g, u + g], axis=2)
        else:
            y, cb, cr = planes
            kr, kb = MATRICES["bt601"]
            r, b = y + (2 - 2 * kr) * cr, y + (2 - 2 * kb) * cb
            samples = np.stack([r, (y - kr * r - kb * b) / (1 - kr - kb), b], axis=2)
        return (np.clip(np.rint(samples), -128, 127) + 128).astype(np.uint8)
