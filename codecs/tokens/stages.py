"""The stages of token codecs.

::

    image ── Features ── FeatureTransform ── Uniform ── TokenCoded ── bytes
             Tokens      components / step   symbols    tables of the model
             [N,C]       [rows,columns,C]

Between the stages components travel as a `Picture` of two planes, [rows,columns,C] and the quality level [1,1], so any
generic entropy stage codes them, too. Decoding ends in `Tokens`, for whoever reads them; there is no picture.
"""

from dataclasses import dataclass

import numpy as np

from ...primitives.anatomy import Anatomy, Dissector
from ...primitives.bitstream import ByteReader, ByteWriter
from ...primitives.entropy.latents import LatentDecoder, LatentEncoder
from ...primitives.errors import StreamError
from ...primitives.picture import MAX_PIXELS, Picture, check_size
from ...primitives.quantizers.uniform import check_step
from ...primitives.stage import Stage
from ...primitives.token_grid import Tokens
from ...primitives.tokens.backbone import load_backbone
from ...primitives.tokens.reducers import ATTENDING, REDUCERS, STANDS_FOR, information_density, quadtree
from .model import LEVEL_STEPS, LEVELS, TokenModel, activity, check_shape, load_model, step_of

#: Step size of the refinement's descent, in quantization steps.
_RATE = 0.15

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

    >>> tokens = Tokens(np.eye(6, dtype=np.float32), (2, 3), size=(32, 48))
    >>> Reduce("qpid", 2).forward(tokens).grid
    (2, 1)
    """

    reducer: str = "qpid+"
    budget: int = 25

    def __post_init__(self):
        if self.reducer not in REDUCERS or self.reducer in ATTENDING:
            legal = ", ".join(name for name in REDUCERS if name not in ATTENDING)
            raise ValueError(f"the reducers that can be stages are {legal}; not {self.reducer!r}")
        if isinstance(self.budget, bool) or not isinstance(self.budget, int) or self.budget < 1:
            raise ValueError(f"a budget is a number of tokens from 1 up, not {self.budget!r}")

    def for_decoding(self) -> Stage:
        """The number of tokens travels with them."""
        return Reduce()

    def forward(self, tokens: Tokens) -> Tokens:
        """Return the reduced tokens."""
        budget = min(self.budget, len(tokens.features))
        reduced = REDUCERS[self.reducer](tokens.features, tokens.grid, budget)
        return Tokens(reduced.tokens, (budget, 1), tokens.source, tokens.size)

    def inverse(self, tokens: Tokens) -> Tokens:
        """Return the tokens."""
        return tokens

    def maps(self, x: Tokens, y: Tokens) -> dict[str, np.ndarray]:
        """On the grid [h,w] of all tokens: which one stands for each, which are kept, and for QPID what led there."""
        reduced = REDUCERS[self.reducer](x.features, x.grid, len(y.features))
        kept = np.zeros(len(x.features))
        kept[reduced.kept] = 1
        maps = {STANDS_FOR: reduced.merge_map.astype(np.uint32), "kept": kept}
        if self.reducer in ("qpid", "qpid+"):
            maps["information of each"] = information_density(x.features)
            maps["parts of the quadtree"] = quadtree(x.features, x.grid, len(y.features))
        return {name: values.reshape(x.grid) for name, values in maps.items()}

    def in_place(self, values: np.ndarray) -> None:
        """Reduced tokens stand nowhere."""
        return None


@dataclass(frozen=True)
class FeatureTransform(Stage):
    """Tokens to components in units of the quantization step, and back.

    What is lost at the higher frequencies shifts what the network sees in the mean, since it is not linear. `refine`
    steps of gradient descent (Adam) on the components of the grid's mean put that right *before* they are quantized:
    the network's embedding, from which its last layer and other tasks start, of the tokens as they will be decoded
    comes close to that of the original tokens (analysis by synthesis). The decoder knows nothing of it.

    Attributes:
        source: backbone and stage.
        quality: 1 … 8, in steps of 1/8: the step is 32 · 2^(1 − quality / 2).
        refine: number of descent steps, 0 for none; they need the backbone's packages. Single tokens have no grid
            whose mean could be moved, and none are made.
    """

    source: str = "efficientnet-lite0/6"
    quality: float = 4
    refine: int = 12

    def __post_init__(self):
        if isinstance(self.quality, bool) or not isinstance(self.quality, int | float | np.number):
            raise ValueError(f"quality is a number from 1 to 8, not {self.quality!r}")
        if not 1 <= self.quality <= 8:
            raise ValueError(f"quality is a number from 1 to 8, not {self.quality!r}")
        if isinstance(self.refine, bool) or not isinstance(self.refine, int) or not 0 <= self.refine <= 1000:
            raise ValueError(f"refine is a number of steps from 0 up, not {self.refine!r}")

    def for_decoding(self) -> Stage:
        """The quality travels with the components."""
        return FeatureTransform(self.source)

    @property
    def fingerprint(self) -> bytes:
        """What a stream calls the model."""
        return load_model(self.source).fingerprint

    def forward(self, tokens: Tokens) -> Picture:
        """Return the components, float32 [rows,columns,C], and the level.

        Raises:
            ValueError: tokens of another source or shape.
        """
        model = load_model(self.source)
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
        if model.single:
            y = y[:, 0]
        elif self.refine:
            y[0, 0] = _refine(y, tokens, model, level, self.refine)
        planes = (y.astype(np.float32), np.full((1, 1), level, np.int32))
        return Picture(planes, tokens.size, ((1, 1),) * 2, "other")

    def in_place(self, values: np.ndarray) -> None:
        """Components are frequencies of the whole grid."""
        return None

    def inverse(self, picture: Picture) -> Tokens:
        """Return the tokens of quantized components."""
        model = load_model(self.source)
        components, level = _planes(picture, model)
        components = components.astype(np.float64) * step_of(level)
        features = model.features(components[:, None] if model.single else components)
        return Tokens(features.reshape(-1, model.shape[2]), components.shape[:2], self.source, picture.size)


def _refine(y: np.ndarray, tokens: Tokens, model: TokenModel, level: int, steps: int) -> np.ndarray:
    """The components of the mean, in steps, that make the embedding of the decoded tokens most like the original's."""
    import torch

    name, _, stage = model.source.partition("/")
    backbone = load_backbone(name)
    decoded = np.rint(y)
    decoded[0, 0] = 0
    rest = model.features(decoded * step_of(level))
    basis = model.inverse_dc * (step_of(level) / np.sqrt(model.shape[0] * model.shape[1]))

    def batch(features):
        return torch.from_numpy(np.ascontiguousarray(features.transpose(2, 0, 1), np.float32))[None]

    with torch.inference_mode():
        wanted = backbone.embed_maps(batch(tokens.map), int(stage))
    with torch.inference_mode(False), torch.enable_grad():
        rest, basis, wanted = batch(rest), torch.from_numpy(basis.astype(np.float32)), wanted.clone()
        mean = torch.from_numpy(y[0, 0].astype(np.float32)).requires_grad_(True)
        first, second = torch.zeros_like(mean), torch.zeros_like(mean)  # Adam's moments; torch.optim takes long to load
        for t in range(1, steps + 1):
            seen = backbone.embed_maps(rest + (mean @ basis)[None, :, None, None], int(stage))
            (gradient,) = torch.autograd.grad((seen - wanted).square().sum(), mean)
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient.square()
            step = (first / (1 - 0.9**t)) / ((second / (1 - 0.999**t)).sqrt() + 1e-8)
            mean = (mean.detach() - _RATE * step).requires_grad_(True)
    return mean.detach().numpy().astype(np.float64)


@dataclass(frozen=True)
class TokenCoded(Stage):
    """Entropy coding of the symbols with the model's tables.

    Component by component, each over all positions of the grid, with one rANS stream (`primitives.entropy.latents`). A
    symbol's table follows from its scale and from the symbols of the same position before it.

    Payload: H and W of the picture as varints, one byte of level, one byte with the number of components up to the last
    one that is not zero everywhere, for single tokens their number as a varint, and the stream of these components'
    symbols.

    Attributes:
        source: backbone and stage.
    """

    source: str = "efficientnet-lite0/6"

    @property
    def fingerprint(self) -> bytes:
        """What a stream calls the model."""
        return load_model(self.source).fingerprint

    def forward(self, picture: Picture) -> bytes:
        """Return the payload."""
        model = load_model(self.source)
        symbols, level = _planes(picture, model)
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
        walk = _Walk(model, level, len(symbols))
        for c in range(used):
            encoder.put(symbols[:, c], walk.tables(c), model.tables)
            walk.saw(c, symbols[:, c])
        out.raw(encoder.getvalue())
        return out.getvalue()

    def inverse(self, payload: bytes, max_pixels: int = MAX_PIXELS) -> Picture:
        """Return the symbols, int32 [rows,columns,C], and the level.

        Raises:
            StreamError: the payload is cut or damaged, or was made with another model.
        """
        model = load_model(self.source)
        reader = ByteReader(payload)
        size, level, used = (reader.varint(), reader.varint()), reader.byte(), reader.byte()
        _check_size(size, max_pixels)
        if level > MAX_LEVEL or used > model.shape[2]:
            raise StreamError(f"quality level {level} with {used} components; {model.source} has no such tokens")
        count = reader.varint() if model.single else model.shape[0] * model.shape[1]
        if not 1 <= count <= max(max_pixels // _PIXELS, 1 << 12):
            raise StreamError(f"the stream declares {count} tokens")
        decoder = LatentDecoder(reader.rest())
        symbols = np.zeros((count, model.shape[2]), np.int32)
        walk = _Walk(model, level, count)
        for c in range(used):
            symbols[:, c] = decoder.get(walk.tables(c), model.tables)
            walk.saw(c, symbols[:, c])
        decoder.finish()
        shape = (count, 1, -1) if model.single else model.shape
        planes = (symbols.reshape(shape), np.full((1, 1), level, np.int32))
        return Picture(planes, size, ((1, 1),) * 2, "other")

    def anatomy(self, picture: Picture, payload: bytes) -> Anatomy:
        """Header and symbols; the information of every symbol under its table."""
        model = load_model(self.source)
        found = Dissector(payload, "token header")
        found.varint("height", "image", lambda n: f"{n} rows")
        found.varint("width", "image", lambda n: f"{n} columns")
        level = found.number(1, "quality level", "transform", lambda n: f"{n}: quality {1 + n / LEVEL_STEPS:g}")
        used = found.number(1, "components", value=lambda n: f"the first {n} of {model.shape[2]} are not all zero")
        symbols = picture.planes[0].reshape(-1, model.shape[2])
        if model.single:
            found.varint("tokens")
        found.group = "symbols"
        found.rest("rANS state and words", "component by component", "quantize")
        costs, walk = np.zeros(symbols.shape), _Walk(model, level, len(symbols))
        for c in range(used):
            costs[:, c] = model.tables.bits(symbols[:, c], walk.tables(c))
            walk.saw(c, symbols[:, c])
        return Anatomy(tuple(found.parts), (costs.reshape(picture.planes[0].shape), np.zeros((1, 1))))

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


class _Walk:
    """Which table each symbol follows, while the components are coded one after the other."""

    def __init__(self, model: TokenModel, level: int, count: int):
        classes = model.scale_classes(level)
        self._classes = np.broadcast_to(classes, (count, classes.shape[1])) if model.single else classes
        self._expected = model.expected[self._classes]
        self._wanted = np.zeros(len(self._classes), np.int64)
        self._seen = np.zeros(len(self._classes), np.int64)

    def tables(self, c: int) -> np.ndarray:
        """The table of component `c` of every position: int64 [N]."""
        return self._classes[:, c] * LEVELS + activity(self._seen, self._wanted)

    def saw(self, c: int, symbols: np.ndarray) -> None:
        """Take note of component `c`."""
        self._seen += np.minimum(np.abs(symbols.astype(np.int64)), 1 << 16)
        self._wanted += self._expected[:, c]


def _planes(picture: Picture, model: TokenModel) -> tuple[np.ndarray, int]:
    """Components or symbols, and the level, of a picture."""
    if len(picture.planes) != 2 or picture.planes[1].size != 1:
        raise StreamError("tokens are two planes, components and quality level")
    components, level = picture.planes[0], int(picture.planes[1].ravel()[0])
    check_shape(components.shape, model)
    if not 0 <= level <= MAX_LEVEL:
        raise StreamError(f"there is no quality level {level}")
    return components, level


def _check_size(size, max_pixels):
    if size != (0, 0):  # tokens of which it is not known
        check_size(size, max_pixels)
