"""Declarations of the teaching codecs, whose code is in `jpeg2000_teaching` and `video_teaching`."""

from .entry import Entry

JPEG2000 = Entry(
    name="jpeg2000-teaching",
    family="classical",
    media="image",
    quality=(1, 100),
    summary="JPEG 2000's wavelet and bit planes from shared stages; any prefix decodes",
    factory="codeckit.codecs.jpeg2000_teaching:jpeg2000_teaching",
)

VIDEO = Entry(
    name="video-teaching",
    family="classical",
    media="image, video",
    quality=(1, 100),
    summary="hybrid video codec from shared stages: motion compensation and JPEG's stages",
    factory="codeckit.codecs.video_teaching:video_teaching",
)
