"""The table of the full-size video networks in docs/training.md: parameters and multiplications of their parts.

::

    python -m codeckit.bench.studies.full_size_table                              # prints it
    python -m codeckit.bench.studies.full_size_table --page docs/training.md      # puts it between the page's markers

Multiplications are those of the convolutions, counted by hooks while a frame of 64×64 goes through the network. GDN,
interpolation and densities are left out, as usual in such tables.
"""

import argparse
from pathlib import Path

import torch
from torch import nn

from ...codecs.learned_video.full_size import DcvcFull, DvcFull, FullSize

#: What stands before and after the table.
BEGIN = "<!-- full size: python -m codeckit.bench.studies.full_size_table -->\n\n"
END = "\n<!-- /full size -->\n"

#: Parts of the networks as the table shows them: a name, and the children that belong to it.
PARTS: dict[type[FullSize], dict[str, tuple[str, ...]]] = {
    DvcFull: {
        "flow": ("flow",),
        "motion encoder": ("motion_encoder",),
        "motion decoder": ("motion_decoder",),
        "compensation": ("compensation",),
        "residual encoder": ("encoder",),
        "residual decoder": ("decoder",),
        "hyperprior": ("hyper_encoder", "hyper_decoder"),
        "densities": ("motion_prior", "hyper_prior"),
    },
    DcvcFull: {
        "flow": ("flow",),
        "motion encoder": ("motion_encoder",),
        "motion decoder": ("motion_decoder",),
        "motion refinement": ("motion_refinement",),
        "motion entropy model": ("motion_entropy",),
        "context": ("features", "context"),
        "contextual encoder": ("encoder",),
        "contextual decoder": ("decoder", "reconstruction"),
        "temporal prior": ("temporal_prior",),
        "entropy model": ("entropy",),
    },
}


def counts(kind: type[FullSize]) -> dict[str, tuple[int, float]]:
    """Parameters and multiplications a pixel of each child of a network.

    >>> counts(DvcFull)["flow"]
    (960200, 318622.5)
    """
    network, frame = kind().eval(), torch.zeros(1, 3, 64, 64)
    found = {name: 0 for name, _ in network.named_children()}

    def hook(child):
        def count(layer, inputs, output):
            # A weight is used once for each output, or for each input where inputs are spread.
            places = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
            found[child] += layer.weight.numel() * places.shape[2] * places.shape[3]

        return count

    for name, child in network.named_children():
        for layer in child.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.register_forward_hook(hook(name))
    with torch.no_grad():
        network(frame, frame)
    return {
        name: (sum(each.numel() for each in child.parameters()), found[name] / 64**2)
        for name, child in network.named_children()
    }


def table() -> str:
    """The table, Markdown, a row a part.

    >>> table().splitlines()[2]
    '| `DvcFull` | flow | 960,200 | 318.6 |'
    """
    rows = [("network", "part", "parameters", "kMAC a pixel"), ("---", "---", "---:", "---:")]
    for kind, parts in PARTS.items():
        found = counts(kind)
        name = f"`{kind.__name__}`"
        for part, children in (*parts.items(), ("**all**", tuple(found))):
            parameters, macs = (sum(found[child][n] for child in children) for n in (0, 1))
            rows.append((name, part, f"{parameters:,}", f"{macs / 1000:,.1f}" if macs else "—"))
            name = ""
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def between(page: str, text: str) -> str:
    """A page with other text between the markers.

    >>> between(f"above\\n{BEGIN}old\\n{END}below\\n", "new\\n") == f"above\\n{BEGIN}new\\n{END}below\\n"
    True
    """
    head, _, rest = page.partition(BEGIN)
    return head + BEGIN + text + END + rest.partition(END)[2]


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
