"""Many pictures: networks take those that follow one another and have the same size together."""

from collections.abc import Iterable, Iterator

from ..primitives import container
from ..primitives.errors import StreamError
from ..primitives.picture import MAX_PIXELS
from ..primitives.stage import Stage
from .image_io import read_stream

#: Pictures that go through networks together have so many pixels, at most, unless one alone has more.
BATCH_PIXELS = 1 << 21


def encode_many(codec, images: Iterable) -> Iterator[bytes]:
    """Encode many images.

    Args:
        codec: a `Codec`.
        images: what `Codec.encode` takes, one after the other; they are read as they are needed.

    Yields:
        A stream for each, the same as that of `encode` (but for what float rounding in a network may change).

    >>> import codeckit, numpy as np
    >>> images = [np.full((8, 8), level, np.uint8) for level in (0, 9)]
    >>> [len(stream) for stream in codeckit.codec("jpeg").encode_many(images)]
    [156, 156]
    """
    if not (codec.encoder.folds and _gains(codec)):
        yield from map(codec.encode, images)
        return
    for photos in _batched(map(codec.read, images), lambda photo: photo.pixels.shape[0] * photo.pixels.shape[1]):
        batch = [photo.pixels for photo in photos]
        for stage in codec.stages.values():
            batch = stage.forward_many(batch)
        for photo, payload in zip(photos, batch, strict=True):
            yield codec.wrap(codec.stages, payload, photo.metadata)


def decode_many(codec, streams: Iterable, *, max_pixels: int = MAX_PIXELS) -> Iterator:
    """Decode many streams.

    Args:
        codec: a `Codec`.
        streams: what `Codec.decode` takes, one after the other; they are read as they are needed.
        max_pixels: the largest picture to accept.

    Yields:
        The picture of each stream, the same as `decode` gives (but for float rounding).

    Raises:
        StreamError: as `decode`, at the stream that is damaged; those before it have been decoded.

    >>> import codeckit, numpy as np
    >>> codec = codeckit.codec("jpeg")
    >>> streams = [codec.encode(np.full((8, 8), level, np.uint8)) for level in (0, 9)]
    >>> [int(picture.max()) for picture in codec.decode_many(streams)]
    [0, 9]
    """
    if codec.native or not _gains(codec):
        yield from (codec.decode(stream, max_pixels=max_pixels) for stream in streams)
        return
    last = list(codec.stages.values())[-1]

    def pixels(data):
        """How many pixels a stream's picture has; more than go into a batch where it does not say."""
        try:
            (height, width), _ = last.describe(container.unpack(data).payload)
            return height * width
        except StreamError:
            return BATCH_PIXELS

    for batch in _batched(map(read_stream, streams), pixels):
        try:
            held = [container.unpack(data) for data in batch]
            made_by = [codec.for_stream(each) for each in held]
            alike = all(each.stages == made_by[0].stages for each in made_by)
            images = alike and made_by[0].decode_payloads([each.payload for each in held], max_pixels)
        except StreamError:
            images = False  # the loop below finds which stream it is
        yield from images or (codec.decode(data, max_pixels=max_pixels) for data in batch)


def _gains(codec) -> bool:
    """Whether some stage does better with several pictures at once."""
    return any(type(stage).forward_many is not Stage.forward_many for stage in codec.stages.values())


def _batched(items: Iterable, pixels) -> Iterator[list]:
    """Items one after the other in lists of at most `BATCH_PIXELS` together, or of a single one."""
    batch, total = [], 0
    for item in items:
        size = pixels(item)
        if batch and total + size > BATCH_PIXELS:
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size
    if batch:
        yield batch
