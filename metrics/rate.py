"""Rate: bits per pixel.

The rate of a compressed picture is the size of its whole file, header, side information and checksums included::

    bpp = 8 · bytes / (H · W)

Pixels are counted, not samples: a colour picture of 24 bits a pixel starts from 24 bpp.
"""


def bpp(n_bytes: int, size: tuple[int, ...]) -> float:
    """Bits per pixel of `n_bytes` bytes for a picture of `size` (H, W) pixels; an array's shape [H,W,C] will do.

    Raises:
        ValueError: the picture has no pixels.

    >>> bpp(6144, (512, 768))
    0.125
    """
    height, width = size[:2]
    if height < 1 or width < 1:
        raise ValueError(f"a picture of {width}×{height} pixels has no rate per pixel")
    return 8 * n_bytes / (height * width)
