"""Pictures made by code: content for tests and benches that need no download, and the same everywhere.

Natural pictures have power spectra that fall off as 1/f² (Field, J. Opt. Soc. Am. A 4(12), 1987), edges, and smooth
shading; `photo` puts these three together. The other kinds are the extremes that codecs stumble over. All are
functions of their seed.
"""

import numpy as np


def photo(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """A photo-like picture: noise with a 1/f amplitude spectrum, hard-edged shapes, a gradient of light.

    Returns:
        uint8 [H,W,channels], or [H,W] where `channels` is 1.

    >>> photo(5, 7).shape, photo(5, 7, channels=1).shape
    ((5, 7, 3), (5, 7))
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    spectrum = np.fft.rfft2(rng.standard_normal((channels, height, width))) / np.maximum(frequency, 1 / 512)
    texture = np.fft.irfft2(spectrum, (height, width))
    texture = np.moveaxis(texture / (np.std(texture) + 1e-9), 0, -1)
    texture = 0.8 * texture[..., :1] + 0.35 * texture  # colours mostly move together
    planes = 118 + 34 * texture + (60 * x / width - 40 * y / height)[..., None]
    for _ in range(6):
        centre_y, centre_x, radius = rng.uniform(0, [height, width, max(height, width) / 4])
        inside = np.hypot(y - centre_y, x - centre_x) < radius
        planes[inside] = 0.4 * planes[inside] + rng.uniform(0, 150, channels)
    pixels = np.clip(np.rint(planes), 0, 255).astype(np.uint8)
    return pixels if channels > 1 else pixels[..., 0]


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Independent uniform samples: as incompressible as a picture can be. Shapes as in `photo`."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    return pixels if channels > 1 else pixels[..., 0]


def extremes(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Samples of 0 and 255 alone, in patches of 1 to 8 pixels: all the ringing there is. Shapes as in `photo`.

    >>> np.unique(extremes(16, 16))
    array([  0, 255], dtype=uint8)
    """
    rng = np.random.default_rng(seed)
    patch = int(rng.choice([1, 2, 4, 8]))
    bits = rng.integers(0, 2, (-(-height // patch), -(-width // patch), channels), np.uint8)
    pixels = 255 * bits.repeat(patch, 0).repeat(patch, 1)[:height, :width]
    return pixels if channels > 1 else pixels[..., 0]


def flat(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """One colour all over. Shapes as in `photo`."""
    pixels = np.empty((height, width, channels), np.uint8)
    pixels[:] = np.random.default_rng(seed).integers(0, 256, channels)
    return pixels if channels > 1 else pixels[..., 0]


#: The kinds of picture by name.
KINDS = {"photo": photo, "noise": noise, "extremes": extremes, "flat": flat}
