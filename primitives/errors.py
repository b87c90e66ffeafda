"""Errors that name the problem and the fix."""


class StreamError(ValueError):
    """A stream that cannot be decoded: cut, damaged, of another version, made with other weights, or unsupported.

    The message says which. It is a ``ValueError``, so code that knows nothing of codeckit can catch it too.

    >>> raise StreamError("the stream ends inside the header")
    Traceback (most recent call last):
    ...
    codeckit.primitives.errors.StreamError: the stream ends inside the header
    """


class DamageWarning(UserWarning):
    """A video that is decoded in part ends early: it is cut or damaged.

    Attributes:
        given: number of frames that were decoded.
        promised: number of frames that the video says it has; None if what is left of it does not say so.
        reason: what is wrong behind them.

    >>> str(DamageWarning(57, 250, "clip.ckt: the stream ends 20 bytes too early"))
    'clip.ckt: the stream ends 20 bytes too early; 57 of 250 frames are given'
    """

    def __init__(self, given: int, promised: int | None, reason: str):
        self.given, self.promised, self.reason = given, promised, reason
        told = "" if promised is None else f"of {promised} "
        frames, are = ("frame", "is") if given == 1 and promised in (None, 1) else ("frames", "are")
        super().__init__(f"{reason}; {given} {told}{frames} {are} given")

    def __reduce__(self):
        return type(self), (self.given, self.promised, self.reason)


class ReadingError(ValueError):
    """A picture file that is whole, but holds what codecs do not take: transparency, more than 8 bits, several frames.

    The message names the option that says what to do with it (`codecs.reading.Reading`).

    >>> raise ReadingError("the picture has 16 bits a sample: depth=8 takes the upper 8")
    Traceback (most recent call last):
    ...
    codeckit.primitives.errors.ReadingError: the picture has 16 bits a sample: depth=8 takes the upper 8
    """
