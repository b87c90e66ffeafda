"""Video standards as libraries code them, for stills and for video."""

from .codec import StandardCoded, av1, h264, hevc, vp9, vvc
from .encoders import STANDARDS, Settings

__all__ = ["STANDARDS", "Settings", "StandardCoded", "av1", "h264", "hevc", "vp9", "vvc"]
