"""Train the network of predicted frames of a learned video codec: `dvc` or `dcvc`.

A step takes a batch of frames, and what the decoder will have of the frames before them.

**Chains.** Patches of a sequence are coded one after the other, a frame a step. The first is coded by the still codec
of I-frames. The others are coded by the network as it is at that step, each predicted by block motion from the frame
that was decoded in the step before. So the network sees the errors that it makes itself, vectors are those of the real
encoder, and no gradient goes back through time. DVC calls this an online buffer. All patches of a batch begin their
chains together, every `VideoRecipe.chain` steps, so that a run that resumes there goes on as if it had not stopped.

**Rounding.** The synthesis transform sees rounded latents from the first step on, as a chain needs decoded frames. The
rate is that of relaxed latents, as a model of the adaptive coder counts them (`adaptive_rate`). Noise misleads here:
nine of ten latents of a predicted frame are 0 and cost nothing, but with noise they seem to be most of the rate. `Dcvc`
adds what its prior foresees. This prior also learns to be right alone, as the integer coder asks it for the scale of
each latent. A dead zone in training, to imitate an encoder that counts bits, gained nothing
(docs/training.md, "Learned video").

**The start** is a linear codec: the principal components of residuals (`start`). `dcvc` can begin with a trained `dvc`.

Sources: G. Lu et al., "DVC: An End-to-end Deep Video Compression Framework", CVPR 2019, section 3.6.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..codecs.learned.header import shipped
from ..codecs.learned.lambdas import LAMBDAS, lambda_at
from ..codecs.learned.weights import load_weights
from ..codecs.learned_video.motion import luma, penalty_at
from ..codecs.learned_video.networks import NETWORKS, Dcvc, PredictiveNetwork
from ..primitives.block_motion import SIDE, Field, encode_field, estimate_field, overlapped
from ..primitives.learned.quantize import relax
from .adaptive_rate import AdaptiveRate, laplace_bits
from .callbacks import CHECKPOINT, Average, Callback, Clip, LearningRate, Seeding
from .loop import Task, run
from .losses import sample_qualities
from .processes import Processes, processes
from .recipes import VideoRecipe
from .sequences import SequencePack, Sequences, batch, load_sequences
from .start import begin_residuals

#: Qualities by which I-frames of training chains may be better than the frames that follow.
_BETTER = 2.0

#: Share of chains that come from clips; the others come from photographs.
_CLIPS = 0.7

#: Learning rate of GDN's parameters and of the gains, as a multiple of that of the convolutions.
_SCALES_RATE = 3.0

#: Chains from which the start and the adaptive rate are computed.
_START_CHAINS = 12

#: Qualities and frames of the validation.
_VALIDATED = (2, 4, 6)


def train(
    recipe: VideoRecipe,
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
    """Train a network, or go on training it; arguments and result as of `image_codec.train`.

    Args:
        data: a pack of sequences, or the path of one.
        start: weights of a run to begin with; those of a `dvc` may begin a `dcvc`.
    """
    with processes(device) as found:
        on_gpu = found.device.type == "cuda"
        task = VideoCodec(recipe, data, found, start, new=not (Path(out) / CHECKPOINT).exists())
        rules = [
            Seeding(recipe.seed, found.rank, noise=True),
            LearningRate(recipe.steps - 1, recipe.warmup),
            Clip(recipe.clip),
            Average(task.network, recipe.ema),
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
            compile=False if compile is None else compile,
            callbacks=callbacks,
        )


class Terms(NamedTuple):
    """What a step measures.

    Attributes:
        loss: to be minimized.
        bpp: estimated bits per pixel, without motion.
        distortion: mean squared error of pixels 0 … 255.
        predicted: that of the corrected prediction.
    """

    loss: Tensor
    bpp: Tensor
    distortion: Tensor
    predicted: Tensor


class Objective(nn.Module):
    """A network and a model of its coder, with the rate-distortion loss of a frame.

    Attributes:
        decoded: the frames that the last call decoded, uint8 [N,3,H,W].
    """

    def __init__(self, network: PredictiveNetwork, rate: AdaptiveRate):
        super().__init__()
        self.network, self.rate = network, rate
        self.reference = float(np.exp(np.log(LAMBDAS["mse"]).mean()))  # λ with weight 1
        self.decoded = None

    def forward(self, x: Tensor, p: Tensor, before: Tensor, quality: Tensor) -> Terms:
        """Terms of frames [N,3,H,W] in 0 … 255, as `PredictiveNetwork.forward` takes them."""
        out = self.network(x, p, before, quality)
        self.decoded = decoded(out.reconstruction)
        bits, aside = self.bits(out, quality)
        pixels = x.shape[2] * x.shape[3]
        distortion = (out.reconstruction - x).square().flatten(1).mean(1)
        weight = lambda_at(quality)
        losses = ((bits + aside) / pixels + weight * distortion) * (self.reference / weight).sqrt()
        predicted = (out.corrected - x).square().mean()
        return Terms(losses.mean(), (bits / pixels).detach().mean(), distortion.detach().mean(), predicted.detach())

    def bits(self, out, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Bits of each frame [N], and those of the prior of `Dcvc` alone, which teach nothing else."""
        symbols = relax(out.y)
        if not isinstance(self.network, Dcvc):
            return self.rate.bits(symbols, quality), torch.zeros(())
        bits = self.rate.bits(symbols, quality, self.network.prior(out.features).float())
        alone = self.network.prior(out.features.detach()).float()
        scales = (self.rate.usual_scales(quality).detach() + alone).clamp(-3, 8).exp()
        return bits, laplace_bits(symbols.detach().abs(), scales).flatten(1).sum(1)


class VideoCodec(Task):
    """A network of predicted frames with its loss.

    Args:
        recipe: what to train, and how.
        data: a pack, or the path of one.
        processes: those that share a batch.
        start: weights to begin with, or None for a linear codec.
        new: whether the run begins; parameters of a resumed one come from its checkpoint.

    Raises:
        ValueError: the recipe does not fit the pack.
    """

    def __init__(self, recipe: VideoRecipe, data, processes: Processes, start=None, *, new: bool = True):
        self.recipe, self.device = recipe, processes.device
        self.pack = data if isinstance(data, SequencePack) else load_sequences(data)
        stored, side = self.pack.training.frames.shape[1:3]
        if recipe.patch > side or recipe.chain >= stored:
            raise ValueError(
                f"the recipe's chains have {recipe.chain + 1} frames of {recipe.patch} pixels a side, the pack's "
                f"sequences {stored} of {side}"
            )
        self.count = recipe.batch // processes.count
        self.still = still(self.device)
        torch.manual_seed(recipe.seed)
        network = NETWORKS[recipe.network](*recipe.channels)
        rate = AdaptiveRate(network.M, network.LEVELS)
        if new:
            _begin(network, rate, self, start)
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.objective = Objective(self.network, rate.to(self.device))
        self.optimizer = torch.optim.AdamW(_groups(recipe, self.network, rate), weight_decay=0.0, fused=True)
        self.chain: Chain | None = None

    def batch(self, rng, step):
        """The next frames of the chains, their predictions, what these were made of, and qualities."""
        position = step % self.recipe.chain
        if position == 0 or self.chain is None:
            length, distances = [(self.recipe.chain, (1,)), (self.recipe.chain // 2, (1, 2))][int(rng.random() < 0.5)]
            self.length = length
        if position % self.length == 0 or self.chain is None:
            distances = (1,) if self.length == self.recipe.chain else (1, 2)
            self.chain = self.begin(rng, self.count, self.length + 1, distances)
        else:
            self.chain.append(self.objective.decoded)
        return self.chain.next()

    def begin(self, rng, count: int, length: int, distances=(1,)) -> "Chain":
        """Chains of `length` frames with I-frames coded, a quality each."""
        real = rng.random() < _CLIPS or not len(self.pack.synthetic)
        part = self.pack.training if real else self.pack.synthetic
        chains = batch(part, count, self.recipe.patch, rng, length=length, distances=distances)
        quality = sample_qualities(rng, count, *self.recipe.qualities)
        better = (quality + _BETTER * torch.from_numpy(rng.random(count)).float()).clamp(max=8)
        frames = (chains.frames * 255).round().to(torch.uint8)
        return Chain(frames, coded_still(self.still, frames[0], better, self.device), quality, self.device)

    def validate(self, network):
        """Estimated bits a pixel and PSNR of the held-out sequences' predicted frames."""
        return validate(network, self.objective.rate, self.pack.validation, self.still, self.device)

    def metadata(self):
        """The name of the network."""
        return {"network": self.recipe.network}


class Chain:
    """Frames that are coded one after the other, each predicted from the one decoded before it.

    Args:
        frames: uint8 [L,B,3,H,W].
        decoded: the first ones, decoded, uint8 [B,3,H,W].
        quality: of each [B].
        device: where networks run.

    Attributes:
        motion_bits: what the fields of the last frames take, for each.
    """

    def __init__(self, frames: Tensor, decoded: Tensor, quality: Tensor, device):
        self.frames, self.quality, self.device = frames, quality, device
        self.position = 0
        rows, columns = frames.shape[3] // (2 * SIDE), frames.shape[4] // (2 * SIDE)
        self.fields = [Field.still(rows, columns)] * len(quality)
        self.memories: list[dict] = [{} for _ in quality]
        self.motion_bits = [0.0] * len(quality)
        self.append(decoded)

    def append(self, decoded: Tensor) -> None:
        """Go on: `decoded` is the present frame, decoded."""
        self.decoded = decoded
        self.position += 1

    def next(self, measured: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The frame, its prediction, the decoded one that it was made of, floats [B,3,H,W]; qualities [B].

        Args:
            measured: whether to note `motion_bits`.
        """
        x = self.frames[self.position]
        wanted, before = (t.permute(0, 2, 3, 1).contiguous().cpu().numpy() for t in (x, self.decoded))
        predicted = np.empty_like(wanted)
        for n, quality in enumerate(self.quality.tolist()):
            self.fields[n] = estimate_field(luma(wanted[n]), luma(before[n]), self.fields[n], penalty_at(quality))
            predicted[n] = overlapped(before[n], self.fields[n])
            if measured:
                self.motion_bits[n] = 8.0 * len(encode_field(self.fields[n], self.memories[n]))
        p = torch.from_numpy(predicted).permute(0, 3, 1, 2)
        return (*(t.to(self.device).float() for t in (x, p, self.decoded)), self.quality.to(self.device))


def still(device):
    """The network that codes I-frames."""
    path = next(header.path for header in shipped() if header.architecture == "balle2017")
    return load_weights(path, str(device)).network


@torch.no_grad()
def coded_still(network, frames: Tensor, quality: Tensor, device) -> Tensor:
    """Frames uint8 [N,3,H,W], coded and decoded by a still codec."""
    with torch.autocast(torch.device(device).type, torch.bfloat16):
        out = network(frames.to(device).float() / 255, quality.to(device))
    return decoded(out.reconstruction * 255)


def decoded(reconstruction: Tensor) -> Tensor:
    """Reconstructions [N,3,H,W] in 0 … 255 as uint8."""
    return reconstruction.detach().float().clamp(0, 255).round().to(torch.uint8)


@torch.no_grad()
def validate(network, rate: AdaptiveRate, sequences: Sequences, still, device, qualities=_VALIDATED) -> list[dict]:
    """Estimated bits a pixel, with real motion fields, and PSNR of predicted frames: means over sequences."""
    objective, rows = Objective(network, rate), []
    frames = sequences.frames.permute(1, 0, 4, 2, 3)
    for quality in qualities:
        level = torch.full((frames.shape[1],), float(quality))
        chain = Chain(frames, coded_still(still, frames[0], (level + 1).clamp(max=8), device), level, device)
        bits, moved, decibels = [], [], []
        while chain.position < len(frames):
            x, p, before, q = chain.next(measured=True)
            out = network(x, p, before, q)
            bits.append(objective.bits(out, q)[0])
            moved.append(torch.tensor(chain.motion_bits))
            picture = decoded(out.reconstruction)
            error = (picture.float() - x).square().flatten(1).mean(1).clamp(min=1e-3)
            decibels.append(10 * torch.log10(255**2 / error))
            chain.append(picture)
        pixels = frames.shape[3] * frames.shape[4]
        motion = float(torch.stack(moved).mean()) / pixels
        bpp = float(torch.stack(bits).mean()) / pixels + motion
        row = {"quality": quality, "bpp": round(bpp, 5), "psnr": round(float(torch.stack(decibels).mean()), 3)}
        rows.append(row | {"motion": round(motion, 5)})
    return rows


def _begin(network: PredictiveNetwork, rate: AdaptiveRate, task: VideoCodec, start) -> None:
    """Set the weights of a new run, and scales of the adaptive rate."""
    rng = np.random.default_rng((task.recipe.seed, 1))
    parts = []
    for _ in range(_START_CHAINS):
        parts.append(task.begin(rng, task.count, 2, (1, 2, 3)).next())
    x, p, before, _ = (torch.cat(each) for each in zip(*parts, strict=True))
    if start is None:
        begin_residuals(network, (x - p) / 256)
    else:
        weights = load_file(Path(start) / "weights.safetensors" if Path(start).is_dir() else start)
        own = network.state_dict()
        for key, value in weights.items():
            if own[key].shape != value.shape:  # g_a of a dvc, which knows no context
                own[key][:, : value.shape[1]], own[key][:, value.shape[1] :] = value, 0
            else:
                own[key].copy_(value)
    network.eval()
    with torch.no_grad():
        latents = []
        for quality in range(1, network.LEVELS + 1):
            level = torch.full((task.count,), float(quality))
            each = zip(*(t.split(task.count) for t in (x, p, before)), strict=True)
            latents.append(torch.cat([network(*three, level).y.round() for three in each]))
        rate.start(torch.stack(latents))
    network.train()


def _groups(recipe: VideoRecipe, network: PredictiveNetwork, rate: AdaptiveRate) -> list[dict]:
    """The parameters by their highest learning rate: convolutions; GDN and gains; the adaptive rate."""
    scales = [p for name, p in network.named_parameters() if name.rpartition(".")[2] in ("beta", "gamma", "log_gain")]
    known = {id(p) for p in scales}
    return [
        {"params": [p for p in network.parameters() if id(p) not in known], "peak": recipe.learning_rate},
        {"params": scales, "peak": _SCALES_RATE * recipe.learning_rate},
        {"params": list(rate.parameters()), "peak": recipe.entropy_rate},
    ]
