"""The training loop: from a recipe and a pack of photographs to weights.

Each step takes a batch of random patches, each with a quality of its own, and moves the weights against the gradient of
the rate-distortion loss with AdamW. Beside them goes their exponential moving average (EMA), which is what is
validated and kept: single steps are noisy, and the average is the better network.

**A folder for each run** holds

- ``checkpoint.pt``: all that a resumed run needs (weights, EMA, optimizer, step, recipe);
- ``weights.safetensors``: the EMA weights, for `codecs.learned.load_network`; its metadata say network, recipe, step
  and validation;
- ``log.jsonl``: one JSON object a line, with means since the last such line (``loss``, ``bpp``, ``distortion``), or
  with the validation: for each quality, estimated bpp and PSNR of the held-out crops.

Files are replaced as a whole, so a run may be killed at any time.

**Resuming is exact.** All random numbers of a step are drawn from its number, the seed and the device's rank, so there
is no generator to save, and a run that is stopped and resumed makes the same weights as one that is not (bit for bit
where the operators are deterministic, as on a CPU with a fixed number of threads).

**The start** is no random network but a working transform codec (`start.initialize`), whose entropy model has been
trained alone for some time (`start.fit_entropy_model`, `Recipe.prior_steps`). Then all parameters move, with three
learning rates: of the convolutions, a higher one of GDN's parameters and the gains, and one of the entropy model.

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
(DistributedDataParallel). The first process validates and writes.
"""

import copy
import io
import json
import math
import os
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as distributed
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

from ..codecs.image_io import write_atomically
from ..codecs.learned.networks import NETWORKS, Balle2017, Cheng2020, Network, channels_of, load_network
from ..primitives.learned.quantize import Proxy
from .adaptive_rate import AdaptiveRate
from .data import Pack, batch, load_pack
from .losses import Objective, Terms, sample_qualities
from .recipes import Recipe
from .start import TRANSFORMS, fit_entropy_model, initialize, widen

#: The files of a run.
CHECKPOINT, WEIGHTS, LOG = "checkpoint.pt", "weights.safetensors", "log.jsonl"

#: What `export` puts before the names of a network's tensors.
_EXPORTED = "network."

#: Crops that the start of a training is computed from, and those that the entropy model sees before it.
_START_CROPS, _PRIOR_CROPS = 64, 320

#: Those that an adaptive rate sees before the network moves.
_RATE_CROPS = 480

#: Learning rate of GDN's parameters and of the gains, as a multiple of that of the convolutions.
_SCALES_RATE = 3.0

#: The learning rate at the end, as a part of the highest.
_FINAL_RATE = 0.01


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
) -> dict:
    """Train a network, or go on training it.

    Args:
        recipe: what to train, and how.
        data: a pack of photographs, or the path of one.
        out: folder of the run.
        device: of torch, such as ``"cpu"`` or ``"cuda"``; by default a GPU if there is one.
        minutes: stop cleanly after this time (validation and saving come on top); the next run resumes.
        resume: go on from the folder's checkpoint if it has one.
        start: weights to begin with: the ``weights.safetensors`` of a run, or a weight file such as those that ship.
            Those of a `Cheng2020` may have fewer latents a position or deep channels, or no details (`start.widen`). A
            checkpoint goes before it.
        compile: whether to compile the objective; by default on a GPU.
        bfloat16: whether transforms compute in bfloat16; by default on a GPU.
        progress: whether to show a progress bar on stderr.

    Returns:
        The last validation, as in the log: ``step`` and ``validation``, a list of ``quality``, ``bpp`` and ``psnr``.

    Raises:
        ValueError: the recipe's network has no gain units, its patches do not fit, its checkpoint is of another
            recipe, a file is of another kind, the folder holds a run and `resume` is not set, or there is no such
            device.
        FileNotFoundError: no pack or no weights at the path.
    """
    with _processes(device) as processes:
        run = _Run(recipe, data, Path(out), processes, resume, start, compile, bfloat16)
        return run.train(minutes, progress)


class LearningRates(NamedTuple):
    """Learning rates of the groups of parameters.

    Attributes:
        convolutions: of the transforms' weights and biases.
        scales: of GDN's parameters and the gains.
        entropy_model: of all that predicts probabilities, hyperprior transforms included.
    """

    convolutions: float
    scales: float
    entropy_model: float


def learning_rates(recipe: Recipe, step: int) -> LearningRates:
    """The learning rates of a step: a linear rise, then half a cosine.

    >>> r = Recipe("r", "balle2017", (4,), steps=101, batch=1, patch=64, learning_rate=1.0, warmup=10)
    >>> [round(learning_rates(r, step).convolutions, 3) for step in (0, 4, 9, 50, 100)]
    [0.1, 0.498, 0.98, 0.505, 0.01]
    """
    rise = min(1.0, (step + 1) / max(recipe.warmup, 1))
    cosine = 0.5 + 0.5 * math.cos(math.pi * step / max(recipe.steps - 1, 1))
    factor = rise * (_FINAL_RATE + (1 - _FINAL_RATE) * cosine)
    rate = factor * recipe.learning_rate
    return LearningRates(rate, _SCALES_RATE * rate, factor * recipe.entropy_rate)


def proxy_at(recipe: Recipe, step: int) -> Proxy:
    """What stands in for rounding in a step.

    >>> r = Recipe("r", "cheng2020", (4,), steps=100, batch=1, patch=64, relaxed_after=0.3, rounded_after=0.8)
    >>> [proxy_at(r, step) for step in (0, 29, 30, 79, 80)]
    ['noise', 'noise', 'relaxed', 'relaxed', 'rounded']
    """
    if step >= recipe.rounded_after * recipe.steps:
        return "rounded"
    return "relaxed" if step >= recipe.relaxed_after * recipe.steps else "noise"


def _groups(network: Network, rate: AdaptiveRate | None) -> list[dict]:
    """The parameters in the groups of `LearningRates`."""
    groups = LearningRates([], [], [])
    for name, parameter in network.named_parameters():
        if not name.startswith(TRANSFORMS):
            groups.entropy_model.append(parameter)
        elif name.rpartition(".")[2] in ("beta", "gamma", "log_gain"):
            groups.scales.append(parameter)
        else:
            groups.convolutions.append(parameter)
    if rate is not None:
        groups.entropy_model.extend(rate.parameters())
    return [{"params": group} for group in groups]


@torch.no_grad()
def validate(network: Network, crops: Tensor, qualities) -> list[dict[str, float]]:
    """Estimated bpp and PSNR at each quality, means over crops uint8 [K,S,S,3] of the values of each.

    Reconstructions are rounded to 8 bits. The network must be in evaluation mode.
    """
    rows = []
    side = crops.shape[1] // network.stride * network.stride
    for quality in qualities:
        bits, decibels = [], []
        for part in crops[:, :side, :side].split(8):
            x = part.permute(0, 3, 1, 2).contiguous()
            out = network(x.float() / 255, float(quality))
            error = (out.reconstruction * 255).round() - x
            bits.append(out.bits())
            decibels.append(10 * torch.log10(255**2 / error.square().flatten(1).mean(1).clamp(min=1e-9)))
        bpp = float(torch.cat(bits).mean()) / side**2
        rows.append({"quality": quality, "bpp": round(bpp, 5), "psnr": round(float(torch.cat(decibels).mean()), 3)})
    return rows


class _Run:
    """The state of one process of a run."""

    def __init__(self, recipe, data, out, processes, resume, start, compile, bfloat16):
        self.recipe, self.out, self.processes, self.device = recipe, out, processes, processes.device
        on_gpu = self.device.type == "cuda"
        # Channels last is for tensor cores; some of torch's CPU operators fail with it.
        self.layout = torch.channels_last if on_gpu else torch.contiguous_format
        network = _build(recipe)
        if recipe.batch % processes.count:
            raise ValueError(f"a batch of {recipe.batch} cannot be shared by {processes.count} processes evenly")
        pack = data if isinstance(data, Pack) else load_pack(data)
        if recipe.patch > pack.training.shape[1]:
            side = pack.training.shape[1]
            raise ValueError(f"the recipe's patches have {recipe.patch} pixels a side, the pack's crops only {side}")
        began = not (self.out / CHECKPOINT).exists()
        sample = pack.training[:_START_CROPS].cpu()
        if start is None and began:
            initialize(network, sample)
        weights = {} if start is None else _weights(recipe, network, start)
        wider = weights and channels_of(recipe.network, weights) != channels_of(recipe.network, network.state_dict())
        if wider and began:
            widen(network, weights, sample)
        elif weights and began:
            network.load_state_dict(weights)
        self.network = network.to(self.device, memory_format=self.layout)
        self.pack = pack.to(self.device)
        if began and (wider or start is None):
            crops, steps = self.pack.training[:_PRIOR_CROPS], min(recipe.prior_steps, recipe.steps)
            rate, seed, proxy = recipe.entropy_rate, recipe.seed, proxy_at(recipe, 0)
            fit_entropy_model(self.network, crops, steps, proxy=proxy, learning_rate=rate, seed=seed)
        self.rate = _adaptive_rate(recipe, self.network)
        if began and self.rate is not None:
            steps = min(recipe.adaptive_steps, recipe.steps)
            fit_entropy_model(self.network, self.pack.training[:_RATE_CROPS], steps, rate=self.rate, seed=recipe.seed)
        self.bfloat16 = on_gpu if bfloat16 is None else bfloat16
        self.ema = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(_groups(self.network, self.rate), weight_decay=0.0, fused=True)
        # bfloat16 has the range of float32, so nothing needs scaling: this skips steps whose gradients are not finite.
        self.scaler = torch.amp.GradScaler(self.device.type, init_scale=1.0, growth_interval=2**31 - 1, enabled=on_gpu)
        self.result = self._restore(resume)
        self.step = self.result["step"] if self.result else 0
        objective = Objective(self.network, recipe.distortion, self.rate)
        if processes.count > 1:
            # With rounded latents, the analysis transform of cheng2020 has no gradients.
            alone = not isinstance(self.network, Balle2017)
            objective = DistributedDataParallel(objective, broadcast_buffers=False, find_unused_parameters=alone)
        self.objective = torch.compile(objective) if (on_gpu if compile is None else compile) else objective

    def train(self, minutes, progress):
        """Steps until the recipe or the time is at its end; returns the last validation."""
        recipe, began = self.recipe, time.monotonic()
        log_every = max(1, min(50, recipe.steps // 20))
        seen, since = [], began
        bar = tqdm(total=recipe.steps, initial=self.step, unit="step", disable=not (progress and self.processes.first))
        while self.step < recipe.steps and not self._time_is_up(began, minutes):
            seen.append(self._one_step())
            self.step += 1
            bar.update()
            if self.step % log_every == 0:
                if proxy_at(recipe, self.step) == "rounded":
                    self.network.entropy_bottleneck.update_quantiles()
                means = torch.stack([torch.stack(terms) for terms in seen]).mean(0).tolist()
                now = time.monotonic()
                entry = {name: round(value, 6) for name, value in zip(Terms._fields, means, strict=True)}
                rate = learning_rates(recipe, self.step - 1).convolutions
                rates = {"rate": rate, "steps_per_s": len(seen) / (now - since)}
                self._log(entry | {name: float(f"{value:.4g}") for name, value in rates.items()})
                bar.set_postfix(loss=f"{entry['loss']:.4f}", bpp=f"{entry['bpp']:.3f}")
                seen, since = [], now
            if self.step % recipe.report == 0 and self.step < recipe.steps:
                self._report()
                since = time.monotonic()
        bar.close()
        if self.result is None or self.result["step"] != self.step:
            self._report()
        return self.result

    def _one_step(self) -> Terms:
        recipe, count = self.recipe, self.recipe.batch // self.processes.count
        rng = np.random.default_rng((recipe.seed, self.processes.rank, self.step))
        torch.manual_seed(int(rng.integers(2**32)))
        x = batch(self.pack.training, count, recipe.patch, rng).contiguous(memory_format=self.layout)
        quality = sample_qualities(rng, count, *recipe.qualities).to(self.device, non_blocking=True)
        for group, rate in zip(self.optimizer.param_groups, learning_rates(recipe, self.step), strict=True):
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            terms = self.objective(x, quality, proxy_at(recipe, self.step))
        self.scaler.scale(terms.loss).backward()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.objective.parameters(), recipe.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        decay = min(recipe.ema, (1 + self.step) / (10 + self.step))  # soon forget the random start
        average = get_ema_multi_avg_fn(decay)
        average(list(self.ema.parameters()), list(self.network.parameters()), None)
        return Terms(*(term.detach() for term in terms))

    def _time_is_up(self, began, minutes):
        """Whether to stop now: the first process's clock decides for all."""
        if minutes is None:
            return False
        late = time.monotonic() - began >= 60 * minutes
        if self.processes.count == 1:
            return late
        if self.step % 10:  # processes wait for each other here
            return False
        decision = torch.tensor(float(late), device=self.device)
        distributed.broadcast(decision, 0)
        return bool(decision)

    def _report(self):
        """Validate and save."""
        self.result = {"step": self.step, "validation": []}
        if self.processes.first:
            self.ema.entropy_bottleneck.update_quantiles()
            low, high = self.recipe.qualities
            levels = [level for level in range(1, self.network.LEVELS + 1) if low <= level <= high] or [low]
            self.result["validation"] = validate(self.ema, self.pack.validation, levels)
            self._log({"validation": self.result["validation"]})
            self._save()
        if self.processes.count > 1:
            distributed.barrier()

    def _save(self):
        about = {
            "network": self.recipe.network,
            "recipe": json.dumps(asdict(self.recipe)),
            "step": str(self.step),
            "validation": json.dumps(self.result["validation"]),
        }
        weights = {key: value.cpu().contiguous() for key, value in self.ema.state_dict().items()}
        write_atomically(self.out / WEIGHTS, save(weights, about))
        state = {
            "recipe": json.dumps(asdict(self.recipe)),
            "result": self.result,
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "rate": None if self.rate is None else self.rate.state_dict(),
        }
        file = io.BytesIO()
        torch.save(state, file)
        write_atomically(self.out / CHECKPOINT, file.getbuffer())

    def _restore(self, resume) -> dict | None:
        """Load the folder's checkpoint, if there is one, and return its validation."""
        path = self.out / CHECKPOINT
        if not path.exists():
            if self.processes.first:
                self.out.mkdir(parents=True, exist_ok=True)
                write_atomically(self.out / LOG, "")
            return None
        if not resume:
            raise ValueError(f"{self.out} holds a run; resume it, or train in another folder")
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["recipe"] != json.dumps(asdict(self.recipe)):
            raise ValueError(f"{path} belongs to another recipe: {state['recipe']}")
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.rate is not None:
            self.rate.load_state_dict(state["rate"])
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        if self.processes.first:  # forget what a killed run did after its checkpoint
            lines, step = (
                (self.out / LOG).read_text(encoding="utf-8").splitlines(keepends=True),
                state["result"]["step"],
            )
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
            write_atomically(self.out / LOG, "".join(kept))
        return state["result"]

    def _log(self, entry):
        if self.processes.first:
            with open(self.out / LOG, "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": self.step, **entry}) + "\n")


def _build(recipe: Recipe) -> Network:
    """The recipe's network with its random start, in training mode."""
    if not hasattr(NETWORKS[recipe.network], "LEVELS"):
        names = ", ".join(name for name, network in NETWORKS.items() if hasattr(network, "LEVELS"))
        raise ValueError(f"{recipe.network} has no gain units; networks that can be trained here: {names}")
    torch.manual_seed(recipe.seed)
    network = NETWORKS[recipe.network](*recipe.channels)
    if recipe.relaxed_after < 1 and not isinstance(network, Cheng2020):
        raise ValueError(f"relaxed_after is for cheng2020, not for {recipe.network}")
    if recipe.patch % network.stride:
        raise ValueError(f"patches of {recipe.network} are multiples of {network.stride}, not {recipe.patch}")
    return network


def _adaptive_rate(recipe: Recipe, network: Network) -> AdaptiveRate | None:
    if not recipe.adaptive_steps:
        return None
    if not isinstance(network, Balle2017):
        raise ValueError(f"adaptive_steps are for balle2017, whose prior knows no contexts, not for {recipe.network}")
    return AdaptiveRate(network.entropy_bottleneck.channels, network.LEVELS).to(next(network.parameters()).device)


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
    for count, limit, of in zip(has[1:], wants[1:], ("latents a position", "deep channels", "details"), strict=False):
        if count > limit or (of == "details" and 0 < count < limit):
            raise ValueError(f"{path} has {count} {of}, the recipe {recipe.name} {limit}")
    return weights


@dataclass(frozen=True)
class _Processes:
    """The processes of a run: which one this is, and of how many."""

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0


@contextmanager
def _processes(device):
    """This process alone, or among those that torchrun started."""
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if kind.partition(":")[0] not in ("cpu", "cuda"):
        raise ValueError(f"the device is cpu, cuda, or one of several such as cuda:1, not {kind!r}")
    if kind.startswith("cuda"):
        if not torch.cuda.is_available():
            raise ValueError("torch finds no CUDA device here; train with --device cpu")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    if not distributed.is_torchelastic_launched():
        yield _Processes(torch.device(kind))
        return
    if kind == "cuda":
        kind = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(kind)
    distributed.init_process_group("nccl" if kind.startswith("cuda") else "gloo")
    try:
        yield _Processes(torch.device(kind), distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
