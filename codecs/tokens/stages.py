"""The stages of token codecs.

::

    image ── Features ── FeatureTransform ── Uniform ── TokenCoded ── bytes
             Tokens      components / step   symbols    tables of the model
             [N,C]       [rows,columns,C]

Between the stages components travel as a `Picture` of one plane [rows,columns,C] with the quality level as a side
value, so any generic entropy stage codes them, too. Decoding ends in `Tokens`, for whoever reads them; there is no
picture.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from PIL import Image

from ...primitives.anatomy import Anatomy, Dissector
from ...primitives.bitstream import ByteReader, ByteWriter
from ...primitives.entropy.latents import LatentDecoder, LatentEncoder
from ...primitives.errors import StreamError
from ...primitives.picture import MAX_PIXELS, Picture, check_size
from ...primitives.quantizers.uniform import check_step
from ...primitives.stage import Stage, Weighted
from ...primitives.token_grid import Tokens
from ...primitives.tokens.backbones import load_backbone
from ...primitives.tokens.greedy import scope
from ...primitives.tokens.reduced import Reduced
from ...primitives.tokens.reducers import ATTENDING, REDUCERS, STANDS_FOR, information_density, quadtree
from .model import LEVEL_STEPS, TokenModel, TokenWeights, check_shape, magnitude, step_of, table

#: The largest magnitude of a token in `TokenSteps`.
_MOST_STEPS = 1 << 18

#: A decoder accepts one token for so many pixels that it would accept.
_PIXELS = 1024

#: The highest quality level (quality 8).
MAX_LEVEL = 7 * LEVEL_STEPS


@dataclass(frozen=True)
class Features(Stage):
    """A picture's features behind a stage of a backbone. The inverse leaves tokens as they are.

    Attributes:
        source: backbone and stage.
    """

    source: str = "efficientnet-lite0/6"

    def weighed(self, octaves: np.ndarray, stages) -> None:
        """Refuse where all tokens are sent: components are frequencies of the whole grid. A reducer chooses places.

        Raises:
            ValueError: the codec has no reducer.
        """
        if not any(isinstance(stage, Reduce) for stage in stages.values()):
            raise ValueError("all tokens are sent, and their components know no places: importance= changes nothing")

    def forward(self, image: np.ndarray) -> Tokens:
        """Return the tokens of uint8 [H,W,3] or [H,W].

        Raises:
            ImportError: the backbone's packages are not installed.
        """
        name, _, stage = self.source.partition("/")
        return load_backbone(name).tokens(image, int(stage))

    def inverse(self, tokens: Tokens) -> Tokens:
        """Return the tokens."""
        if not isinstance(tokens, Tokens):
            raise StreamError("what was decoded are no tokens")
        return tokens


@dataclass(frozen=True)
class Reduce(Stage):
    """Fewer tokens: K of N, chosen and merged by one of the `REDUCERS`. The inverse leaves tokens as they are.

    Their grid is K × 1; which positions they stand at is not told, for readers that need it find it in the tokens. Only
    reducers that need no attention can be stages, for it does not travel with tokens.

    Attributes:
        reducer: name of a reducer.
        budget: K; of fewer tokens all are kept.
        octaves: importance of each pixel, [H,W]. Tokens are then chosen by SCOPE, which takes the place of `reducer`,
            with the weights 2^octaves where it has attention.

    >>> tokens = Tokens(np.eye(6, dtype=np.float32), (2, 3), size=(32, 48))
    >>> Reduce("qpid", 2).forward(tokens).grid
    (2, 1)
    """

    unwritten: ClassVar[tuple[str, ...]] = ("reducer", "budget", "octaves")  # the number of tokens travels with them

    reducer: str = "qpid+"
    budget: int = 25
    octaves: np.ndarray | None = field(default=None, repr=False, compare=False)

    def weighed(self, octaves: np.ndarray, stages) -> "Reduce":
        """The choice by importance; see `Stage.weighed`."""
        return replace(self, octaves=octaves)

    def __post_init__(self):
        if self.reducer not in REDUCERS or self.reducer in ATTENDING:
            legal = ", ".join(name for name in REDUCERS if name not in ATTENDING)
            raise ValueError(f"the reducers that can be stages are {legal}; not {self.reducer!r}")
        if isinstance(self.budget, bool) or not isinstance(self.budget, int) or self.budget < 1:
            raise ValueError(f"a budget is a number of tokens from 1 up, not {self.budget!r}")

    def forward(self, tokens: Tokens) -> Tokens:
        """Return the reduced tokens."""
        budget = min(self.budget, len(tokens.features))
        reduced = self._reduced(tokens, budget)
        return Tokens(reduced.tokens, (budget, 1), tokens.source, tokens.size)

    def _reduced(self, tokens: Tokens, budget: int) -> Reduced:
        if self.octaves is None:
            return REDUCERS[self.reducer](tokens.features, tokens.grid, budget)
        rows, columns = tokens.grid
        over = Image.fromarray(self.octaves.astype(np.float32)).resize((columns, rows), Image.Resampling.BOX)
        return scope(tokens.features, tokens.grid, budget, 2 ** np.asarray(over, np.float64).ravel())

    def inverse(self, tokens: Tokens) -> Tokens:
        """Return the tokens."""
        return tokens

    def maps(self, x: Tokens, y: Tokens) -> dict[str, np.ndarray]:
        """On the grid [h,w] of all tokens: which one stands for each, which are kept, and for QPID what led there."""
        reduced = self._reduced(x, len(y.features))
        kept = np.zeros(len(x.features))
        kept[reduced.kept] = 1
        maps = {STANDS_FOR: reduced.merge_map.astype(np.uint32), "kept": kept}
        if self.octaves is None and self.reducer in ("qpid", "qpid+"):
            maps["information of each"] = information_density(x.features)
            maps["parts of the quadtree"] = quadtree(x.features, x.grid, len(y.features))
        return {name: values.reshape(x.grid) for name, values in maps.items()}

    def in_place(self, values: np.ndarray) -> None:
        """Reduced tokens stand nowhere."""
        return None


class _Modelled(Weighted):
    """A stage that computes with the model of its field `source`."""

    source: str
    weights: TokenWeights | None

    def find_weights(self, fingerprint: bytes) -> TokenWeights:
        """The handle of the shipped model of the stage's source, if it has that fingerprint.

        Raises:
            StreamError: it has not, or there is no such model.
        """
        weights = TokenWeights(self.source)
        try:
            known = weights.fingerprint
        except (TypeError, ValueError) as error:  # a stream may say that a source is anything
            raise StreamError(str(error)) from error
        if known != fingerprint:
            raise StreamError(
                f"the stream was made with the weights {fingerprint.hex() or 'of no name'}, which are not known here; "
                f"the model of {self.source} is {known.hex()}"
            )
        return weights

    @property
    def model(self) -> TokenModel:
        """The loaded model.

        Raises:
            StreamError: the codec's weights are those of another source.
        """
        model = (self.weights or TokenWeights(self.source)).load()
        if model.source != self.source:
            raise StreamError(f"the stage codes tokens of {self.source}; the codec has the model of {model.source}")
        return model


@dataclass(frozen=True)
class FeatureTransform(_Modelled):
    """Tokens to components in units of the quantization step, and back.

    Attributes:
        source: backbone and stage.
        quality: 1 … 8, in steps of 1/8: the step is 32 · 2^(1 − quality / 2).
        weights: the handle of the model; None for the one that ships for the source.
    """

    unwritten: ClassVar[tuple[str, ...]] = ("quality", "weights")  # the quality travels with the components

    source: str = "efficientnet-lite0/6"
    quality: float = 4
    weights: TokenWeights | None = field(default=None, repr=False)

    def __post_init__(self):
        if isinstance(self.quality, bool) or not isinstance(self.quality, int | float | np.number):
            raise ValueError(f"quality is a number from 1 to 8, not {self.quality!r}")
        if not 1 <= self.quality <= 8:
            raise ValueError(f"quality is a number from 1 to 8, not {self.quality!r}")

    def forward(self, tokens: Tokens) -> Picture:
        """Return the components, float32 [rows,columns,C], and the level.

        Raises:
            ValueError: tokens of another source or shape.
        """
        model = self.model
        values = tokens.features[:, None, None] if model.single else tokens.map
        if tokens.source != self.source or values.shape[-3:] != model.shape:
            raise ValueError(
                f"this codec takes tokens of {self.source}, {list(model.shape)}; not of {tokens.source or 'unknown'}, "
                f"{list(tokens.map.shape)}"
            )
        if not np.isfinite(tokens.features).all():
            raise ValueError("the tokens are not all finite numbers")
        level = round((self.quality - 1) * LEVEL_STEPS)
        y = model.components(values) / step_of(level)
        return _picture((y[:, 0] if model.single else y).astype(np.float32), level, tokens.size)

    def in_place(self, values: np.ndarray) -> None:
        """Components are frequencies of the whole grid."""
        return None

    def inverse(self, picture: Picture) -> Tokens:
        """Return the tokens of quantized components."""
        model = self.model
        components, level = _parts(picture, model)
        components = components.astype(np.float64) * step_of(level)
        features = model.features(components[:, None] if model.single else components)
        return Tokens(features.reshape(-1, model.shape[2]), components.shape[:2], self.source, picture.size)


@dataclass(frozen=True)
class TokenCoded(_Modelled):
    """Entropy coding of the symbols with the model's tables.

    Component by component, each over all positions of the grid, with one rANS stream (`primitives.entropy.latents`). A
    symbol's table follows from its scale and from the symbols of the same position before it. So the encoder, which has
    all symbols, finds all tables at once (`TokenModel.tables_of`), and the decoder those of one component after the
    other.

    Payload: H and W of the picture as varints, one byte of level, one byte with the number of components up to the last
    one that is not zero everywhere, for single tokens their number as a varint, and the stream of these components'
    symbols.

    Attributes:
        source: backbone and stage.
        weights: the handle of the model; None for the one that ships for the source.
    """

    source: str = "efficientnet-lite0/6"
    weights: TokenWeights | None = field(default=None, repr=False)

    def forward(self, picture: Picture) -> bytes:
        """Return the payload."""
        model = self.model
        symbols, level = _parts(picture, model)
        symbols = symbols.reshape(-1, model.shape[2])
        used = int(np.flatnonzero(symbols.any(0))[-1]) + 1 if symbols.any() else 0
        out = ByteWriter()
        out.varint(picture.size[0])
        out.varint(picture.size[1])
        out.byte(level)
        out.byte(used)
        if model.single:
            out.varint(len(symbols))
        encoder = LatentEncoder()
        encoder.put(symbols.T[:used], model.tables_of(symbols, level).T[:used], model.tables)
        out.raw(encoder.getvalue())
        return out.getvalue()

    def inverse(self, payload: bytes, max_pixels: int = MAX_PIXELS) -> Picture:
        """Return the symbols, int32 [rows,columns,C], and the level.

        Raises:
            StreamError: the payload is cut or damaged, or was made with another model.
        """
        model = self.model
        reader = ByteReader(payload)
        size, level, used, count = _read_head(reader, model, max_pixels)
        decoder = LatentDecoder(reader.rest())
        symbols = np.zeros((count, model.shape[2]), np.int32)
        classes = model.scale_classes(level, count)
        expected = model.expected[classes]
        seen, wanted = np.zeros((2, count), np.int64)
        for c in range(used):
            symbols[:, c] = decoder.get(table(classes[:, c], seen, wanted), model.tables)
            seen += magnitude(symbols[:, c])
            wanted += expected[:, c]
        decoder.finish()
        return _picture(symbols.reshape((count, 1, -1) if model.single else model.shape), level, size)

    def anatomy(self, picture: Picture, payload: bytes) -> Anatomy:
        """Header and symbols; the information of every symbol under its table."""
        model = self.model
        found = Dissector(payload, "token header")
        found.varint("height", "image", lambda n: f"{n} rows")
        found.varint("width", "image", lambda n: f"{n} columns")
        level = found.number(1, "quality level", "transform", lambda n: f"{n}: quality {1 + n / LEVEL_STEPS:g}")
        used = found.number(1, "components", value=lambda n: f"the first {n} of {model.shape[2]} are not all zero")
        if model.single:
            found.varint("tokens")
        found.group = "symbols"
        found.rest("rANS state and words", "component by component", "quantize")
        symbols = picture.planes[0].reshape(-1, model.shape[2])
        costs = model.tables.bits(symbols, model.tables_of(symbols, level))
        costs[:, used:] = 0  # these are not coded
        return Anatomy(tuple(found.parts), (costs.reshape(picture.planes[0].shape),))

    def facts(self, payload: bytes) -> dict[str, int]:
        """The quality level, and the numbers of tokens and of their components that are coded."""
        _, level, used, count = _read_head(ByteReader(payload), self.model, 1 << 62)
        return {"level": level, "tokens": count, "components": used}

    def describe(self, payload: bytes) -> tuple[tuple[int, int], str]:
        """Size (H, W) of the picture that the tokens were made of, and "tokens"."""
        reader = ByteReader(payload)
        size = reader.varint(), reader.varint()
        _check_size(size, 1 << 62)
        return size, "tokens"


@dataclass(frozen=True)
class TokenSteps(Stage):
    """Real tokens [N,C] to indices: multiples of a step, folded (0, −1, 1, −2 … become 0, 1, 2, 3 …); and back.

    Attributes:
        step: in the unit of the tokens.

    >>> stage = TokenSteps(0.5)
    >>> indices = stage.forward(Tokens(np.array([[0.2, -0.6, 1.0]]), (1, 1)))
    >>> indices.features.tolist(), stage.inverse(indices).features.tolist()
    ([[0, 1, 4]], [[0.0, -0.5, 1.0]])
    """

    step: float = 0.25

    def __post_init__(self):
        check_step(self.step)

    def forward(self, tokens: Tokens) -> Tokens:
        """Return the indices.

        Raises:
            ValueError: values that are no numbers, or more than 2¹⁸ steps.
        """
        values = np.asarray(tokens.features)
        if values.dtype.kind != "f" or not np.isfinite(values).all():
            raise ValueError("these tokens are finite real numbers; the codec token-indices takes integers")
        symbols = np.rint(values.astype(np.float64) / self.step)
        if np.abs(symbols).max() > _MOST_STEPS:
            raise ValueError(f"values up to {np.abs(symbols).max():.4g} steps; use a larger step")
        symbols = symbols.astype(np.int32)
        return Tokens(np.where(symbols < 0, -2 * symbols - 1, 2 * symbols), tokens.grid, tokens.source, tokens.size)

    def inverse(self, tokens: Tokens) -> Tokens:
        """Return the multiples, float32."""
        folded = tokens.features
        values = (folded >> 1 ^ -(folded & 1)).astype(np.float64) * self.step
        return Tokens(values.astype(np.float32), tokens.grid, tokens.source, tokens.size)


def _picture(components: np.ndarray, level: int, size: tuple[int, int]) -> Picture:
    """Components or symbols [rows,columns,C] as they travel between the stages."""
    return Picture((components,), size, color="other", side={"level": level})


def _parts(picture: Picture, model: TokenModel) -> tuple[np.ndarray, int]:
    """The inverse of `_picture`, checked: components or symbols, and the level."""
    if len(picture.planes) != 1 or set(picture.side) != {"level"}:
        raise StreamError("tokens are one plane of components with the side value 'level'")
    components, level = picture.planes[0], picture.side["level"]
    check_shape(components.shape, model)
    if not 0 <= level <= MAX_LEVEL:
        raise StreamError(f"there is no quality level {level}")
    return components, level


def _read_head(reader: ByteReader, model: TokenModel, max_pixels: int) -> tuple[tuple[int, int], int, int, int]:
    """Size, level, number of coded components and number of tokens of `TokenCoded`'s payload."""
    size, level, used = (reader.varint(), reader.varint()), reader.byte(), reader.byte()
    _check_size(size, max_pixels)
    if level > MAX_LEVEL or used > model.shape[2]:
        raise StreamError(f"quality level {level} with {used} components; {model.source} has no such tokens")
    count = reader.varint() if model.single else model.shape[0] * model.shape[1]
    if not 1 <= count <= max(max_pixels // _PIXELS, 1 << 12):
        raise StreamError(f"the stream declares {count} tokens")
    return size, level, used, count


def _check_size(size, max_pixels):
    if size != (0, 0):  # tokens of which it is not known
        check_size(size, max_pixels)
