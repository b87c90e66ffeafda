"""Video standards as libraries code them, for stills and for video. Names are imported at first use."""

import lazy_loader

from ..entry import Entry


def _entry(name: str, highest: int, summary: str, requires: tuple[str, ...] = ()) -> Entry:
    """What the entries share."""
    return Entry(
        name=name,
        family="library",
        media="image, video",
        quality=(0, highest),
        whole=True,
        summary=summary,
        factory=f"codeckit.codecs.standards.codec:{name}",
        requires=requires,
        install=f"pip install 'codeckit[{name}]'" if requires else "",
    )


H264 = _entry("h264", 51, "H.264 (x264); stills intra")
HEVC = _entry("hevc", 51, "HEVC (x265); stills intra")
AV1 = _entry("av1", 63, "AV1 (SVT-AV1, dav1d); stills intra")
VP9 = _entry("vp9", 63, "VP9 (libvpx); stills intra")
VVC = _entry("vvc", 63, "VVC (VVenC); stills intra; decoding needs no package", ("imageio_ffmpeg",))

__getattr__, __dir__, _lazy = lazy_loader.attach_stub(__name__, __file__)
__all__ = ["AV1", "H264", "HEVC", "VP9", "VVC", *_lazy]
