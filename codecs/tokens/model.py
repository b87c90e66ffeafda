"""What a token codec knows beforehand of its backbone's features, learned from training photographs and shipped.

**Transform.** A map of features [rows, columns, C] is decorrelated along the grid by a two-dimensional DCT and along
the channels by a basis of its own for the grid's mean (frequency 0) and one for everything else::

    y[k] = A_k · (DCT(f)[k] − mean[k])           A_k = A_dc for k = 0, A_ac otherwise          [C] → [C]

A plain principal component analysis would take all errors of equal size for equally bad. They are not: the rest of the
network reads some directions of the features closely and others hardly, and errors that all positions share do not
average out at its end. So the bases are principal components *in the metric of the Fisher information* of the frozen
rest of the network, W = E[g gᵀ] with g the gradient of log p(class | features), classes drawn from p, plus a part ε of
the plain metric, which is for other tasks than this one. With A = Uᵀ W^(1/2) (U: eigenvectors of the covariance of
W^(1/2) f), equal steps in all components cost the network equally, which is what a uniform quantizer should see; and
components are in order of variance. A is not orthogonal; the inverse is A⁻¹.

**Single tokens.** Where tokens have been dropped or merged there is no grid to decorrelate along. A model of shape
[1,1,C] takes every token for a grid of its own: one basis, of all tokens alike, and any number of tokens.

**Scales and tables.** For each component, σ[k, c] = log2 of its standard deviation (in sixteenths, integers). What is
known of a symbol before it is decoded is its *class*: σ less the log2 of the step, in quarter octaves, and whether the
token's components so far were smaller or larger than expected (`LEVELS`). Each class has a table of integer
frequencies, counted on the training photographs. All of this is integer arithmetic, so every machine finds the same
tables.

The file is a weight file (`primitives.weights`), whose fingerprint is over the backbone's fingerprint and all tensors.
`codeckit.training.token_model` makes it.

Sources: I. T. Jolliffe, "Principal Component Analysis"; S. Amari, "Natural Gradient Works Efficiently in Learning",
1998 (the Fisher metric); W. R. Gardner, B. D. Rao, "Theoretical Analysis of the High-Rate Vector Quantization of LPC
Parameters", IEEE Trans. Speech and Audio Processing 1995 (quantization in the metric of a sensitivity matrix).
"""

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from scipy.fft import dctn, idctn

from ...primitives.entropy.tables import FrequencyTables
from ...primitives.errors import StreamError
from ...primitives.weights import check_fingerprint, fingerprint, read_tensors, write_tensors

#: What a model's file says that it is.
FORMAT = "codeckit token model 1"

#: Models that come with the package: ``backbone/stage`` and the file.
SHIPPED = Path(__file__).parent / "shipped"

#: Sixteenths of an octave, the unit of scales and steps.
OCTAVE = 16

#: The step at quality 1, 2^5.5 = 45. Each quality above halves the squared error: half an octave less.
FIRST_STEP = 11 * OCTAVE // 2

#: Eighths of a quality: `level` 0 … 56 for the qualities 1 … 8. One is a sixteenth of an octave.
LEVEL_STEPS = 8

#: Scale classes are quarter octaves of σ / step; class `UNIT` is σ = step.
CLASSES, UNIT = 52, 20

#: Levels of a token's activity: how the magnitudes so far compare with what was expected, in half octaves.
LEVELS = 7

#: Limits between the levels, ratios in units of 1/256.
_LIMITS = np.array([round(256 * 2 ** ((2 * n - 5) / 4)) for n in range(LEVELS - 1)], np.int64)

#: Magnitudes that a token's activity starts with, in units of 1/256, so that the first components decide little.
_PRIOR = 3 * 256

_TENSORS = ("mean", "dc", "ac", "sigma", "expected", "frequencies", "sizes", "lowest")


@dataclass(frozen=True, eq=False)
class TokenModel:
    """A loaded model.

    Attributes:
        source: backbone and stage, ``"efficientnet-lite0/6"``.
        fingerprint: 4 bytes.
        mean: float32 [rows,columns,C], of the DCT of the features.
        dc, ac: the bases A, float32 [C,C]: a row of features times the matrix is a row of components.
        sigma: int [rows,columns,C], log2 of each component's standard deviation in sixteenths of an octave.
        expected: int [CLASSES], mean magnitude of the symbols of a scale class in units of 1/256.
        tables: one a class, scale class · LEVELS + activity level.
    """

    source: str
    fingerprint: bytes
    mean: np.ndarray = field(repr=False)
    dc: np.ndarray = field(repr=False)
    ac: np.ndarray = field(repr=False)
    sigma: np.ndarray = field(repr=False)
    expected: np.ndarray = field(repr=False)
    tables: FrequencyTables = field(repr=False)

    def __post_init__(self):
        for name in ("dc", "ac"):
            object.__setattr__(self, f"inverse_{name}", np.linalg.inv(getattr(self, name).astype(np.float64)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(rows, columns, C) of the feature map."""
        return self.mean.shape

    @property
    def single(self) -> bool:
        """Whether every token is a grid of its own, so that there may be any number of them."""
        return self.shape[:2] == (1, 1)

    def components(self, features: np.ndarray) -> np.ndarray:
        """The components of feature maps: [...,rows,columns,C] float64, of the same shape."""
        centred = dctn(features.astype(np.float64), axes=(-3, -2), norm="ortho") - self.mean
        components = centred @ self.ac
        components[..., 0, 0, :] = centred[..., 0, 0, :] @ self.dc
        return components

    def features(self, components: np.ndarray) -> np.ndarray:
        """The inverse of `components`, float32."""
        centred = components @ self.inverse_ac
        centred[..., 0, 0, :] = components[..., 0, 0, :] @ self.inverse_dc
        return idctn(centred + self.mean, axes=(-3, -2), norm="ortho").astype(np.float32)

    def scale_classes(self, level: int, count: int = 0) -> np.ndarray:
        """The scale class of every component at a quality level: int64 [rows·columns, C].

        Args:
            level: 0 … 56.
            count: of single tokens, which all have the same classes: [count, C].
        """
        ratio = self.sigma.astype(np.int64) - (FIRST_STEP - level)
        classes = np.clip((ratio + OCTAVE // 8 >> 2) + UNIT, 0, CLASSES - 1).reshape(-1, self.shape[2])
        return np.broadcast_to(classes, (count, self.shape[2])) if self.single and count else classes

    def tables_of(self, symbols: np.ndarray, level: int) -> np.ndarray:
        """The table that each symbol follows, given all those of the same token before it: int64 [N,C].

        Args:
            symbols: integers [N,C].
            level: quality level.
        """
        classes = self.scale_classes(level, len(symbols))
        magnitudes, expected = magnitude(symbols), self.expected[classes]
        seen, wanted = magnitudes.cumsum(1) - magnitudes, expected.cumsum(1) - expected
        return table(classes, seen, wanted)


def step_of(level: int) -> float:
    """The quantization step at a quality level.

    >>> step_of(8), step_of(40)
    (32.0, 8.0)
    """
    return float(2.0 ** ((FIRST_STEP - level) / OCTAVE))


def activity(observed: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The activity level, 0 … LEVELS − 1, of tokens whose magnitudes so far sum to `observed` where `expected` were.

    Args:
        observed: int64, sums of magnitudes.
        expected: int64 of the same shape, in units of 1/256.

    >>> activity(np.array([0, 10, 40]), np.array([2560, 2560, 2560])).tolist()
    [0, 3, 6]
    """
    have, want = (256 * np.minimum(observed, 1 << 24) + _PRIOR) * 256, expected + _PRIOR
    return np.searchsorted(_LIMITS, have // want, side="right")


def magnitude(symbols: np.ndarray) -> np.ndarray:
    """How much symbols add to the activity: int64, at most 2^16 each."""
    return np.minimum(np.abs(symbols.astype(np.int64)), 1 << 16)


def table(classes: np.ndarray, seen: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The table of a symbol: of its scale class and its token's activity level."""
    return classes * LEVELS + activity(seen, wanted)


@functools.lru_cache(maxsize=4)
def load_model(source: str) -> TokenModel:
    """The shipped model for a backbone's stage.

    Raises:
        ValueError: there is none, or its file is damaged.

    >>> load_model("efficientnet-lite0/6").shape
    (7, 7, 192)
    """
    known = {path.stem.rpartition("-")[0] + "/" + path.stem.rpartition("-")[2]: path for path in _files()}
    if source not in known:
        raise ValueError(f"no model of the tokens of {source!r} comes with codeckit; there are {', '.join(known)}")
    return read_model(known[source])


@dataclass(frozen=True)
class TokenWeights:
    """The handle of a shipped model, which a codec hands to its stages. Models compute with numpy, on the CPU.

    Attributes:
        source: backbone and stage.

    >>> len(TokenWeights("efficientnet-lite0/6").fingerprint)
    4
    """

    source: str

    device: ClassVar[str] = "cpu"

    @property
    def fingerprint(self) -> bytes:
        """What streams call the model."""
        return self.load().fingerprint

    def on(self, device: str) -> "TokenWeights":
        """The same handle, whatever the device."""
        return self

    def load(self) -> TokenModel:
        """The model; raises as `load_model`."""
        return load_model(self.source)


def _files():
    return sorted(SHIPPED.glob("*-[0-9].safetensors"))


def write_model(path, source: str, backbone: bytes, tensors: dict[str, np.ndarray], note: str = "") -> TokenModel:
    """Write a model's file.

    Args:
        path: the file.
        source: backbone and stage.
        backbone: the backbone's fingerprint.
        tensors: arrays by name, those of docs/format.md.
        note: what it was made of.
    """
    said = {"source": source, "backbone": backbone.hex(), "note": note}
    write_tensors(path, FORMAT, said | {"fingerprint": fingerprint(backbone, tensors).hex()}, tensors)
    return read_model(path)


def read_model(path) -> TokenModel:
    """The model in a file that `write_model` wrote.

    Raises:
        ValueError: it is no such file, or damaged.
    """
    said, tensors = read_tensors(path, FORMAT)
    try:
        source, backbone = said["source"], bytes.fromhex(said["backbone"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} is damaged: it does not name its backbone") from error
    own = check_fingerprint(path, said, backbone, tensors)
    if set(tensors) != set(_TENSORS):
        raise ValueError(f"{path} has other tensors than a model of tokens")
    tables = FrequencyTables(*(tensors[name].astype(np.int64) for name in ("frequencies", "sizes", "lowest")))
    parts = {name: tensors[name] for name in ("mean", "dc", "ac", "sigma")}
    return TokenModel(source, own, expected=tensors["expected"].astype(np.int64), tables=tables, **parts)


def check_shape(shape, model: TokenModel) -> None:
    """Refuse symbols that are not those of the model's tokens: [K,1,C] of K single ones."""
    if tuple(shape[model.single :]) != model.shape[model.single :] or len(shape) != 3:
        raise StreamError(f"tokens of {model.source} have components {list(model.shape)}, not {list(shape)}")
