"""What a weight file says of itself, and the files that ship. Nothing here imports torch.

The metadata of a weight file (`primitives.weights`, format `FORMAT`) are::

    architecture  the network's name, such as "mbt2018"; its id, if another distribution declares it
    quality       the qualities it serves, "3" or "1-8"
    channels      arguments of the network, such as "192 320"
    fingerprint   8 hexadecimal digits
    note          how it was trained, free text
"""

import os
from dataclasses import dataclass
from pathlib import Path

from ...primitives.weights import read_metadata

FORMAT = "codeckit weights 1"

#: Weight files that come with the package.
SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True)
class Header:
    """What a weight file says of itself.

    Attributes:
        path: the file, absolute.
        architecture: name of its network.
        quality: lowest and highest quality it serves.
        fingerprint: 4 bytes.
        note: how it was trained.
    """

    path: str
    architecture: str
    quality: tuple[int, int]
    fingerprint: bytes
    note: str = ""

    @classmethod
    def of(cls, path, metadata: dict[str, str]) -> "Header":
        """The header that the metadata of a file are.

        Raises:
            ValueError: something is missing or damaged.
        """
        try:
            low, _, high = metadata["quality"].partition("-")
            fingerprint = bytes.fromhex(metadata["fingerprint"])
            quality = int(low), int(high or low)
            return cls(str(path), metadata["architecture"], quality, fingerprint, metadata.get("note", ""))
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path} has a damaged header: {error}") from error

    def serves(self, quality: float) -> bool:
        """Whether the weights are of a quality."""
        low, high = self.quality
        return low <= quality <= high if low < high else quality == low


def read_header(path, format: str = FORMAT) -> Header:
    """What a weight file of a format says of itself, without reading its tensors.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no weight file of this format.
    """
    path = os.path.abspath(path)
    return Header.of(path, read_metadata(path, format))


def shipped(folder: Path | None = None, format: str = FORMAT) -> list[Header]:
    """The weight files that come with the package, in a folder; None for that of the codecs of stills."""
    return [read_header(path, format) for path in sorted((folder or SHIPPED).glob("*.safetensors"))]


def has_shipped(architecture: str) -> bool:
    """Whether weights of an architecture come with the package.

    >>> has_shipped("cheng2020"), has_shipped("mbt2018")
    (True, False)
    """
    return any(header.architecture == architecture for header in shipped())
