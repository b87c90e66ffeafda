"""The table of codeckit's learned architectures in docs/coding-tools.md, from what their classes declare.

::

    python -m codeckit.bench.studies.network_table                                  # prints it
    python -m codeckit.bench.studies.network_table --page docs/coding-tools.md      # puts it between the page's markers
"""

import argparse
import inspect
from itertools import groupby
from pathlib import Path

import torch

from ...codecs.learned.header import FORMAT, shipped
from ...codecs.learned.networks import NETWORKS, Network
from ...primitives.learned.masked_conv import CheckerboardConv2d, MaskedConv2d
from ...primitives.weights import read_metadata

#: What stands before and after the table.
BEGIN, END = "<!-- networks: python -m codeckit.bench.studies.network_table -->\n\n", "\n<!-- /networks -->\n"

HEADINGS = ("codec", "architecture", "channels at each quality", "stride", "latents predicted from", "coder", "ships")

_CONTEXTS = {MaskedConv2d: "neighbours above and to the left", CheckerboardConv2d: "a checkerboard of neighbours"}


def table() -> str:
    """The table, Markdown, a row a network.

    >>> table().splitlines()[0]
    '| codec | architecture | channels at each quality | stride | latents predicted from | coder | ships |'
    """
    rows = [HEADINGS, ["---"] * len(HEADINGS), *(_row(name, kind) for name, kind in NETWORKS.items())]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def between(page: str, text: str) -> str:
    """A page with other text between the markers.

    >>> between(f"above\\n{BEGIN}old\\n{END}below\\n", "new\\n") == f"above\\n{BEGIN}new\\n{END}below\\n"
    True
    """
    head, _, rest = page.partition(BEGIN)
    return head + BEGIN + text + END + rest.partition(END)[2]


def _row(name: str, kind: type[Network]) -> list[str]:
    coder = kind.coder.partition(":")[2].partition("@")[0]
    return [
        f"`{name}`",
        kind.summary,
        _channels(kind),
        str(kind.stride),
        _predicted_from(kind),
        f"`{coder}`",
        ", ".join(_ships(header) for header in shipped() if header.architecture == name) or "—",
    ]


def _channels(kind: type[Network]) -> str:
    """The arguments of each quality, those that are the same together."""
    parts, last = [], 0
    for channels, same in groupby(kind.CHANNELS):
        first, last = last + 1, last + len(list(same))
        parts.append(f"{first} … {last}: {_named(kind, channels)}")
    return "; ".join(parts) + (", one network" if kind.variable_rate else "")


def _named(kind: type[Network], channels) -> str:
    """The constructor's arguments with their names, without those that are 0."""
    names = list(inspect.signature(kind).parameters)
    return ", ".join(f"{name} = {count}" for name, count in zip(names, channels, strict=False) if count)


def _predicted_from(kind: type[Network]) -> str:
    with torch.device("meta"):
        layers = kind(*kind.SMALL).predictors()
    found = ["the hyperprior"] if "h_s" in layers else []
    if "context" in layers:
        size = layers["context"].kernel_size[0]
        found.append(f"{_CONTEXTS[type(layers['context'])]} ({size}×{size})")
    return ", ".join(found) or "nothing: a density a channel"


def _ships(header) -> str:
    channels = map(int, read_metadata(header.path, FORMAT)["channels"].split())
    megabytes = Path(header.path).stat().st_size / 1e6
    low, high = header.quality
    return f"{low} … {high}: {_named(NETWORKS[header.architecture], channels)}; {megabytes:.1f} MB"


def main(argv=None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", metavar="FILE", help="a page with the markers; default: print the table")
    path = parser.parse_args(argv).page
    if path is None:
        print(table(), end="")
        return
    page = Path(path).read_text(encoding="utf-8")
    if BEGIN not in page or END not in page:
        parser.error(f"{path} has no place for the table: a line {BEGIN.strip()} and a line {END.strip()}")
    Path(path).write_text(between(page, table()), encoding="utf-8")


if __name__ == "__main__":
    main()
