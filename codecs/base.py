"""A codec is a composition of stages; encoding folds them from left to right, decoding from right to left.

::

    image ── color ── subsample ── transform ── quantize ── entropy ──> bytes
              forward →                                        ← inverse

A `Codec` is immutable and has four parts: its *stages*; an *encoder*, which finds the stages' outputs (by folding
`forward`, or by a search); the *weights* that its stages compute with, one handle for all of them; and a *profile*,
which its streams take for granted (`codecs.profiles`). `Codec.replace` gives another codec in which stages are
exchanged, and its streams say so: whatever differs from the profile is written into the stream (`codecs.streams`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from dataclasses import replace as replace_fields
from typing import Any

from ..primitives import container
from ..primitives.container import Container
from ..primitives.errors import StreamError
from ..primitives.picture import MAX_PIXELS
from ..primitives.stage import Stage, Weighted
from . import streams
from .batches import decode_many, encode_many
from .encoder import Encoder, See  # noqa: F401 - `See` for those who write encoders
from .frames import Frames
from .image_io import STRICT, Photo, Reading, naming, read_stream
from .metadata import NOTHING, Metadata
from .profiles import Profile
from .trace import Record, Trace
from .video import decode_video, encode_video


@dataclass(frozen=True)
class Codec:
    """A configured codec: a name, its stages in order, and the setting it was configured with.

    Attributes:
        name: the registered name, or any name for a composition of one's own.
        stages: stages by their role (``"color"``, ``"transform"``, ``"quantize"``, ``"entropy"`` …), in order. The
            first takes an image (uint8 [H,W,3] or [H,W]), the last returns ``bytes``.
        setting: the options that were chosen, for records and plots.
        encoder: finds the stages' outputs.
        weights: the handle of the weights that stages compute with, or None.
        profile: what streams take for granted; None for streams that list all stages.
        reading: what to do with what picture files hold besides 8-bit samples.

    >>> import codeckit, numpy as np
    >>> image = np.full((16, 24, 3), 200, np.uint8)
    >>> codec = codeckit.codec("jpeg", quality=90)
    >>> list(codec.stages)
    ['color', 'subsample', 'transform', 'quantize', 'entropy']
    >>> codec.decode(codec.encode(image)).shape
    (16, 24, 3)
    """

    name: str
    stages: dict[str, Stage]
    setting: dict[str, Any] = field(default_factory=dict)
    encoder: Encoder = field(default_factory=Encoder, compare=False)
    weights: Any = None
    profile: Profile | None = field(default=None, repr=False)
    reading: Reading = field(default=STRICT, repr=False, compare=False)

    def __post_init__(self):
        if not self.stages:
            raise ValueError("a codec needs at least one stage")
        for role, stage in self.stages.items():
            if not isinstance(stage, Stage):
                raise ValueError(f"the stage {role!r} is {stage!r}; stages derive from codeckit.primitives.Stage")
        if self.weights is not None:
            bound = {
                role: stage.with_weights(self.weights) if isinstance(stage, Weighted) else stage
                for role, stage in self.stages.items()
            }
            object.__setattr__(self, "stages", bound)

    @property
    def native(self) -> bool:
        """Whether streams are complete files of a standard format (`.jpg`, `.webp`) instead of `.ckt` files."""
        return list(self.stages.values())[-1].native

    @property
    def device(self) -> str:
        """Where the codec's networks run; "cpu" if it has none."""
        return "cpu" if self.weights is None else self.weights.device

    def on(self, device: str) -> "Codec":
        """The same codec with its networks on another device: "cpu", "cuda", "cuda:1" …

        Raises:
            ValueError: there is no such device.
        """
        return self if self.weights is None else replace_fields(self, weights=self.weights.on(device))

    def replace(self, **stages: Stage) -> "Codec":
        """The same codec with some stages exchanged, by their roles.

        >>> import codeckit, numpy as np
        >>> from codeckit.primitives import ContextCoded
        >>> codec = codeckit.codec("jpeg").replace(entropy=ContextCoded())
        >>> codec.encode(np.zeros((8, 8), np.uint8))[:3]
        b'ckt'
        """
        if unknown := stages.keys() - self.stages.keys():
            raise ValueError(f"{self.name} has no stage {', '.join(sorted(unknown))}; it has {', '.join(self.stages)}")
        setting = {**self.setting, **{role: str(stage) for role, stage in stages.items()}}
        return replace_fields(self, stages={**self.stages, **stages}, setting=setting)

    def read(self, image) -> Photo:
        """A picture as this codec encodes it: pixels, and the metadata that its streams are to carry."""
        return self.encoder.read(image, self.reading, streams.carried(self.stages))

    def encode(self, image) -> bytes:
        """Encode one image.

        Args:
            image: uint8 array [H,W,3] or [H,W], PIL image, the path of an image file (turned upright if its Exif
                orientation says so), or what `read` made of one of these.

        Returns:
            A complete stream: a file of the codec's standard format, or a `.ckt` file.

        Raises:
            ValueError: not a picture, or one that holds more than `reading` allows (alpha, 16 bits, frames).
        """
        photo = self.read(image)
        stages, payload = self.encoder.encode(self.stages, photo.pixels)
        with naming(image):
            return self.wrap(stages, payload, photo.metadata)

    def encode_many(self, images: Iterable) -> Iterator[bytes]:
        """`encode` of many images; networks take those of one size together. See `codecs.batches.encode_many`."""
        return encode_many(self, images)

    def decode(self, stream, *, max_pixels: int = MAX_PIXELS, partial: bool = False) -> Any:
        """Decode what `encode` of this codec (with any setting) wrote.

        Args:
            stream: bytes, or the path of a file.
            max_pixels: the largest picture to accept.
            partial: the stream may be cut at its end; `jpeg` and codecs with embedded streams decode what is there,
                unchecked.

        Returns:
            uint8 [H,W,3], or [H,W] for a grey picture, as the stream stores it; `Tokens` from a codec of tokens.

        Raises:
            StreamError: the stream is cut, damaged, another codec's, or declares more than `max_pixels`.
        """
        data = read_stream(stream)
        with naming(stream):
            if self.native and data[:3] != container.MAGIC:
                return streams.unfold_file(self.stages, data, max_pixels, self.reading, partial)
            held = container.unpack(data, partial)
            container.check_still(held)
            if partial and not container.is_whole(data):
                return self.for_stream(held).decode_partial(held.payload, max_pixels)
            return self.for_stream(held).decode_payloads([held.payload], max_pixels)[0]

    def decode_many(self, streams: Iterable, *, max_pixels: int = MAX_PIXELS) -> Iterator[Any]:
        """`decode` of many streams; networks take those of one size together. See `codecs.batches.decode_many`."""
        return decode_many(self, streams, max_pixels=max_pixels)

    def trace(self, image) -> Trace:
        """Encode `image` and keep what stood between the stages, with its entropy and its real bits.

        >>> import codeckit, numpy as np
        >>> print(codeckit.codec("jpeg").trace(np.zeros((64, 64), np.uint8)))
        stage      by           shape    dtype    entropy (bits)    bits
        image                   64×64    uint8                 0   32768
        color      YCbCr        64×64    uint8                 0   32768
        subsample  Subsample    64×64    uint8                 0   32768
        transform  BlockDCT     8×8×8×8  float32                  131072
        quantize   QuantTable   8×8×8×8  int16                 0   65536
        entropy    JpegHuffman  bytes                               1384
        """
        pixels = self.read(image).pixels
        record = Record(pixels, self.encoder.maps(pixels))
        stages, payload = self.encoder.encode(self.stages, pixels, record.see)
        return record.trace(stages, self.wrap(stages, payload))

    def encode_video(self, frames, out=None, *, fps=None, progress: bool | str = False) -> Any:
        """Encode a video; a codec of stills codes every frame on its own. See `codecs.video.encode_video`.

        >>> import codeckit, numpy as np
        >>> codec = codeckit.codec("jpeg")
        >>> [frame.shape for frame in codec.decode_video(codec.encode_video(np.zeros((2, 8, 8), np.uint8)))]
        [(8, 8), (8, 8)]
        """
        return encode_video(self, frames, out, fps=fps, progress=progress)

    def decode_video(self, stream, *, max_pixels: int = MAX_PIXELS, partial: bool = False) -> Frames:
        """The frames of what `encode_video` wrote, decoded as they are asked for. See `codecs.video.decode_video`."""
        return decode_video(stream, self.for_stream, max_pixels=max_pixels, partial=partial)

    def contain(self, payload: bytes, metadata: Metadata = NOTHING) -> Container:
        """The `.ckt` container of a payload."""
        return streams.describe(self.name, self.profile, self.stages, self.weights, payload, metadata)

    def wrap(self, stages: dict[str, Stage], payload: bytes, metadata: Metadata = NOTHING) -> bytes:
        """The stream of a payload that these stages made."""
        ran = replace_fields(self, stages=stages)
        if not ran.native:
            return container.pack(ran.contain(payload, metadata))
        return streams.described(payload, metadata)

    def for_stream(self, held: Container) -> "Codec":
        """The codec that made a stream: the stages that it names, with the weights it was made with.

        Raises:
            StreamError: another codec's, or a revision, stages or weights that do not exist here.
        """
        own = (self.name, *((self.profile.written,) if self.profile else ()))
        if held.codec not in own:
            by = f"codec number {held.codec}" if isinstance(held.codec, int) else repr(held.codec)
            raise StreamError(f"made by {by}, not by {self.name!r}; codeckit.decode finds the codec")
        return codec_of(self.name, self.profile, held, self.weights, self.device)

    def decode_payloads(self, payloads: list[bytes], max_pixels: int = MAX_PIXELS) -> list:
        """What payloads without their containers decode to, with these very stages."""
        return streams.unfold_checked(self.stages, payloads, max_pixels)

    def decode_partial(self, payload: bytes, max_pixels: int = MAX_PIXELS) -> Any:
        """What a payload decodes to that may be cut at its end, for codecs with embedded payloads."""
        return streams.unfold_partial(self.stages, payload, max_pixels)


def codec_of(name: str, profile: Profile | None, held: Container, weights: Any = None, device: str = "cpu") -> Codec:
    """The codec that a container describes.

    Args:
        name: what to call it.
        profile: that of the codec which the container names, if it has one.
        held: the container.
        weights: a handle to try first.
        device: where networks are to run.

    Raises:
        StreamError: stages, a revision or weights that do not exist here.
    """
    stages = streams.rebuild(held, profile)
    handle = streams.find_weights(stages, held.weights, weights, device)
    return Codec(name, stages, weights=handle, profile=profile)
