"""Learned video codecs: predicted frames by the transforms, gain units and entropy coder of the learned still codecs.

===================  ==================================================================
file                 holds
===================  ==================================================================
`networks`           the float networks that training moves
`exact`              their decoders in integers
`exact_still`        I-frames in integers
`motion`             motion stages
`stages`             the other stages
`loop`               groups of frames, chunks
`symbols`            the entropy coder's state from frame to frame
`codec`              the codecs as compositions
`header`, `weights`  weight files
===================  ==================================================================
"""

from functools import partial

from ..entry import Entry
from .header import has_shipped


def _entry(name: str, summary: str) -> Entry:
    return Entry(
        name=name,
        family="learned",
        media="image, video",
        quality=(1, 8),
        summary=summary,
        factory=f"codeckit.codecs.learned_video.codec:{name}",
        quality_steps=8,
        requires=("torch",),
        install="pass weights=PATH",
        ready=partial(has_shipped, name),
    )


DVC = _entry("dvc", "learned video: block motion, and a network that codes residuals")
DCVC = _entry("dcvc", "learned video: block motion, and a network that codes frames given their prediction")
