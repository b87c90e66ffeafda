"""What a weight file of a learned video codec says of itself, and the files that ship. Nothing here imports torch."""

from pathlib import Path

from ..learned import header as still
from ..learned.header import Header

FORMAT = "codeckit video weights 1"

#: Weight files that come with the package.
SHIPPED = Path(__file__).parent / "shipped"


def read_header(path) -> Header:
    """What a weight file says of itself, without reading its tensors.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no weight file of a video codec.
    """
    return still.read_header(path, FORMAT)


def shipped() -> list[Header]:
    """The weight files that come with the package."""
    return still.shipped(SHIPPED, FORMAT)


def has_shipped(architecture: str) -> bool:
    """Whether weights of a video codec come with the package."""
    return any(header.architecture == architecture for header in shipped())
