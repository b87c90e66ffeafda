"""The six networks shared with CompressAI, trained there and compared here: the same weights, the same numbers.

    python -m codeckit.bench.studies.learned_parity                                     # on a picture made by code
    python -m codeckit.bench.studies.learned_parity --data pack.safetensors --images KODAK

CompressAI's model is trained for some hundred steps with its own code, small and from its own random start: enough
that its latents, densities and predictions are those of a codec and no longer random. Its state dict is loaded here,
and both code the same pictures. The largest differences over all elements, relative to the largest element:

* ``y``: latents before rounding, ``ŷ``: quantized ones, those of the hyperprior included, ``p``: likelihoods;
* ``x̂``: the reconstruction; ``bits``: of all likelihoods of y together;
* ``ties``: latents (a count) that lie half-way between two values, up to rounding errors of floats, and fell to
  different sides. They are left out of ŷ and p. Since a context model would carry one into all that follows, its
  predictions are compared on the same ŷ.

The reference of ŷ and of its likelihoods is what CompressAI's ``compress`` and ``decompress`` code; its ``forward``
quantizes autoregressive latents otherwise. Then real bytes: ``bpp``, ``PSNR`` and, as ``size``, our file with its
container over CompressAI's strings.

Needs ``compressai``.
"""

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from tqdm import trange

from ... import codec, dataset, metrics
from ...codecs.learned import export, import_compressai
from ...codecs.learned.networks import NETWORKS, load_network
from .learned_speed import MODELS
from .pictures import photo

#: The λ of every training: CompressAI's at quality 4.
LAMBDA = 0.013


def train_reference(models, name: str, channels: tuple[int, ...], crops: torch.Tensor, steps: int, patch: int = 64):
    """CompressAI's model after so many steps of Adam on a batch of eight patches, with medians and tables in place.

    Args:
        models: ``compressai.models``.
        name: of the codec.
        channels: of the model.
        crops: photographs, uint8 [K,S,S,3].
        steps: length of the training; seeded.
        patch: side of the patches.
    """
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = getattr(models, MODELS[name])(*channels).train()
    optimizer = torch.optim.Adam([p for key, p in model.named_parameters() if not key.endswith(".quantiles")], lr=1e-3)
    for _ in trange(steps, desc=name, leave=False, disable=None):
        top, left = rng.integers(crops.shape[1] - patch + 1, size=2)
        batch = crops[rng.integers(len(crops), size=8), top : top + patch, left : left + patch]
        x = batch.permute(0, 3, 1, 2).float() / 255
        out = model(x)
        bits = sum(-likelihood.log2().sum() for likelihood in out["likelihoods"].values())
        loss = bits / x[:, 0].numel() + LAMBDA * 255**2 * (out["x_hat"] - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    prior = load_network(name, model.state_dict()).entropy_bottleneck
    with torch.no_grad():
        model.entropy_bottleneck.quantiles[:, 0] = prior.solve_quantiles()
    model.eval().update(force=True)
    return model


@contextlib.contextmanager
def decoder_inputs(theirs):
    """A dictionary of what g_s and h_s of a model see: ŷ and ẑ."""
    seen = {}
    modules = {"y": theirs.g_s, **({"z": theirs.h_s} if hasattr(theirs, "h_s") else {})}
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs, key=key: seen.update({key: inputs[0].clone()}))
        for key, module in modules.items()
    ]
    yield seen
    for hook in hooks:
        hook.remove()


@torch.no_grad()
def run_reference(theirs, x: torch.Tensor):
    """What our `NetworkOutput` should hold, by CompressAI's modules: latents, likelihoods, reconstruction."""
    with decoder_inputs(theirs) as latents:
        out = theirs(x)
        likelihoods, reconstruction = out["likelihoods"], out["x_hat"].clamp(0, 1)
        if hasattr(theirs, "context_prediction"):
            theirs.update()
            reconstruction = theirs.decompress(**theirs.compress(x))["x_hat"]
            both = torch.cat((theirs.h_s(latents["z"]), theirs.context_prediction(latents["y"])), dim=1)
            scales, means = theirs.entropy_parameters(both).chunk(2, dim=1)
            gaussian = theirs.gaussian_conditional
            likelihoods["y"] = gaussian.likelihood_lower_bound(gaussian._likelihood(latents["y"], scales, means))
    return latents, likelihoods, reconstruction


def relative(mine: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference, relative to the largest element."""
    return float((mine - theirs).abs().max() / theirs.abs().max())


@torch.no_grad()
def differences(name: str, theirs, x: torch.Tensor) -> dict[str, float]:
    """Ours against a model of CompressAI's with tables in place, for a batch [N,3,H,W]: the first columns."""
    ours = load_network(name, theirs.state_dict())
    latents, likelihoods, reconstruction = run_reference(theirs, x)
    out, y = ours(x), ours.g_a(x)
    y_hat, p = out.latents["y"], out.likelihoods["y"]
    if hasattr(ours, "context_prediction"):
        scales, means = ours.parameters_from(latents["y"], ours.h_s(out.latents["z"]))
        y_hat = ours.gaussian_conditional.quantize(y, means)
        p = ours.gaussian_conditional.likelihood(latents["y"], scales, means)
    ties = (y_hat - latents["y"]).abs() > 0.5
    y_hat = torch.where(ties, latents["y"], y_hat)
    p = torch.where(ties, likelihoods["y"], p)
    ours_bits, bits = -p.double().log2().sum(), -likelihoods["y"].double().log2().sum()
    found = {
        "y": relative(y, theirs.g_a(x)),
        "ŷ": relative(y_hat, latents["y"]),
        "ties": int(ties.sum()),
        "p": relative(p, likelihoods["y"]),
        "bits": abs(float(ours_bits / bits) - 1),
        "x̂": relative(ours.synthesis(latents["y"]), reconstruction),
    }
    if "z" in latents:
        found["ŷ"] = max(found["ŷ"], relative(out.latents["z"], latents["z"]))
        found["p"] = max(found["p"], relative(out.likelihoods["z"], likelihoods["z"]))
    return found


def measure(name: str, theirs, crops: torch.Tensor, pictures: list[np.ndarray]) -> dict:
    """One row of the table: the worst differences over the pictures, and real bytes of all."""
    rows, ours_bytes, their_bytes, pixels, psnr = [], 0, 0, 0, []
    with tempfile.TemporaryDirectory() as folder:
        network = load_network(name, theirs.state_dict())
        header = export(network, [crop.numpy() for crop in crops[:4]], Path(folder) / "weights", quality=4)
        ours = codec(name, quality=4, weights=header.path)
        for picture in pictures:
            x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
            rows.append(differences(name, theirs, x))
            stream = ours.encode(picture)
            psnr.append(metrics.psnr(picture, ours.decode(stream)))
            with torch.no_grad():
                their_bytes += sum(len(part) for parts in theirs.compress(x)["strings"] for part in parts)
            ours_bytes += len(stream)
            pixels += picture[..., 0].size
    worst = {key: (sum if key == "ties" else max)(row[key] for row in rows) for key in rows[0]}
    return {**worst, "bpp": 8 * ours_bytes / pixels, "PSNR": float(np.mean(psnr)), "size": ours_bytes / their_bytes}


def main(argv=None) -> int:
    """Train, compare and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codecs", nargs="+", choices=list(MODELS), default=list(MODELS), metavar="NAME")
    parser.add_argument("--data", help="a pack of photographs to train on; by default pictures made by code")
    parser.add_argument("--images", help="pictures to code, with sides that are multiples of 64, such as Kodak's")
    parser.add_argument("--most", type=int, default=4, help="how many of them")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--channels", type=int, nargs=2, default=(48, 64), metavar=("N", "M"))
    args = parser.parse_args(argv)
    try:
        models = import_compressai("compressai.models")
    except ImportError as error:
        print(f"this bench compares with compressai: {error}", file=sys.stderr)
        return 1
    if args.data:
        from ...training.data import load_pack

        crops = load_pack(args.data).training
    else:
        crops = torch.from_numpy(np.stack([photo(192, 192, seed=seed) for seed in range(64)]))
    images = [photo(512, 768, seed=99)]
    if args.images:
        images = [np.array(image) for image in dataset(args.images)[: args.most]]
    print(f"{args.steps} steps, {len(images)} pictures, N and M {args.channels[0]} and {args.channels[1]}")
    for index, name in enumerate(args.codecs):
        channels = tuple(args.channels[: len(NETWORKS[name].SMALL)])
        row = measure(name, train_reference(models, name, channels, crops, args.steps), crops, images)
        if index == 0:
            print(" " * 22, *(key.rjust(9) for key in row))
        formats = {"ties": "d", "bpp": ".3f", "PSNR": ".2f", "size": ".4f"}
        cells = (format(value, formats.get(key, ".1e")).rjust(9) for key, value in row.items())
        print(name.ljust(22), *cells, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
