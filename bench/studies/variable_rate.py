"""What one network for all rates costs against a network for each rate.

::

    python -m codeckit.bench.studies.variable_rate balle2017-small --data pack.safetensors --out runs/cost --steps 2000
    python -m codeckit.bench.studies.variable_rate cheng2020-small --data pack.safetensors --out runs/cost --start FILE

From the weights that ship (or `--start`), the recipe goes on for some steps, once for all rates and once for each of
three rates alone, with the same data, settings and number of steps. Then the held-out crops of the pack tell at which
rate the network of all rates reaches the PSNR of a network of one: its curve is interpolated (logarithm of the rate
over PSNR). Rates are estimated; a positive cost means that a network of its own saves bits at this rate. The last
column is the cost of the weights as they were before these steps, which shows how much of the cost is theirs alone.

The comparison is honest but short: a network of one rate may gain more in a longer training.
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...codecs.learned.weights import shipped
from ...training import load_pack, recipe, train
from ..tables import align


def rate_at(psnr: float, rows: list[dict]) -> float:
    """bpp at which a curve, rows of a validation, reaches a PSNR; NaN outside of it.

    >>> rate_at(31.5, [{"bpp": 0.25, "psnr": 30.0}, {"bpp": 0.5, "psnr": 33.0}])
    0.353...
    """
    decibels, rates = [row["psnr"] for row in rows], [row["bpp"] for row in rows]
    return float(np.exp(np.interp(psnr, decibels, np.log(rates), left=math.nan, right=math.nan)))


def main(argv=None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="balle2017-small, cheng2020-small, … (docs/training.md)")
    parser.add_argument("--data", required=True, metavar="PACK", help="photographs that codeckit.training.data packed")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the runs; they resume if it has them")
    parser.add_argument("--start", metavar="WEIGHTS", help="weights to go on from; default: those that ship")
    parser.add_argument("--qualities", nargs="+", type=int, default=[2, 4, 6], metavar="Q", help="the rates: 2 4 6")
    parser.add_argument("--steps", type=int, default=1000, metavar="N", help="steps of each run: 1000")
    parser.add_argument("--learning-rate", type=float, metavar="R", help="default: a third of the recipe's")
    parser.add_argument("--bfloat16", action="store_true", help="half precision on a CPU, too")
    arguments = parser.parse_args(argv)
    base = recipe(arguments.recipe)
    rate = arguments.learning_rate or base.learning_rate / 3
    # The prior's rate is what validation estimates, so all runs minimize that one.
    base = replace(base, steps=arguments.steps, learning_rate=rate, warmup=arguments.steps // 10, adaptive_steps=0)
    if base.relaxed_after < 1:  # such weights end with rounded latents: noise would take all steps to recover from
        base = replace(base, relaxed_after=0)
    start = arguments.start or next((h.path for h in shipped() if h.architecture == base.network), None)
    if start is None:
        parser.error(f"no weights of {base.network} ship; pass --start")
    pack = load_pack(arguments.data)

    def run(name, qualities, steps=base.steps):
        changed = replace(base, qualities=qualities, steps=steps)
        precision = True if arguments.bfloat16 else None
        out = Path(arguments.out) / name
        return train(changed, pack, out, resume=True, start=start, bfloat16=precision, progress=True)["validation"]

    before, together = run("before", base.qualities, steps=0), run("all", base.qualities)
    rows = [["quality", "PSNR alone", "bpp alone", "bpp of all rates", "cost", "before"]]
    for quality in arguments.qualities:
        (alone,) = run(f"quality-{quality}", (quality, quality))
        rates = [rate_at(alone["psnr"], curve) for curve in (together, before)]
        costs = ["–" if math.isnan(bpp) else f"{100 * (bpp / alone['bpp'] - 1):+.1f} %" for bpp in rates]
        rows.append([str(quality), f"{alone['psnr']:.2f}", f"{alone['bpp']:.4f}", f"{rates[0]:.4f}", *costs])
    print(
        f"{base.network}, {base.steps} steps from {start}, {len(pack.validation)} held-out crops",
        align(rows),
        sep="\n\n",
    )


if __name__ == "__main__":
    main()
