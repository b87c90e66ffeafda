"""Train a learned image codec: from a recipe and a pack of photographs to weights (`codeckit train`).

Each step takes a batch of random patches, each with a quality of its own, and moves the weights against the gradient of
the rate-distortion loss with AdamW. `loop` takes the steps and `callbacks` act around them. This file supplies the
network, its start, the batches, the loss and the validation. Any declared network can be trained.

**The start** of networks that say so (`Network.start`) is a working transform codec (`start.initialize`), whose entropy
model has been trained alone for some time (`start.fit_entropy_model`, `Recipe.prior_steps`). All others begin with the
random weights of their constructors. Then all parameters move, with three learning rates: of the convolutions, a higher
one of GDN's parameters and the gains, and one of the entropy model.

**Rates.** A network with gain units learns all of the recipe's qualities at once, a network of one rate its only one.

**The adaptive coder.** The rate of `balle2017` can be that of a stand-in for its adaptive coder (`adaptive_rate`,
`Recipe.adaptive_steps`), which learns alone first and then with the network. It is part of the checkpoint, not of the
weights.

**Noise, then rounding.** Latents carry uniform noise in training. In the last part of it (`Recipe.rounded_after`) the
synthesis transform sees rounded ones, as it will in decoding. At low rates that is much less of an error than noise is,
for most latents lie around 0 and stay there. The entropy model of `balle2017` keeps the noise; that of `cheng2020`
cannot (`Cheng2020.conditional`) and counts what is coded, while its analysis transform stays as it has become before
("soft then hard", Guo et al., ICML 2021). In between, `cheng2020` can have relaxed latents (`Recipe.relaxed_after`):
nearly rounded, with gradients for all.

**Medians.** The factorized prior's medians are found by bisection now and then; no loss of their own is needed.

**Speed on a GPU.** The photographs lie in its memory as uint8, patches are cut there, transforms run in bfloat16 with
channels last, everything about probabilities in float32, and the whole objective is compiled.

**On a CPU** ``bfloat16=True`` pays where the processor computes in this format (AVX-512 BF16, AMX): nearly twice the
speed. The optimizer keeps float32 weights in any case.

**Several GPUs.** Under ``torchrun`` every process has a part of each batch and gradients are averaged over them
(`processes`). The first process validates and writes.
"""

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..codecs.learned.networks import Network, channels_of, load_network, network_class
from ..primitives.learned.quantize import Proxy
from .adaptive_rate import AdaptiveRate
from .callbacks import CHECKPOINT, Average, Callback, Clip, LearningRate, Seeding
from .data import Pack, batch, load_pack
from .loop import Task, run
from .losses import Objective, measure, sample_qualities
from .processes import Processes, processes
from .recipes import Recipe
from .start import TRANSFORMS, fit_entropy_model, initialize, widen

#: What `export` puts before the names of a network's tensors.
_EXPORTED = "network."

#: Crops that the start of a training is computed from, and those that the entropy model sees before it.
_START_CROPS, _PRIOR_CROPS = 64, 320

#: Those that an adaptive rate sees before the network moves.
_RATE_CROPS = 480

#: Learning rate of GDN's parameters and of the gains, as a multiple of that of the convolutions.
_SCALES_RATE = 3.0

#: Steps between two bisections for the medians of the training network, while latents are rounded around them.
_MEDIANS_EVERY = 50


def train(
    recipe: Recipe,
    data,
    out,
    *,
    device: str | None = None,
    minutes: float | None = None,
    resume: bool = False,
    start=None,
    compile: bool | None = None,
    bfloat16: bool | None = None,
    progress: bool = False,
    callbacks: Iterable[Callback] = (),
) -> dict:
    """Train a network, or go on training it.

    Args:
        recipe: what to train, and how.
        data: a pack of photographs, or the path of one.
        out: folder of the run (`loop`).
        device: of torch, such as ``"cpu"`` or ``"cuda"``; by default a GPU if there is one.
        minutes: stop cleanly after this time (validation and saving come on top); the next run resumes.
        resume: go on from the folder's checkpoint if it has one.
        start: weights to begin with: the ``weights.safetensors`` of a run, or a weight file such as those that ship.
            Those of a `Cheng2020` may have fewer latents a position or deep channels, or no details (`start.widen`). A
            checkpoint goes before it.
        compile: whether to compile the objective; by default on a GPU.
        bfloat16: whether transforms compute in bfloat16; by default on a GPU.
        progress: whether to show a progress bar on stderr.
        callbacks: further ones, which come last at each moment.

    Returns:
        The last validation, as in the log: ``step`` and ``validation``, what `validate` returns.

    Raises:
        ValueError: the recipe does not fit its network or the pack, the checkpoint is of another recipe, a file is of
            another kind, the folder holds a run and `resume` is not set, or there is no such device.
        FileNotFoundError: no pack or no weights at the path.
    """
    with processes(device) as found:
        on_gpu = found.device.type == "cuda"
        task = ImageCodec(recipe, data, found, start, new=not (Path(out) / CHECKPOINT).exists())
        rules = [
            Seeding(recipe.seed, found.rank, noise=True),
            LearningRate(recipe.steps - 1, recipe.warmup),
            Clip(recipe.clip),
            Average(task.network, recipe.ema),
            Medians(recipe, task.network),
        ]
        return run(
            task,
            recipe,
            rules,
            out,
            processes=found,
            minutes=minutes,
            resume=resume,
            progress=progress,
            bfloat16=on_gpu if bfloat16 is None else bfloat16,
            compile=on_gpu if compile is None else compile,
            callbacks=callbacks,
        )


class ImageCodec(Task):
    """A network with its rate-distortion loss.

    Args:
        recipe: what to train, and how.
        data: a pack, or the path of one.
        processes: those that share a batch.
        start: weights to begin with, or None for the network's own start.
        new: whether the run begins; parameters of a resumed one come from its checkpoint.
    """

    def __init__(self, recipe: Recipe, data, processes: Processes, start=None, *, new: bool = True):
        self.recipe, self.device = recipe, processes.device
        # Channels last is for tensor cores; some of torch's CPU operators fail with it.
        self.layout = torch.channels_last if self.device.type == "cuda" else torch.contiguous_format
        if recipe.batch % processes.count:
            raise ValueError(f"a batch of {recipe.batch} cannot be shared by {processes.count} processes evenly")
        self.count = recipe.batch // processes.count
        network = build(recipe)
        pack = data if isinstance(data, Pack) else load_pack(data)
        if recipe.patch > pack.training.shape[1]:
            side = pack.training.shape[1]
            raise ValueError(f"the recipe's patches have {recipe.patch} pixels a side, the pack's crops only {side}")
        fresh = new and _begin(network, recipe, pack.training[:_START_CROPS].cpu(), start)
        self.network = network.to(self.device, memory_format=self.layout)
        self.pack = pack.to(self.device)
        if fresh:
            crops, steps = self.pack.training[:_PRIOR_CROPS], min(recipe.prior_steps, recipe.steps)
            rate, seed, proxy = recipe.entropy_rate, recipe.seed, proxy_at(recipe, 0)
            fit_entropy_model(self.network, crops, steps, proxy=proxy, learning_rate=rate, seed=seed)
        rate = _adaptive_rate(recipe, self.network)
        if new and rate is not None:
            crops, steps = self.pack.training[:_RATE_CROPS], min(recipe.adaptive_steps, recipe.steps)
            fit_entropy_model(self.network, crops, steps, rate=rate, seed=recipe.seed)
        self.objective = Objective(self.network, recipe.distortion, rate)
        self.optimizer = torch.optim.AdamW(_groups(recipe, self.network, rate), weight_decay=0.0, fused=True)
        self.idle = _predicts(self.network)  # its analysis transform, once latents are rounded

    def batch(self, rng, step):
        """Patches, their qualities, and what stands in for rounding."""
        x = batch(self.pack.training, self.count, self.recipe.patch, rng).contiguous(memory_format=self.layout)
        quality = sample_qualities(rng, self.count, *self.recipe.qualities).to(self.device, non_blocking=True)
        return x, quality, proxy_at(self.recipe, step)

    def validate(self, network):
        """`validate` at the recipe's whole qualities, with the medians that the average's density has."""
        network.entropy_bottleneck.update_quantiles()
        low, high = self.recipe.qualities
        levels = list(range(math.ceil(low), math.floor(high) + 1)) or [low]
        return validate(network, self.pack.validation, levels, self.recipe.distortion)

    def metadata(self):
        """The name of the network."""
        return {"network": self.recipe.network}


class Medians(Callback):
    """Keeps the medians of the network in training up to date while latents are rounded around them."""

    def __init__(self, recipe: Recipe, network: Network):
        self.recipe, self.network = recipe, network
        self.every = max(1, min(_MEDIANS_EVERY, recipe.steps // 20))

    def after_step(self, loop):
        if loop.step % self.every == 0 and proxy_at(self.recipe, loop.step) == "rounded":
            self.network.entropy_bottleneck.update_quantiles()


def proxy_at(recipe: Recipe, step: int) -> Proxy:
    """What stands in for rounding in a step.

    >>> r = Recipe("r", "cheng2020", (4,), steps=100, batch=1, patch=64, relaxed_after=0.3, rounded_after=0.8)
    >>> [proxy_at(r, step) for step in (0, 29, 30, 79, 80)]
    ['noise', 'noise', 'relaxed', 'relaxed', 'rounded']
    """
    if step >= recipe.rounded_after * recipe.steps:
        return "rounded"
    return "relaxed" if step >= recipe.relaxed_after * recipe.steps else "noise"


@torch.no_grad()
def validate(network: Network, crops: Tensor, qualities, distortion: str = "mse") -> list[dict[str, float]]:
    """Estimated bpp and PSNR at each quality, means over crops uint8 [K,S,S,3] of the values of each; MS-SSIM, too, if
    that is the `distortion` that the network is trained for.

    Reconstructions are rounded to 8 bits. The network must be in evaluation mode.
    """
    rows = []
    side = crops.shape[1] // network.stride * network.stride
    for quality in qualities:
        bits, decibels, similar = [], [], []
        for part in crops[:, :side, :side].split(8):
            x = part.permute(0, 3, 1, 2).contiguous()
            out = network(x.float() / 255, float(quality))
            pictures = (out.reconstruction * 255).round()
            error = pictures - x
            bits.append(out.bits())
            decibels.append(10 * torch.log10(255**2 / error.square().flatten(1).mean(1).clamp(min=1e-9)))
            if distortion == "ms-ssim":
                similar.append(1 - measure(distortion, x.float() / 255, pictures / 255))
        bpp = float(torch.cat(bits).mean()) / side**2
        row = {"quality": quality, "bpp": round(bpp, 5), "psnr": round(float(torch.cat(decibels).mean()), 3)}
        rows.append(row | ({"ms-ssim": round(float(torch.cat(similar).mean()), 5)} if similar else {}))
    return rows


def build(recipe: Recipe) -> Network:
    """The recipe's network with its random start, in training mode.

    Raises:
        ValueError: no network has that name, or the recipe does not fit it.
    """
    kind = network_class(recipe.network)
    low, high = recipe.qualities
    if not 1 <= low <= high <= len(kind.CHANNELS):
        raise ValueError(f"{recipe.network} has the qualities 1 … {len(kind.CHANNELS)}, not {low:g} … {high:g}")
    if not kind.variable_rate and (low != high or low % 1):
        raise ValueError(f"{recipe.network} has one rate, so a recipe has one whole quality, not {low:g} … {high:g}")
    if recipe.relaxed_after < 1 and not _predicts(kind):
        raise ValueError(f"relaxed_after is for cheng2020, not for {recipe.network}")
    if recipe.adaptive_steps and kind.start != "factorized":
        raise ValueError(f"adaptive_steps are for balle2017, whose prior knows no contexts, not for {recipe.network}")
    torch.manual_seed(recipe.seed)
    network = kind(*recipe.channels)
    if recipe.patch % network.stride:
        raise ValueError(f"patches of {recipe.network} are multiples of {network.stride}, not {recipe.patch}")
    return network


def _predicts(network: Network | type[Network]) -> bool:
    """Whether a network predicts the distribution of each latent from others as they are coded.

    Such a network can be trained with relaxed latents, and its analysis transform has no gradient once latents are
    rounded.
    """
    return network.start == "context"


def _begin(network: Network, recipe: Recipe, sample: Tensor, start) -> bool:
    """Set the weights of a new run; returns whether there are some that its entropy model has not learned yet."""
    if start is None and not network.start:
        return False
    if start is None:
        initialize(network, sample)
        return True
    weights = _weights(recipe, network, start)
    if channels_of(recipe.network, weights) == channels_of(recipe.network, network.state_dict()):
        network.load_state_dict(weights)
        return False
    widen(network, weights, sample)
    return True


def _adaptive_rate(recipe: Recipe, network: Network) -> AdaptiveRate | None:
    if not recipe.adaptive_steps:
        return None
    rate = AdaptiveRate(network.entropy_bottleneck.channels, network.LEVELS)
    return rate.to(network.entropy_bottleneck.medians.device)


def _groups(recipe: Recipe, network: Network, rate: AdaptiveRate | None) -> list[dict]:
    """The parameters by their highest learning rate: convolutions; GDN and gains; all that predicts probabilities."""
    convolutions, scales, entropy_model = [], [], []
    for name, parameter in network.named_parameters():
        if not name.startswith(TRANSFORMS):
            entropy_model.append(parameter)
        elif name.rpartition(".")[2] in ("beta", "gamma", "log_gain"):
            scales.append(parameter)
        else:
            convolutions.append(parameter)
    if rate is not None:
        entropy_model.extend(rate.parameters())
    return [
        {"params": convolutions, "peak": recipe.learning_rate},
        {"params": scales, "peak": _SCALES_RATE * recipe.learning_rate},
        {"params": entropy_model, "peak": recipe.entropy_rate},
    ]


def _weights(recipe: Recipe, network: Network, path) -> dict[str, Tensor]:
    """The state dict in the weights of a run or in an exported weight file, if it fits the recipe's network."""
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is no file of weights: {error}") from error
    exported = {key.removeprefix(_EXPORTED): value for key, value in tensors.items() if key.startswith(_EXPORTED)}
    weights = {key: value.float() for key, value in (exported or tensors).items()}
    weights = load_network(recipe.network, weights).state_dict()  # or says what is wrong with them
    has, wants = (channels_of(recipe.network, tensors) for tensors in (weights, network.state_dict()))
    if has[0] != wants[0]:
        raise ValueError(f"{path} has {has[0]} channels, the recipe {recipe.name} {wants[0]}")
    if has != wants and not _predicts(network):
        raise ValueError(f"{path} has {', '.join(map(str, has))} channels, the recipe {recipe.name} {wants}")
    for count, limit, of in zip(has[1:], wants[1:], ("latents a position", "deep channels", "details"), strict=False):
        if count > limit or (of == "details" and 0 < count < limit):
            raise ValueError(f"{path} has {count} {of}, the recipe {recipe.name} {limit}")
    return weights
