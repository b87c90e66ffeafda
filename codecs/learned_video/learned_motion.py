"""Learned motion as a stage: vectors by networks, a prediction in integers.

The encoder may compute as it likes, and runs the flow network and the analysis transform of `motion_network` in
floats. From the symbols on, encoder and decoder compute the same integers::

    q            symbols of the latents, int32 [R,C,M], of a frame of R×C blocks of 16×16
    q · step     step[level, channel] in units of 2^-14, stored: the inverse gain of each eighth of a quality
    l_s + g_s    integer networks (`primitives.learned.integer`): vectors int32 [2,4R,4C] in units of 2^-8 pixels
    warp         linear interpolation to all pixels, eight taps at 16ths (`primitives.warp`)

So a prediction is the same on every machine, and what a codec predicts from never drifts.

**Symbols as bytes.** A byte says the gain level, 8 times the quality less 1. The context-mixing coder codes the symbols
(`primitives.entropy.latent_mixing`), position by position, the channels with the widest distributions first. It asks
the factorized prior, tables of integers for each level and channel, and its contexts. What it learns goes on from frame
to frame; it begins with the experience in the weight file.

**Weights.** `MotionModel` is all of it, as named arrays (`tensors`) in a weight file of its own (`export_motion`) that
any codec can use. The stage names the file by its fingerprint, and so does a stream.
"""

import copy
import functools
import itertools
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from ...primitives.entropy.factorized import FactorizedPrior
from ...primitives.entropy.latent_mixing import Experience, MixingDecoder, MixingEncoder, of_tables
from ...primitives.entropy.tables import FrequencyTables
from ...primitives.errors import StreamError
from ...primitives.learned.integer import IntegerNetwork, quantize_network
from ...primitives.warp import FLOW_BITS, warp
from ...primitives.weights import check_fingerprint, fingerprint, read_metadata, read_tensors, write_tensors
from ..learned.networks import LEVEL_STEPS
from ..learned.probabilities import prior_tables
from .motion import BLOCK, Motion
from .motion_network import FLOW_UNIT, LEVELS, MotionNetwork

#: Weight files of learned motion alone.
FORMAT = "codeckit motion weights 1"

#: Steps of latents are in units of 2^-STEP_BITS.
STEP_BITS = 14

#: Each part of a vector reaches so many pixels at most.
REACH = 128

#: The weight file that comes with the package. It lies apart from those of whole codecs.
SHIPPED = Path(__file__).parent / "shipped" / "motion" / "motion.safetensors"

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
        l_s, g_s: the two parts of the synthesis transform in integers.
        steps: of the latents, int64 [levels,M] in units of 2^-14.
        tables: the prior, one table for each level and channel.
        experience: what the context-mixing coder begins with; empty or one.
    """

    network: MotionNetwork = field(repr=False)
    l_s: IntegerNetwork = field(repr=False)
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
        l_s, g_s = (
            quantize_network(part, samples, input_bits=STEP_BITS, output_bits=bits, output_limit=REACH << FLOW_BITS)
            for part in (network.l_s, network.g_s)
        )
        around_zero = FactorizedPrior(network.entropy_bottleneck.channels)
        around_zero.load_state_dict(network.entropy_bottleneck.state_dict())
        around_zero.quantiles[:, :, 1] = 0  # latents are rounded to whole numbers
        tables, _ = prior_tables(around_zero, network.gain.factors(levels).double().numpy())
        model = cls(network, l_s, g_s, steps.numpy(), tables)
        return replace(model, experience=tuple(_practised(model, sequences)))

    def tensors(self) -> dict[str, np.ndarray]:
        """The model as arrays by name. The floats are written in 16 bits, so make the model of such floats.

        The inverse is `from_tensors`.
        """
        floats = {key: value.half().numpy() for key, value in self.network.state_dict().items() if _kept(key)}
        tensors = {f"network.{key}": value for key, value in floats.items()}
        for name in ("l_s", "g_s"):
            integers = getattr(self, name).state(getattr(self.network, name))
            tensors |= {f"{name}.{key}": value.numpy() for key, value in integers.items()}
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
    def from_tensors(cls, tensors: Mapping[str, np.ndarray]) -> "MotionModel":
        """The inverse of `tensors`.

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
            synthesis = []
            for name in ("l_s", "g_s"):
                integers = {k[4:]: torch.from_numpy(v) for k, v in tensors.items() if k.startswith(f"{name}.")}
                synthesis.append(IntegerNetwork.from_state(integers, getattr(network, name)))
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
        network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        return cls(network, *synthesis, steps, tables, experience)

    def estimate(self, frame: np.ndarray, reference: np.ndarray, level: int) -> LearnedField:
        """The motion of a frame from its reference, both uint8 [16R,16C,3], at a gain level."""
        symbols = _latents(self.network, frame, reference, level)[0].permute(1, 2, 0)
        return LearnedField(level, np.ascontiguousarray(symbols.to(torch.int32).numpy()))

    def flow(self, motion: LearnedField) -> np.ndarray:
        """The decoded vectors (down, right), int32 [2,4R,4C] in units of 2^-8 pixels.

        Raises:
            ValueError: the motion has another level or number of channels than this model.
        """
        self._check(motion)
        latents = motion.symbols.astype(np.int64) * self.steps[motion.level]
        latents = torch.from_numpy(latents).permute(2, 0, 1)[None]
        return (self.l_s(latents) + self.g_s(latents))[0].numpy()

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


@functools.lru_cache(maxsize=2)
@torch.inference_mode(False)
def _load(path, version):
    """`version` makes a file that was written anew another one to the cache."""
    metadata, tensors = read_tensors(path, FORMAT)
    check_fingerprint(path, metadata, _NAME, tensors)
    return MotionModel.from_tensors(tensors)


def load_motion(path) -> MotionModel:
    """The model in a weight file; those used last are kept in memory.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no weight file of learned motion, or damaged.
    """
    path = os.path.abspath(path)
    status = os.stat(path) if os.path.isfile(path) else None
    return _load(path, status and (status.st_mtime_ns, status.st_size))


def register_motion(path) -> str:
    """Let `LearnedMotion` and streams find a weight file by its fingerprint, for the rest of this process.

    Returns:
        The fingerprint, 8 hexadecimal digits.

    Raises:
        FileNotFoundError, ValueError: as `load_motion`.
    """
    path = os.path.abspath(path)
    known = read_metadata(path, FORMAT)["fingerprint"]
    _registered[known] = path
    return known


_registered: dict[str, str] = {}


def export_motion(network: MotionNetwork, sequences: Iterable[np.ndarray], path, note: str = "") -> str:
    """Write the weight file of a trained network.

    Args:
        network: trained; its floats are rounded to 16 bits first.
        sequences: typical ones, uint8 [N,H,W,3] with sides of multiples of 16: those it was trained on. They show how
            large activations become, and the context-mixing coder practises on them.
        path: the file to write.
        note: how it was trained.

    Returns:
        The fingerprint, as `register_motion` does.

    Raises:
        ValueError: there are no sequences.
    """
    tensors = MotionModel.of(_halved(network), sequences).tensors()
    known = fingerprint(_NAME, tensors).hex()
    write_tensors(path, FORMAT, {"fingerprint": known, "note": note}, tensors)
    return known


def _halved(network: MotionNetwork) -> MotionNetwork:
    """A copy of a network with floats that 16 bits hold."""
    network = copy.deepcopy(network).cpu()
    network.load_state_dict(
        {key: value.half().float() if _kept(key) else value for key, value in network.state_dict().items()}
    )
    return network


@dataclass(frozen=True)
class LearnedMotion(Motion):
    """Motion by networks, in the place of block motion.

    Attributes:
        weights: fingerprint of the weight file, 8 hexadecimal digits: one that `register_motion` knows, or that comes
            with the package, which is the default.

    >>> import tempfile
    >>> frames = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = export_motion(MotionNetwork(4, 8, 8), [frames], folder + "/motion.safetensors")
    ...     stage = LearnedMotion(register_motion(folder + "/motion.safetensors"))
    ...     motion = stage.estimate(frames[1], frames[0], None, quality=4)
    ...     again = stage.unpack(stage.pack(motion, {}), (2, 3), {})
    ...     same = (stage.predict(frames[0], again) == stage.predict(frames[0], motion)).all()
    >>> motion.symbols.shape, bool(same)
    ((2, 3, 4), True)
    """

    weights: str = ""

    def __post_init__(self):
        if not self.weights and SHIPPED.exists():
            object.__setattr__(self, "weights", read_metadata(SHIPPED, FORMAT)["fingerprint"])

    def estimate(self, frame, reference, before, quality):
        """As `Motion.estimate`; learned motion does without the motion of the frame before.

        Raises:
            ValueError: the shapes do not fit, or the quality is not in 1 … 8.
        """
        if frame.shape != reference.shape or frame.ndim != 3 or any(side % BLOCK for side in frame.shape[:2]):
            raise ValueError(
                f"frames have sides in multiples of {BLOCK} and one shape, not {frame.shape} and {reference.shape}"
            )
        level = round((quality - 1) * LEVEL_STEPS)
        if not 0 <= level < _LEVELS:
            raise ValueError(f"quality is a number from 1 to {LEVELS}, not {quality!r}")
        return self._model().estimate(frame, reference, level)

    def predict(self, reference, motion):
        """As `Motion.predict`.

        Raises:
            ValueError: the motion is of another size or another model.
        """
        return warp(reference, self._model().flow(motion))

    def pack(self, motion, memory):
        """As `Motion.pack`: a byte of level, and the stream of symbols."""
        model = self._model()
        encoder = model.encoded(motion, memory.get(_NAME, model.experience))
        data = bytes([motion.level]) + encoder.getvalue()
        memory[_NAME] = encoder.experience
        return data

    def unpack(self, data, shape, memory):
        """As `Motion.unpack`."""
        if not data or data[0] >= _LEVELS:
            raise StreamError(f"the motion names no gain level up to {_LEVELS - 1}; it is cut or damaged")
        model = self._model()
        motion, experience = model.decoded(data[1:], data[0], shape, memory.get(_NAME, model.experience))
        memory[_NAME] = experience
        return motion

    def vectors(self, motion):
        """As `Motion.vectors`: one a block of 4×4."""
        return np.moveaxis(self._model().flow(motion) / 2**FLOW_BITS, 0, 2)

    def _model(self) -> MotionModel:
        if not self.weights:
            raise ValueError(
                "no weights of learned motion come with this version of codeckit; "
                "LearnedMotion(register_motion(path)) takes a file that export_motion wrote"
            )
        if self.weights in _registered:
            return load_motion(_registered[self.weights])
        if SHIPPED.exists() and read_metadata(SHIPPED, FORMAT)["fingerprint"] == self.weights:
            return load_motion(SHIPPED)
        raise StreamError(
            f"the weights of learned motion {str(self.weights)[:40]!r} are not known here; register_motion(path) tells "
            "where their file is"
        )


def _kept(key):
    """Whether a tensor of the state dict goes into a file; constants and what is computed do not."""
    return not key.startswith("entropy_bottleneck.")


@torch.inference_mode()
def _latents(network, frame, reference, level):
    """The rounded latents of a frame, float32 [1,M,R,C]."""
    pair = torch.from_numpy(np.stack((frame, reference))).permute(0, 3, 1, 2).float() / 255
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
