"""Errors that name the problem and the fix."""


class StreamError(ValueError):
    """A stream that cannot be decoded: cut, damaged, of another version, made with other weights, or unsupported.

    The message says which. It is a ``ValueError``, so code that knows nothing of codeckit can catch it too.

    >>> raise StreamError("the stream ends inside the header")
    Traceback (most recent call last):
    ...
    codeckit.primitives.errors.StreamError: the stream ends inside the header
    """
