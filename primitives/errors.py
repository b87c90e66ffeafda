"""Errors that name the problem and the fix."""


class StreamError(ValueError):
    """A stream that cannot be decoded: cut, damaged, of another version, made with other weights, or unsupported.

    The message says which. It is a ``ValueError``, so code that knows nothing of codeckit can catch it too.

    >>> raise StreamError("the stream ends inside the header")
    Traceback (most recent call last):
    ...
    codeckit.primitives.errors.StreamError: the stream ends inside the header
    """


class ReadingError(ValueError):
    """A picture file that is whole, but holds what codecs do not take: transparency, more than 8 bits, several frames.

    The message names the option that says what to do with it (`codecs.reading.Reading`).

    >>> raise ReadingError("the picture has 16 bits a sample: depth=8 takes the upper 8")
    Traceback (most recent call last):
    ...
    codeckit.primitives.errors.ReadingError: the picture has 16 bits a sample: depth=8 takes the upper 8
    """
