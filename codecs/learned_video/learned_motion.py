"""Learned motion as a stage: vectors by networks, a prediction in integers.

The encoder may compute as it likes, and runs the flow network and the analysis transform of `motion_network` in
floats. From the symbols on, encoder and decoder compute the same integers::

    q            symbols of the latents, int32 [R,C,M], of a frame of R×C blocks of 16×16
    q · step     step[level, channel] in units of 2^-10, stored: the inverse gain of each eighth of a quality
    g_s          an integer network (`primitives.learned.integer`): vectors int32 [2,4R,4C] in units of 2^-8 pixels
    warp         linear interpolation to all pixels, eight taps at 16ths (`primitives.warp`)

So a prediction is the same on every machine, and what a codec predicts from never drifts.

**Symbols as bytes.** A byte says the gain level, 8 times the quality less 1. The context-mixing coder codes the symbols
(`primitives.entropy.latent_mixing`), position by position, the channels with the widest distributions first. It asks
the factorized prior, tables of integers for each level and channel, and its contexts. What it learns goes on from frame
to frame; it begins with the experience in the weight file.

**Quality.** A motion search is told what a bit may cost: a penalty in grey levels of the sum of absolute differences.
`quality_of` translates that into a gain level, so that block motion and learned motion take the same argument.

**Weights.** `MotionModel` is all of it, as named arrays (`tensors`), which a codec's weight file may hold, too.
`export_motion` writes a file of these alone.
"""

import copy
import functools
import itertools
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from ...primitives.entropy.factorized import FactorizedPrior
from ...primitives.entropy.latent_mixing import Experience, MixingDecoder, MixingEncoder, of_tables
from ...primitives.entropy.tables import FrequencyTables
from ...primitives.errors import StreamError
from ...primitives.learned.integer import IntegerNetwork, quantize_network
from ...primitives.stage import Weighted
from ...primitives.warp import FLOW_BITS, warp
from ...primitives.weights import check_fingerprint, fingerprint, read_metadata, read_tensors, write_tensors
from ..learned.lambdas import LAMBDAS
from ..learned.networks import LEVEL_STEPS
from ..learned.probabilities import prior_tables
from ..learned.weights import check_device
from .motion_network import FLOW_UNIT, LEVELS, SHARE, MotionNetwork

#: Weight files of learned motion alone.
FORMAT = "codeckit motion weights 1"

#: Steps of latents are in units of 2^-STEP_BITS.
STEP_BITS = 10

#: Vectors reach so many pixels at most.
REACH = 128

#: Side in pixels of what a position of the latents stands for.
BLOCK = 16

#: Gain levels that a stream can name.
_LEVELS = (LEVELS - 1) * LEVEL_STEPS + 1

_NAME = "motion"


@dataclass(frozen=True, eq=False)
class LearnedField:
    """The motion of a frame as symbols.

    Attributes:
        level: gain level, 8 times the quality less 1.
        symbols: int32 [R,C,M].
    """

    level: int
    symbols: np.ndarray


@dataclass(frozen=True, eq=False)
class MotionModel:
    """Everything that learned motion computes with.

    Attributes:
        network: the floats, in evaluation mode; only the encoder runs them.
        g_s: the synthesis transform in integers.
        steps: of the latents, int64 [levels,M] in units of 2^-10.
        tables: the prior, one table for each level and channel.
        experience: what the context-mixing coder begins with; empty or one.
    """

    network: MotionNetwork = field(repr=False)
    g_s: IntegerNetwork = field(repr=False)
    steps: np.ndarray = field(repr=False)
    tables: FrequencyTables = field(repr=False)
    experience: tuple[Experience, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, network: MotionNetwork, sequences: Iterable[np.ndarray]) -> "MotionModel":
        """Turn the decoder's side of a trained network into integers, and let the coder practise.

        Args:
            network: trained.
            sequences: typical ones, uint8 [N,H,W,3] with sides of multiples of 16.

        Raises:
            ValueError: there are no sequences.
        """
        sequences = list(sequences)
        network = copy.deepcopy(network).eval().requires_grad_(False)
        levels = 1 + torch.arange(_LEVELS) / LEVEL_STEPS
        steps = (network.inverse_gain.factors(levels).double() * 2**STEP_BITS).round().long()
        bits = FLOW_BITS + int(math.log2(FLOW_UNIT))
        samples = [
            _latents(network, sequence[1], sequence[0], level) * steps[level][:, None, None] / 2**STEP_BITS
            for sequence in sequences[:16]
            for level in (0, _LEVELS // 2, _LEVELS - 1)
        ]
        g_s = quantize_network(
            network.g_s, samples, input_bits=STEP_BITS, output_bits=bits, output_limit=REACH << FLOW_BITS
        )
        around_zero = FactorizedPrior(network.entropy_bottleneck.channels)
        around_zero.load_state_dict(network.entropy_bottleneck.state_dict())
        around_zero.quantiles[:, :, 1] = 0  # latents are rounded to whole numbers
        tables, _ = prior_tables(around_zero, network.gain.factors(levels).double().numpy())
        model = cls(network, g_s, steps.numpy(), tables)
        return replace(model, experience=tuple(_practised(model, sequences)))

    def tensors(self) -> dict[str, np.ndarray]:
        """The model as arrays by name. The floats are written in 16 bits, so make the model of such floats (`halved`).

        The inverse is `from_tensors`.
        """
        floats = {key: value.half().numpy() for key, value in self.network.state_dict().items() if _kept(key)}
        integers = {key: value.numpy() for key, value in self.g_s.state(self.network.g_s).items()}
        tensors = {f"network.{key}": value for key, value in floats.items()}
        tensors |= {f"g_s.{key}": value for key, value in integers.items()}
        tensors |= {
            "steps": self.steps,
            "prior.frequencies": self.tables.frequencies.astype(np.int32),
            "prior.sizes": self.tables.sizes,
            "prior.lowest": self.tables.lowest,
        }
        if self.experience:
            tensors["experience"] = np.frombuffer(self.experience[0].packed(), np.uint8)
        return tensors

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], device: str = "cpu") -> "MotionModel":
        """The inverse of `tensors`.

        Args:
            tensors: what it gave.
            device: where the encoder's networks run; the decoder's side runs on the CPU.

        Raises:
            ValueError: arrays are missing or do not fit.
        """
        try:
            floats = {k[8:]: torch.from_numpy(v).float() for k, v in tensors.items() if k.startswith("network.")}
            channels = len(floats["g_s.0.weight"][0]), len(floats["g_s.0.weight"]), len(floats["flow.0.0.weight"])
            network = MotionNetwork(*channels)
            state = network.state_dict()
            if floats.keys() != {key for key in state if _kept(key)}:
                raise ValueError("the weights of learned motion lack tensors, or have other ones")
            network.load_state_dict({**state, **floats})
            integers = {k[4:]: torch.from_numpy(v) for k, v in tensors.items() if k.startswith("g_s.")}
            g_s = IntegerNetwork.from_state(integers, network.g_s)
            tables = FrequencyTables(*(tensors[f"prior.{name}"] for name in ("frequencies", "sizes", "lowest")))
            steps = tensors["steps"].astype(np.int64)
        except (KeyError, RuntimeError) as error:  # torch's word for other shapes
            raise ValueError(f"the weights of learned motion are damaged: {error}") from error
        if steps.shape != (_LEVELS, channels[0]) or len(tables) != steps.size:
            raise ValueError(
                f"steps {list(steps.shape)} and {len(tables)} tables are not those of {channels[0]} latents"
            )
        packed = [tensors["experience"]] if "experience" in tensors else []
        experience = tuple(Experience.from_packed(data.tobytes()) for data in packed)
        network = network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
        return cls(network, g_s, steps, tables, experience)

    def estimate(self, frame: np.ndarray, reference: np.ndarray, level: int) -> LearnedField:
        """The motion of a frame from its reference, both uint8 [16R,16C,3], at a gain level."""
        symbols = _latents(self.network, frame, reference, level)[0].permute(1, 2, 0)
        return LearnedField(level, np.ascontiguousarray(symbols.to(torch.int32).cpu().numpy()))

    def flow(self, motion: LearnedField) -> np.ndarray:
        """The decoded vectors (down, right), int32 [2,4R,4C] in units of 2^-8 pixels.

        Raises:
            ValueError: the motion has another level or number of channels than this model.
        """
        self._check(motion)
        latents = motion.symbols.astype(np.int64) * self.steps[motion.level]
        return self.g_s(torch.from_numpy(latents).permute(2, 0, 1)[None])[0].numpy()

    def encoded(self, motion: LearnedField, experience: Sequence[Experience]) -> MixingEncoder:
        """The symbols in a context-mixing encoder that begins with an experience."""
        self._check(motion)
        shape = motion.symbols.shape
        encoder = MixingEncoder([shape], experience=experience)
        where = np.indices(shape[:2]).reshape(2, -1)
        encoder.put(0, where, motion.symbols.reshape(-1, shape[2]), *self._distributions(motion.level, where))
        return encoder

    def decoded(
        self, data: bytes, level: int, shape: tuple[int, int], experience: Sequence[Experience]
    ) -> tuple[LearnedField, list[Experience]]:
        """The inverse of `encoded`, for R×C blocks: the motion, and what the coder has learned then.

        Raises:
            StreamError: the bytes are cut or damaged.
        """
        channels = self.steps.shape[1]
        decoder = MixingDecoder(data, [(*shape, channels)], experience)
        where = np.indices(shape).reshape(2, -1)
        symbols = decoder.get(0, where, *self._distributions(level, where))
        decoder.finish()
        return LearnedField(level, symbols.reshape(*shape, channels)), decoder.experience

    def _distributions(self, level, where):
        """The tables of all symbols, and the order of the channels."""
        channels = self.steps.shape[1]
        tables = np.arange(level * channels, (level + 1) * channels)
        order = np.argsort(self.tables.frequency(np.zeros_like(tables), tables), kind="stable")
        return of_tables(np.broadcast_to(tables, (where.shape[1], channels)), self.tables), order

    def _check(self, motion):
        if not 0 <= motion.level < _LEVELS or motion.symbols.shape[2:] != self.steps.shape[1:]:
            raise ValueError(
                f"motion of level {motion.level} with symbols {list(motion.symbols.shape)} is not of a model with "
                f"{_LEVELS} levels and {self.steps.shape[1]} channels"
            )


@dataclass(frozen=True)
class MotionFile:
    """The handle of a file with weights of learned motion alone.

    Attributes:
        path: the file; made absolute.
        device: where the encoder's networks run.

    Raises:
        ValueError: there is no such device.
    """

    path: str
    device: str = "cpu"

    def __post_init__(self):
        object.__setattr__(self, "path", os.path.abspath(self.path))
        check_device(self.device)

    @property
    def fingerprint(self) -> bytes:
        """What streams call the weights, 4 bytes."""
        return bytes.fromhex(read_metadata(self.path, FORMAT)["fingerprint"])

    def on(self, device: str) -> "MotionFile":
        """The handle of the same weights on another device."""
        return replace(self, device=device)

    def load(self) -> "MotionWeights":
        """The weights; those that were used last are kept in memory.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no file of learned motion, or damaged.
        """
        status = os.stat(self.path) if os.path.isfile(self.path) else None
        return _load(self.path, status and (status.st_mtime_ns, status.st_size), self.device)


@dataclass(frozen=True)
class MotionWeights:
    """What `MotionFile` loads: any weights with a `motion` serve `LearnedMotion`."""

    motion: MotionModel


@functools.lru_cache(maxsize=2)
@torch.inference_mode(False)
def _load(path, version, device):
    """`version` makes a file that was written anew another one to the cache."""
    metadata, tensors = read_tensors(path, FORMAT)
    check_fingerprint(path, metadata, _NAME, tensors)
    return MotionWeights(MotionModel.from_tensors(tensors, device))


def export_motion(network: MotionNetwork, sequences: Iterable[np.ndarray], path, note: str = "") -> MotionFile:
    """Write the weight file of a trained network.

    Args:
        network: trained; its floats are rounded to 16 bits first.
        sequences: typical ones, uint8 [N,H,W,3] with sides of multiples of 16: those it was trained on. They show how
            large activations become, and the context-mixing coder practises on them.
        path: the file to write.
        note: how it was trained.

    Raises:
        ValueError: there are no sequences.
    """
    tensors = MotionModel.of(halved(network), sequences).tensors()
    write_tensors(path, FORMAT, {"fingerprint": fingerprint(_NAME, tensors).hex(), "note": note}, tensors)
    return MotionFile(str(path))


def halved(network: MotionNetwork) -> MotionNetwork:
    """A copy of a network with floats that 16 bits hold."""
    network = copy.deepcopy(network).cpu()
    network.load_state_dict(
        {key: value.half().float() if _kept(key) else value for key, value in network.state_dict().items()}
    )
    return network


@dataclass(frozen=True)
class LearnedMotion(Weighted):
    """Motion by networks, in the place of block motion.

    A codec's last stage calls `estimate`, `predict`, `pack` and `unpack` frame by frame.

    Attributes:
        weights: handle of the weights; what it loads has a `motion`.

    >>> import tempfile
    >>> frames = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     weights = export_motion(MotionNetwork(4, 8, 8), [frames], folder + "/motion.safetensors")
    ...     stage = LearnedMotion(weights)
    ...     motion = stage.estimate(frames[1], frames[0], None, penalty=12)
    ...     data = stage.pack(motion, {})
    ...     again = stage.unpack(data, (2, 3), {})
    ...     same = (stage.predict(frames[0], again) == stage.predict(frames[0], motion)).all()
    >>> motion.symbols.shape, bool(same)
    ((2, 3, 4), True)
    """

    weights: Any = None

    def estimate(
        self, frame: np.ndarray, reference: np.ndarray, before: LearnedField | None, penalty: float
    ) -> LearnedField:
        """The motion of a frame; for encoders.

        Args:
            frame: uint8 [16R,16C,3].
            reference: the frame before, as decoded, of the same shape.
            before: the motion of the frame before, which learned motion does without.
            penalty: what a bit may cost, in grey levels of absolute differences.

        Raises:
            ValueError: the shapes do not fit.
        """
        if frame.shape != reference.shape or frame.ndim != 3 or any(side % BLOCK for side in frame.shape[:2]):
            raise ValueError(
                f"frames have sides in multiples of {BLOCK} and one shape, not {frame.shape} and {reference.shape}"
            )
        level = round((quality_of(penalty) - 1) * LEVEL_STEPS)
        return self._model().estimate(frame, reference, level)

    def predict(self, reference: np.ndarray, motion: LearnedField) -> np.ndarray:
        """The prediction uint8 [16R,16C,3] from the reference; exact on every machine.

        Raises:
            ValueError: the motion is of another size or another model.
        """
        return warp(reference, self._model().flow(motion))

    def pack(self, motion: LearnedField, memory: dict) -> bytes:
        """The motion as bytes.

        Args:
            motion: of this stage's weights.
            memory: statistics that one frame hands on to the next: an empty dictionary at first.
        """
        model = self._model()
        encoder = model.encoded(motion, memory.get(_NAME, model.experience))
        data = bytes([motion.level]) + encoder.getvalue()
        memory[_NAME] = encoder.experience
        return data

    def unpack(self, data: bytes, shape: tuple[int, int], memory: dict) -> LearnedField:
        """The inverse of `pack`.

        Args:
            data: what it returned.
            shape: (R, C).
            memory: as it was handed to `pack`.

        Raises:
            StreamError: the bytes are cut or damaged.
        """
        if not data or data[0] >= _LEVELS:
            raise StreamError(f"the motion names no gain level up to {_LEVELS - 1}; it is cut or damaged")
        model = self._model()
        motion, experience = model.decoded(data[1:], data[0], shape, memory.get(_NAME, model.experience))
        memory[_NAME] = experience
        return motion

    def _model(self) -> MotionModel:
        if self.weights is None:
            raise ValueError("learned motion has no weights yet: LearnedMotion(MotionFile(path)) gives it some")
        return self.weights.load().motion


#: A penalty times λ' at the same trade: an error of σ grey levels has absolute differences of 0.8 σ on average, and to
#: reduce its square by one reduces these by 0.4 / σ; σ is taken as 10.
_PENALTY_TIMES_LAMBDA = 0.04


def quality_of(penalty: float) -> float:
    """The quality 1 … 8 whose trade of bits for errors is nearest to that of a penalty in grey levels a bit.

    >>> [round(quality_of(penalty), 2) for penalty in (0, 4, 12, 36, 1000)]
    [8.0, 6.1, 4.72, 3.33, 1.0]
    """
    table = np.log(LAMBDAS["mse"])
    wanted = math.log(_PENALTY_TIMES_LAMBDA / SHARE / max(penalty, 1e-9))
    return float(np.interp(wanted, table, np.arange(1, LEVELS + 1)))


def _kept(key):
    """Whether a tensor of the state dict goes into a file; constants and what is computed do not."""
    return not key.startswith("entropy_bottleneck.")


@torch.inference_mode()
def _latents(network, frame, reference, level):
    """The rounded latents of a frame, float32 [1,M,R,C]."""
    device = network.gain.log_gain.device
    pair = torch.from_numpy(np.stack((frame, reference))).to(device).permute(0, 3, 1, 2).float() / 255
    current, before = pair[:1], pair[1:]
    y = network.analysis(current, before, network.flows(current, before)[0])
    return network.gain(y, 1 + level / LEVEL_STEPS).round()


def _practised(model, sequences):
    """What the context-mixing coder learns from sequences at all levels."""
    experience: Sequence[Experience] = ()
    for number, sequence in enumerate(sequences):
        level = number * 5 % _LEVELS  # 5 and the 57 levels have no divisor in common
        for before, frame in itertools.pairwise(sequence):
            experience = model.encoded(model.estimate(frame, before, level), experience).experience
    return experience
