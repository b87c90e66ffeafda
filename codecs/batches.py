"""Many pictures: networks take those that follow one another and have the same size together.

`encode_each` and `decode_each` give an error in the place of its picture, for those who go on; `encode_many` and
`decode_many` raise it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..primitives import container
from ..primitives.errors import StreamError
from ..primitives.picture import MAX_PIXELS
from ..primitives.stage import Stage, folded
from .image_io import naming, read_stream

#: Pictures that go through networks together have so many pixels, at most, unless one alone has more.
BATCH_PIXELS = 1 << 21


def encode_each(codec, images: Iterable) -> Iterator[bytes | Exception]:
    """Encode many images, of which some may not be readable.

    Args:
        codec: a `Codec`.
        images: what `Codec.encode` takes, one after the other; they are read as they are needed.

    Yields:
        For each its stream, the same as that of `encode` (but for what float rounding in a network may change), or the
        error that `encode` would raise. An image that fails does not take those along that were in its batch.

    >>> import codeckit, numpy as np
    >>> image = np.zeros((8, 8), np.uint8)
    >>> [type(found).__name__ for found in encode_each(codeckit.codec("jpeg"), [image, image / 2, image])]
    ['bytes', 'ValueError', 'bytes']
    """
    if not (codec.encoder.folds and _gains(codec)):
        yield from (attempt(codec.encode, image) for image in images)
        return
    read = (attempt(codec.read, image) for image in images)
    for batch in _batched(read, lambda photo: photo.pixels.shape[0] * photo.pixels.shape[1]):
        sound = [photo for photo in batch if not isinstance(photo, Exception)]
        streams = attempt(_encode_batch, codec, sound) if sound else []
        if isinstance(streams, Exception):
            streams = (attempt(codec.encode, photo) for photo in sound)
        yield from _merged(batch, streams)


def encode_many(codec, images: Iterable) -> Iterator[bytes]:
    """`encode_each`, which raises the first error in its turn.

    >>> import codeckit, numpy as np
    >>> images = [np.full((8, 8), level, np.uint8) for level in (0, 9)]
    >>> [len(stream) for stream in codeckit.codec("jpeg").encode_many(images)]
    [156, 156]
    """
    return map(_raised, encode_each(codec, images))


def decode_each(codec, streams: Iterable, *, max_pixels: int = MAX_PIXELS) -> Iterator[Any]:
    """Decode many streams, of which some may be damaged.

    Args:
        codec: a `Codec`.
        streams: what `Codec.decode` takes, one after the other; they are read as they are needed.
        max_pixels: the largest picture to accept.

    Yields:
        For each its picture, the same as `decode` gives (but for float rounding), or the error that it would raise.

    >>> import codeckit, numpy as np
    >>> codec = codeckit.codec("jpeg")
    >>> stream = codec.encode(np.zeros((8, 8), np.uint8))
    >>> [type(found).__name__ for found in decode_each(codec, [stream, stream[:50], stream])]
    ['ndarray', 'StreamError', 'ndarray']
    """
    if codec.native or not _gains(codec):
        yield from (attempt(codec.decode, stream, max_pixels=max_pixels) for stream in streams)
        return
    last = list(codec.stages.values())[-1]

    def read(stream):
        return stream, read_stream(stream)

    def decode(stream, data):
        with naming(stream):
            return codec.decode(data, max_pixels=max_pixels)

    def pixels(each):
        """How many pixels a stream's picture has; more than go into a batch where it does not say."""
        try:
            (height, width), _ = last.describe(container.unpack(each[1]).payload)
            return height * width
        except StreamError:
            return BATCH_PIXELS

    for batch in _batched((attempt(read, stream) for stream in streams), pixels):
        sound = [each for each in batch if not isinstance(each, Exception)]
        images = attempt(_decode_batch, codec, [data for _, data in sound], max_pixels) if sound else []
        if images is None or isinstance(images, Exception):
            images = (attempt(decode, *each) for each in sound)
        yield from _merged(batch, images)


def decode_many(codec, streams: Iterable, *, max_pixels: int = MAX_PIXELS) -> Iterator:
    """`decode_each`, which raises the first error in its turn, when what stands before it has been decoded.

    >>> import codeckit, numpy as np
    >>> codec = codeckit.codec("jpeg")
    >>> streams = [codec.encode(np.full((8, 8), level, np.uint8)) for level in (0, 9)]
    >>> [int(picture.max()) for picture in codec.decode_many(streams)]
    [0, 9]
    """
    return map(_raised, decode_each(codec, streams, max_pixels=max_pixels))


def attempt(function: Callable, *arguments, **options) -> Any:
    """What a function returns, or the error that it raises.

    >>> attempt(int, "1"), attempt(int, "one")
    (1, ValueError("invalid literal for int() with base 10: 'one'"))
    """
    try:
        return function(*arguments, **options)
    except Exception as error:
        return error


def _raised(result):
    if isinstance(result, Exception):
        raise result
    return result


def _merged(batch: list, results: Iterable) -> Iterator:
    """The errors of a batch, and the results of what is none, in the batch's order."""
    results = iter(results)
    for item in batch:
        yield item if isinstance(item, Exception) else next(results)


def _encode_batch(codec, photos: list) -> list[bytes]:
    batch: list = [photo.pixels for photo in photos]
    for stage in folded(codec.stages).values():
        batch = stage.forward_many(batch)
    return [codec.wrap(codec.stages, payload, photo.metadata) for photo, payload in zip(photos, batch, strict=True)]


def _decode_batch(codec, batch: list[bytes], max_pixels: int) -> list | None:
    """The pictures of streams that were made by the very same stages; None if they were not."""
    held = [container.unpack(data) for data in batch]
    made_by = [codec.for_stream(each) for each in held]
    if any(each.stages != made_by[0].stages for each in made_by):
        return None
    return made_by[0].decode_payloads([each.payload for each in held], max_pixels)


def _gains(codec) -> bool:
    """Whether some stage does better with several pictures at once."""
    return any(type(stage).forward_many is not Stage.forward_many for stage in folded(codec.stages).values())


def _batched(items: Iterable, pixels) -> Iterator[list]:
    """Items one after the other in lists of at most `BATCH_PIXELS` together, or of a single one."""
    batch, total = [], 0
    for item in items:
        size = BATCH_PIXELS // 64 if isinstance(item, Exception) else pixels(item)  # errors hold memory, too
        if batch and total + size > BATCH_PIXELS:
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size
    if batch:
        yield batch
