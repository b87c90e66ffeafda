"""Codecs: short compositions of the shared primitives, and library codecs under the same protocol."""

from .base import Codec, Step, Trace
from .image_io import Metadata
from .registry import Entry, codec, list_codecs, register_codec

__all__ = ["Codec", "Entry", "Metadata", "Step", "Trace", "codec", "list_codecs", "register_codec"]
