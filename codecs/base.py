"""A codec is a composition of stages; encoding folds them from left to right, decoding from right to left.

::

    image ── color ── subsample ── transform ── quantize ── entropy ──> bytes
              forward →                                        ← inverse

A codec is immutable. `Codec.replace` gives another codec in which one stage is exchanged, and its streams say so:
whatever in a composition differs from the registered codec of its name is written into the stream's parameters, so
that `codeckit.decode` rebuilds the same stages from the bytes alone (and from nothing but this package's classes).
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from dataclasses import replace as replace_fields

import numpy as np

from ..primitives import container, information
from ..primitives.anatomy import Anatomy, Dissector
from ..primitives.errors import StreamError
from ..primitives.picture import MAX_PIXELS, Picture
from ..primitives.stage import Stage, from_spec, spec
from ..primitives.token_grid import Tokens
from .image_io import read_image, read_stream

#: Pictures that go through networks together have so many pixels, at most, unless one alone has more.
_BATCH_PIXELS = 1 << 21


@dataclass(frozen=True)
class Codec:
    """A configured codec: a name, its stages in order, and the setting it was configured with.

    Attributes:
        name: the registered name, or any name for a composition of one's own.
        stages: stages by their role (``"color"``, ``"transform"``, ``"quantize"``, ``"entropy"`` …), in order. The
            first takes an image (uint8 [H,W,3] or [H,W]), the last returns ``bytes``.
        setting: the options that were chosen, for records and plots.

    >>> import codeckit
    >>> image = np.full((16, 24, 3), 200, np.uint8)
    >>> codec = codeckit.codec("jpeg", quality=90)
    >>> list(codec.stages)
    ['color', 'subsample', 'transform', 'quantize', 'entropy']
    >>> codec.decode(codec.encode(image)).shape
    (16, 24, 3)
    """

    name: str
    stages: dict[str, Stage]
    setting: dict = field(default_factory=dict)

    def __post_init__(self):
        if not self.stages:
            raise ValueError("a codec needs at least one stage")
        for role, stage in self.stages.items():
            if not isinstance(stage, Stage):
                raise ValueError(f"the stage {role!r} is {stage!r}; stages derive from codeckit.primitives.Stage")

    @property
    def native(self) -> bool:
        """Whether streams are complete files of a standard format (`.jpg`, `.webp`) instead of `.ckt` files."""
        return list(self.stages.values())[-1].native

    @property
    def device(self) -> str:
        """Where the codec's networks run; "cpu" if it has none."""
        return next((stage.device for stage in self.stages.values() if hasattr(stage, "device")), "cpu")

    def on(self, device: str) -> "Codec":
        """The same codec with its networks on another device: "cpu", "cuda", "cuda:1" …

        Raises:
            ValueError: there is no such device.
        """
        moved = {
            role: replace_fields(stage, device=device)
            for role, stage in self.stages.items()
            if hasattr(stage, "device")
        }
        if moved:
            from .learned.weights import check_device

            check_device(device)
        return replace_fields(self, stages={**self.stages, **moved})

    def replace(self, **stages: Stage) -> "Codec":
        """The same codec with some stages exchanged, by their roles.

        Stages that need weights and name none take those of the stages that they replace.

        >>> import codeckit
        >>> from codeckit.primitives import ContextCoded
        >>> codec = codeckit.codec("jpeg").replace(entropy=ContextCoded())
        >>> codec.encode(np.zeros((8, 8), np.uint8))[:3]
        b'ckt'
        """
        unknown = stages.keys() - self.stages.keys()
        if unknown:
            raise ValueError(f"{self.name} has no stage {', '.join(sorted(unknown))}; it has {', '.join(self.stages)}")
        replaced = replace_fields(self, stages={**self.stages, **stages})
        setting = {**self.setting, **{role: str(spec(stage)) for role, stage in stages.items()}}
        for role, stage in stages.items():
            if getattr(stage, "weights", None) == "" and getattr(self.stages[role], "weights", ""):
                stages[role] = replace_fields(stage, weights=self.stages[role].weights, device=self.device)
        return replace_fields(replaced, stages={**self.stages, **stages}, setting=setting)

    def encode(self, image) -> bytes:
        """Encode one image.

        Args:
            image: uint8 array [H,W,3] or [H,W], PIL image, or the path of an image file (turned upright if its EXIF
                orientation says so).

        Returns:
            A complete stream: a file of the codec's standard format, or a `.ckt` file.
        """
        *_, (_, _, stream) = self.fold(image)
        return stream if self.native else self._wrap(stream)

    def fold(self, image) -> Iterator[tuple[str, Stage, object]]:
        """Send an image through the stages: role, stage and output of each.

        >>> import codeckit
        >>> [role for role, _, _ in codeckit.codec("jpeg").fold(np.zeros((8, 8), np.uint8))]
        ['color', 'subsample', 'transform', 'quantize', 'entropy']
        """
        value = read_image(image)
        for role, stage in self.stages.items():
            value = stage.forward(value)
            yield role, stage, value

    def encode_many(self, images: Iterable) -> Iterator[bytes]:
        """Encode many images; networks take those that follow one another and have the same size together.

        Args:
            images: what `encode` takes, one after the other; they are read as they are needed.

        Yields:
            A stream for each, the same as that of `encode` (but for what float rounding in a network may change).

        >>> import codeckit
        >>> images = [np.full((8, 8), level, np.uint8) for level in (0, 9)]
        >>> [len(stream) for stream in codeckit.codec("jpeg").encode_many(images)]
        [156, 156]
        """
        if not self._batches:
            yield from map(self.encode, images)
            return
        for batch in _batched(map(read_image, images), lambda image: image.shape[0] * image.shape[1]):
            for stage in self.stages.values():
                batch = stage.forward_many(batch)
            yield from map(self._wrap, batch)

    @property
    def _batches(self) -> bool:
        """Whether some stage does better with several pictures at once, and `encode` is the fold over the stages."""
        some = any(type(stage).forward_many is not Stage.forward_many for stage in self.stages.values())
        return some and not self.native

    def decode(self, stream, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """Decode what `encode` of this codec (with any setting) wrote.

        Args:
            stream: bytes, or the path of a file.
            max_pixels: the largest picture to accept.

        Returns:
            uint8 [H,W,3], or [H,W] for a grey picture; `Tokens` from a codec of tokens.

        Raises:
            StreamError: the stream is cut, damaged, another codec's, or declares more than `max_pixels`.
        """
        data = read_stream(stream)
        if self.native and data[:3] != container.MAGIC:
            return self._unfold([data], max_pixels)[0]
        codec, payload = self._unwrap(data)
        return codec._unfold_checked([payload], max_pixels)[0]

    def decode_many(self, streams: Iterable, *, max_pixels: int = MAX_PIXELS) -> Iterator[np.ndarray]:
        """Decode many streams; networks take those that follow one another and have the same size together.

        Args:
            streams: what `decode` takes, one after the other; they are read as they are needed.
            max_pixels: the largest picture to accept.

        Yields:
            The picture of each stream, the same as `decode` gives (but for float rounding).

        Raises:
            StreamError: as `decode`, at the stream that is damaged; those before it have been decoded.

        >>> import codeckit
        >>> codec = codeckit.codec("jpeg")
        >>> streams = [codec.encode(np.full((8, 8), level, np.uint8)) for level in (0, 9)]
        >>> [int(picture.max()) for picture in codec.decode_many(streams)]
        [0, 9]
        """
        if not self._batches:
            yield from (self.decode(stream, max_pixels=max_pixels) for stream in streams)
            return
        for batch in _batched(map(read_stream, streams), self._pixels):
            try:
                opened = [self._unwrap(data) for data in batch]
                alike = all(codec.stages == opened[0][0].stages for codec, _ in opened)
                images = opened[0][0]._unfold_checked([payload for _, payload in opened], max_pixels) if alike else None
            except StreamError:
                images = None  # the loop below finds which stream it is
            if images is None:
                images = (self.decode(data, max_pixels=max_pixels) for data in batch)
            yield from images

    def _pixels(self, data: bytes) -> int:
        """How many pixels the picture in a `.ckt` stream has; more than go into a batch where it does not say."""
        try:
            *_, entropy = self.stages.values()
            (height, width), _ = entropy.describe(container.unpack(data).payload)
            return height * width
        except StreamError:
            return _BATCH_PIXELS

    def _unfold(self, data: list[bytes], max_pixels: int) -> list:
        *stages, last = self.stages.values()
        values = last.inverse_many(data, max_pixels)
        for stage in reversed(stages):
            values = stage.inverse_many(values)
        return values

    def _unfold_checked(self, payloads: list[bytes], max_pixels: int) -> list[np.ndarray]:
        """`_unfold` of stages that a stream names, which may not fit one another."""
        try:
            images = self._unfold(payloads, max_pixels)
        except StreamError:
            raise
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise StreamError(f"the stream's stages do not fit one another or its data: {error!r}") from error
        for image in images:
            picture = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim in (2, 3)
            if not picture and not isinstance(image, Tokens):
                raise StreamError("the stream's stages do not end in an image")
        return images

    def unfold(self, data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """Decode the last stage's output: a payload without its container."""
        return self._unfold([data], max_pixels)[0]

    def trace(self, image) -> "Trace":
        """Encode `image` and keep what stood between the stages, with its entropy and its real bits.

        >>> import codeckit
        >>> print(codeckit.codec("jpeg").trace(np.zeros((64, 64), np.uint8)))
        stage      by           shape    dtype    entropy (bits)    bits
        image                   64×64    uint8                 0   32768
        color      YCbCr        64×64    uint8                 0   32768
        subsample  Subsample    64×64    uint8                 0   32768
        transform  BlockDCT     8×8×8×8  float32                  131072
        quantize   QuantTable   8×8×8×8  int16                 0   65536
        entropy    JpegHuffman  bytes                               1384
        """
        image = read_image(image)
        steps = [Step.of("image", "", image)]
        for role, stage, value in self.fold(image):
            steps.append(Step.of(role, type(stage).__name__, value, stage.maps(steps[-1].value, value)))
        stream = value if self.native else self._wrap(value)
        return Trace(self, tuple(steps), stream)

    def encode_video(self, frames, out=None, *, fps=None, progress: bool = False):
        """Encode a video; a codec of stills codes every frame on its own. See `codeckit.codecs.video.encode_video`.

        Args:
            frames: what `codeckit.read_video` takes: an iterable of uint8 [H,W,3] or [H,W], a file, a folder.
            out: file to write: a `.ckt`, or for the video standards a container (`.mp4`, `.mkv`) or a raw bitstream;
                None to get the `.ckt` stream as bytes.
            fps: frames a second, if the source says none or another.
            progress: show frames done and their speed on stderr.

        Returns:
            The stream, or the path of the written file.

        >>> import codeckit
        >>> codec = codeckit.codec("jpeg", quality=90)
        >>> video = codec.decode_video(codec.encode_video(np.zeros((3, 8, 8, 3), np.uint8)))
        >>> video.count, [frame.shape for frame in video]
        (3, [(8, 8, 3), (8, 8, 3), (8, 8, 3)])
        """
        from .video import encode_video

        return encode_video(self, frames, out, fps=fps, progress=progress)

    def decode_video(self, stream, *, max_pixels: int = MAX_PIXELS):
        """The frames of what `encode_video` wrote, decoded as they are asked for: `codeckit.codecs.frames.Frames`.

        Raises:
            StreamError: cut, damaged, another codec's, or of frames larger than `max_pixels`.
        """
        from .video import decode_video

        return decode_video(stream, self, max_pixels=max_pixels)

    def _wrap(self, payload: bytes) -> bytes:
        return container.pack(self.contain(payload))

    def contain(self, payload: bytes) -> container.Container:
        """The `.ckt` container of a payload: what in this codec differs from the registered one stands beside it."""
        from .registry import number

        default = _default_stages(self.name)
        changed = {
            role: spec(stage.for_decoding())
            for role, stage in self.stages.items()
            if role not in default or stage.for_decoding() != default[role].for_decoding()
        }
        parameters = json.dumps(changed, separators=(",", ":")).encode() if changed else b""
        prints = {stage.fingerprint for stage in self.stages.values()} - {b""}
        if len(prints) > 1:
            raise ValueError(f"the stages of {self.name} have different weights; a stream names one file of weights")
        return container.Container(number(self.name), payload, parameters, b"".join(prints))

    def _unwrap(self, data: bytes) -> tuple["Codec", bytes]:
        held = container.unpack(data)
        if container.holds_video(held.payload):
            raise StreamError("the stream is a video; codeckit.decode_video decodes it")
        return self.made_by(held), held.payload

    def made_by(self, held: container.Container) -> "Codec":
        """The codec that a container names, with the stages it describes and the weights it was made with.

        Raises:
            StreamError: another codec's, or stages or weights that do not exist here.
        """
        from .registry import name_of

        name = name_of(held.codec)
        if name != self.name:
            raise StreamError(f"made by {name!r}, not by {self.name!r}; codeckit.decode finds the codec")
        made_by = composition(name, held.parameters)
        if any(hasattr(stage, "weights") for stage in made_by.stages.values()):
            from .learned.stages import with_weights
            from .learned.weights import find_weights, load_weights

            own = next((stage.weights for stage in self.stages.values() if getattr(stage, "weights", "")), "")
            path, device = find_weights(name, held.weights, own), self.device
            load_weights(path, device)  # here, so that a damaged file of weights is not taken for a damaged stream
            made_by = replace_fields(made_by, stages=with_weights(made_by.stages, path, device))
        else:  # models that ship with the package, or none
            prints = {stage.fingerprint for stage in made_by.stages.values()} - {b""}
            if held.weights not in (prints or {b""}):
                wanted = held.weights.hex() or "(none)"
                raise StreamError(f"the stream was made with the weights {wanted}, which are not known here")
        return made_by


def composition(name: str, parameters: bytes) -> Codec:
    """The codec that a stream's parameters describe: the registered one with the stages that the stream names.

    Raises:
        StreamError: the parameters are damaged or name stages that do not exist here.
    """
    stages = _default_stages(name)
    if parameters:
        try:
            changed = json.loads(parameters)
        except (ValueError, RecursionError) as error:
            raise StreamError(f"the parameters of the stream are not JSON: {error}") from error
        if not isinstance(changed, dict):
            raise StreamError("the parameters of the stream are not a JSON object of stages")
        stages = {**stages, **{role: from_spec(data) for role, data in changed.items()}}
    if not stages:
        raise StreamError(f"the codec {name!r} is not known here, and the stream does not describe its stages")
    if any(getattr(stage, "weights", "") for stage in stages.values()):
        raise StreamError("the stream names weights by a path; only their fingerprint may stand in it")
    if list(stages.values())[-1].native:
        raise StreamError("the stream names an entropy stage that has a file format of its own")
    return Codec(name, stages)


def _default_stages(name: str) -> dict[str, Stage]:
    """The stages that a stream of this codec takes for granted; those with weights have none yet."""
    from .registry import codec, entry, is_registered

    if not is_registered(name):
        return {}
    return dict(codec(name, **({"weights": ""} if entry(name).family == "learned" else {})).stages)


def _arrays(value) -> tuple[np.ndarray, ...]:
    if isinstance(value, Tokens):
        return (value.features,)
    return value.planes if isinstance(value, Picture) else (value,)


@dataclass(frozen=True)
class Step:
    """What stood behind one stage.

    Attributes:
        role: the stage's role in the codec, or ``"image"`` for the input.
        stage: the stage's class name.
        value: the stage's output: array, `Picture` or bytes.
        bits: size of `value` as it stands: array elements times their width, or 8 bits a byte.
        entropy: order-0 entropy of integer arrays, in bits, plane by plane, coefficient by coefficient (what an ideal
            static coder with one table for each would need); None for others.
        maps: what the stage shows beside that, arrays by name: for the rounding of a learned codec "latents", "scales",
            "bits" (where the bits go), "bits by channel" and "side bits", see `codecs.learned.stages.LatentCoded.maps`.
    """

    role: str
    stage: str
    value: object
    bits: int
    entropy: float | None
    maps: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, role: str, stage: str, value, maps: dict[str, np.ndarray] | None = None) -> "Step":
        """Measure `value`."""
        if isinstance(value, bytes):
            return cls(role, stage, value, 8 * len(value), None, maps or {})
        arrays = _arrays(value)
        entropy = None
        if all(np.issubdtype(array.dtype, np.integer) for array in arrays):
            entropy = sum(information.class_entropy_bits(array) for array in arrays)
        return cls(role, stage, value, sum(8 * array.nbytes for array in arrays), entropy, maps or {})

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each plane; empty for bytes."""
        return () if isinstance(self.value, bytes) else tuple(array.shape for array in _arrays(self.value))


@dataclass(frozen=True)
class Trace:
    """One image's way through a codec: every stage's output, and the stream at the end. ``print`` it for a table."""

    codec: Codec
    steps: tuple[Step, ...]
    stream: bytes

    def anatomy(self) -> Anatomy:
        """What every bit of the stream is, and what every symbol took; computed anew at each call.

        >>> import codeckit
        >>> trace = codeckit.codec("jpeg").trace(np.zeros((64, 64), np.uint8))
        >>> trace.anatomy().bits == 8 * len(trace.stream)
        True
        """
        (*_, last), payload = self.codec.stages.values(), self.steps[-1].value
        if self.codec.native and type(last).anatomy is Stage.anatomy:  # a library's file
            from .peers.boxes import anatomy_of_file

            return anatomy_of_file(payload)
        found = last.anatomy(self.steps[-2].value, payload)
        if self.codec.native:
            return found
        around = Dissector(self.stream)
        container.dissect(around, len(payload))
        (*head, tail) = around.parts
        return Anatomy((*head, *found.parts, tail), found.costs)

    def bits_by_stage(self, anatomy: Anatomy | None = None) -> dict[str, float]:
        """The bits of the file that serve each step, by role, ``"image"`` first; and ``"file"``, the container.

        Every bit is counted once: the sum is the file. What serves a role that the codec lacks counts for its last
        stage. The `anatomy` may be given where it is known already.

        >>> import codeckit
        >>> trace = codeckit.codec("jpeg").trace(np.zeros((64, 64), np.uint8))
        >>> trace.bits_by_stage()
        {'image': 40, 'color': 128, 'subsample': 8, 'transform': 0, 'quantize': 672, 'entropy': 536, 'file': 0}
        """
        bits = dict.fromkeys([*(step.role for step in self.steps), "file"], 0)
        for part in (anatomy or self.anatomy()).parts:
            bits[part.role if part.role in bits else self.steps[-1].role] += part.bits
        return bits

    def __str__(self):
        rows = [("stage", "by", "shape", "dtype", "entropy (bits)", "bits")]
        for step in self.steps:
            shape = " ".join("×".join(map(str, shape)) for shape in step.shapes) or "bytes"
            dtype = "" if isinstance(step.value, bytes) else str(_arrays(step.value)[0].dtype)
            entropy = "" if step.entropy is None else f"{step.entropy:.0f}"
            rows.append((step.role, step.stage, shape, dtype, entropy, str(step.bits)))
        if not self.codec.native:
            rows.append(("file", ".ckt", "bytes", "", "", str(8 * len(self.stream))))
        widths = [max(len(row[i]) for row in rows) for i in range(6)]
        lines = []
        for row in rows:
            left = [cell.ljust(width) for cell, width in zip(row[:4], widths[:4], strict=True)]
            right = [cell.rjust(width) for cell, width in zip(row[4:], widths[4:], strict=True)]
            lines.append("  ".join(left + right).rstrip())
        return "\n".join(lines)


def _batched(items: Iterable, pixels) -> Iterator[list]:
    """Items one after the other in lists of at most `_BATCH_PIXELS` together, or of a single one."""
    batch, total = [], 0
    for item in items:
        size = pixels(item)
        if batch and total + size > _BATCH_PIXELS:
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size
    if batch:
        yield batch
