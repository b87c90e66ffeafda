"""A small vision transformer in two halves: a *tower* that makes tokens, and a *reader* that makes sense of them.

::

    picture ─ stem ─ linear, positions ─┬─ tower: blocks ─ tokens [N,C] ── reader: blocks ─ class token ─ linear
              16×16 px: 1 token         │                             │                                  logits
                    tower's class token ┘ (attention)      reader's class token

Both halves are transformers with a class token of their own. The tower's class token is no part of what is handed on:
it has been taught to say what the picture shows, so what *it* attends to tells which tokens matter, and then it is
dropped. A language model behind a vision tower sees the same: patch tokens, and not the tower's class token. So all
methods that reduce tokens in such systems can be tried here, and a stream of these tokens holds no answer, just a grid
of features.

The *stem* is convolutional, which small transformers learn faster with (T. Xiao et al., "Early Convolutions Help
Transformers See Better", NeurIPS 2021), and it is borrowed: the first four stages of EfficientNet-Lite0, frozen
(`efficientnet`), 0.3 million parameters that know edges and textures. (Such a *hybrid* is in the first paper on vision
transformers, too.) The blocks follow it. A block is attention and a perceptron, each after a layer norm and added to
its input (A. Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021).

The reader takes any number of tokens in any order, for positions are in the tokens. A token that stands for `size`
others can count as many: log(size) is added to the attention it gets (D. Bolya et al., "Token Merging", ICLR 2023).
"""

import functools
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ..token_grid import Tokens
from ..weights import check_fingerprint, fingerprint, read_tensors, write_tensors
from .efficientnet import Backbone, load_efficientnet


@dataclass(frozen=True)
class VitSize:
    """The dimensions of a `VisionTransformer`.

    Attributes:
        stem: channels of the stem's map.
        grid: side of the grid that the position embedding was made for.
        channels: C, of a token.
        heads: of attention.
        tower, reader: number of blocks of each half.
        hidden: of the perceptrons, as a multiple of C.
        classes: number of classes.
    """

    stem: int = 80
    grid: int = 10
    channels: int = 192
    heads: int = 6
    tower: int = 4
    reader: int = 3
    hidden: int = 3
    classes: int = 10


#: The backbone and the stage that the stem is borrowed from.
STEM = "efficientnet-lite0", 4


@dataclass(frozen=True)
class Stem:
    """The first stages of a backbone.

    Attributes:
        backbone: it.
        stage: the last.
    """

    backbone: Backbone
    stage: int

    #: Of the square picture that it takes, in pixels: 10×10 tokens. Imagenette's training pictures are not larger.
    side: ClassVar[int] = 160

    def maps(self, pictures: Tensor) -> Tensor:
        """Pictures float32 [B,3,S,S] in 0 … 255 to maps [B,C,S/16,S/16]."""
        return self.backbone.maps((pictures - 127) / 128, self.stage)


def load_stem() -> Stem:
    """The stem; its weights come from the backbone's package.

    Raises:
        ImportError: the package is not installed.
    """
    name, stage = STEM
    return Stem(load_efficientnet(name), stage)


class Seen(NamedTuple):
    """What the tower makes of pictures.

    Attributes:
        tokens: [B,N,C].
        class_state: [B,C], the tower's class token.
        grid: (rows, columns).
    """

    tokens: Tensor
    class_state: Tensor
    grid: tuple[int, int]


class Look(NamedTuple):
    """What one block's attention looks at.

    Attributes:
        attention: [B,N], the class token's attention to each other token, mean over the heads.
        keys: [B,N,C], the tokens' keys, those of all heads side by side.
    """

    attention: Tensor
    keys: Tensor


#: Tokens up to which fused attention is the slower one.
_FUSED = 128


class Attention(nn.Module):
    """Multi-head self-attention [B,N,C] -> [B,N,C]."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def split(self, x):
        batch, count, channels = x.shape
        return self.qkv(x).view(batch, count, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """`bias` [B,1,1,N] or [B,1,N,N] is added to the logarithm of the attention that tokens get."""
        q, k, v = self.split(x)
        if x.shape[1] > _FUSED:  # torch's fused attention, which is faster in float32 on CPUs
            with torch.autocast(x.device.type, enabled=False):
                bias = None if bias is None else bias.float()
                mixed = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=bias)
        else:
            scores = q * (q.shape[3] ** -0.5) @ k.transpose(2, 3)
            mixed = (scores if bias is None else scores + bias).softmax(3).to(v.dtype) @ v
        return self.out(mixed.transpose(1, 2).reshape(x.shape))

    def look(self, x: Tensor) -> Look:
        """Where the first token, the class token, looks; and the keys of the others."""
        q, k, _ = self.split(x)
        weights = (q[:, :, :1] @ k.transpose(2, 3) / math.sqrt(q.shape[3])).softmax(3)
        return Look(weights[:, :, 0, 1:].mean(1), k[:, :, 1:].transpose(1, 2).flatten(2))


class Block(nn.Module):
    """One layer of a transformer: attention, then a perceptron for each token."""

    def __init__(self, channels: int, heads: int, hidden: int):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(channels), Attention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.perceptron = nn.Sequential(
            nn.Linear(channels, hidden * channels), nn.GELU(), nn.Linear(hidden * channels, channels)
        )

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        x = x + self.attention(self.norm1(x), bias)
        return x + self.perceptron(self.norm2(x))


class VisionTower(nn.Module):
    """The stem's maps [B,stem,rows,columns] to tokens, and what its class token looks at.

    >>> tower = VisionTower(VitSize(stem=4, channels=16, heads=2, tower=1)).eval()
    >>> seen = tower.look(torch.zeros(1, 4, 5, 4))
    >>> seen.tokens.shape, seen.grid
    (torch.Size([1, 20, 16]), (5, 4))
    """

    def __init__(self, size: VitSize):
        super().__init__()
        self.size = size
        self.scale = nn.BatchNorm2d(size.stem, affine=False)  # channels of all stages have sizes of their own
        self.enter = nn.Conv2d(size.stem, size.channels, 1)
        self.position = nn.Parameter(0.02 * torch.randn(1, size.channels, size.grid, size.grid))
        self.tower_class = nn.Parameter(0.02 * torch.randn(1, 1, size.channels))
        self.tower = nn.ModuleList(Block(size.channels, size.heads, size.hidden) for _ in range(size.tower))
        small_weights(self)

    def embed(self, maps: Tensor) -> Tensor:
        """Tokens with their positions, [B,N,C]."""
        x = self.enter(self.scale(maps))
        position = self.position
        if x.shape[2:] != position.shape[2:]:
            position = F.interpolate(position, x.shape[2:], mode="bicubic", align_corners=False)
        return (x + position).flatten(2).transpose(1, 2)

    def start(self, tokens: Tensor, which: Tensor) -> Tensor:
        """A class token before the tokens."""
        return torch.cat([which.expand(len(tokens), -1, -1).to(tokens.dtype), tokens], 1)

    def look(self, maps: Tensor) -> Seen:
        """Through the tower."""
        return self.looks(maps)[0]

    def looks(self, maps: Tensor) -> tuple[Seen, list[Look]]:
        """Through the tower, with what each of its blocks looks at."""
        x = self.start(self.embed(maps), self.tower_class)
        looks = []
        for block in self.tower:
            looks.append(block.attention.look(block.norm1(x)))
            x = block(x)
        return Seen(x[:, 1:], x[:, 0], tuple(maps.shape[2:])), looks


def small_weights(network: nn.Module) -> None:
    """Linear layers begin with weights of a standard deviation of 0.02 and no bias."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)


class VisionTransformer(VisionTower):
    """A tower and a reader: the stem's maps [B,stem,rows,columns] to logits [B,classes].

    >>> network = VisionTransformer(VitSize(stem=4, channels=16, heads=2, tower=1, reader=1)).eval()
    >>> seen = network.look(torch.zeros(1, 4, 5, 4))
    >>> network.read(seen.tokens[:, :5]).shape
    torch.Size([1, 10])
    """

    def __init__(self, size: VitSize | None = None):
        size = size or VitSize()
        super().__init__(size)
        self.reader_class = nn.Parameter(0.02 * torch.randn(1, 1, size.channels))
        self.reader = nn.ModuleList(Block(size.channels, size.heads, size.hidden) for _ in range(size.reader))
        self.norm = nn.LayerNorm(size.channels)
        self.head = nn.Linear(size.channels, size.classes)
        small_weights(self.reader)
        small_weights(self.head)

    def embedding(self, tokens: Tensor, sizes: Tensor | None = None) -> Tensor:
        """The reader's class token [B,C] for tokens [B,K,C], which stand for `sizes` [B,K] each."""
        bias = None
        if sizes is not None:
            bias = F.pad(sizes.to(tokens.dtype).log(), (1, 0))[:, None, None]
        x = self.start(tokens, self.reader_class)
        for block in self.reader:
            x = block(x, bias)
        return self.norm(x[:, 0])

    def read(self, tokens: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Logits [B,classes] of tokens."""
        return self.head(self.embedding(tokens, sizes))

    def forward(self, maps: Tensor) -> Tensor:
        return self.read(self.look(maps).tokens)


#: What a file of weights says that it is.
FORMAT = "codeckit vit 1"

#: The weights that come with the package.
SHIPPED = Path(__file__).parent / "shipped" / "vit-imagenette.safetensors"


@dataclass(frozen=True, eq=False)
class TowerBackbone:
    """A tower with its stem as a source of tokens.

    It has one place to be split at, behind the tower; as a stage that is the number of the tower's blocks.

    Attributes:
        name: such as ``"vit-imagenette"``.
        side: of the square picture that it takes.
        fingerprint: 4 bytes that tell its weights, and the stem's, from others.
        network: a `VisionTower`, or what has one.
    """

    name: str
    side: int
    fingerprint: bytes
    network: Any = field(repr=False)
    stem: Stem = field(repr=False)

    @property
    def tower(self) -> VisionTower:
        """The tower."""
        return self.network

    @property
    def stages(self) -> tuple[int, ...]:
        """The stages that it can be split behind."""
        return (self.tower.size.tower,)

    def source(self, stage: int) -> str:
        """How `Tokens` name what made them."""
        return f"{self.name}/{stage}"

    def tokens(self, seen, stage: int | None = None) -> Tokens:
        """The tower's tokens, float32 [N,C]. Arguments and errors as `Backbone.tokens`; there is one stage."""
        stage = self._checked(stage)
        if isinstance(seen, Tokens):
            self._entry(seen)
            return seen
        with torch.inference_mode():
            made = self.tower.look(self._maps(seen))
        return Tokens(made.tokens[0].numpy(), made.grid, self.source(stage), seen.shape[:2])

    def looks(self, image: np.ndarray, stage: int | None = None) -> tuple[Tokens, list[np.ndarray], list[np.ndarray]]:
        """The tokens, and of each of the tower's blocks the class token's attention [N] and the keys [N,C].

        Args:
            image: uint8 [H,W,3] or [H,W].
            stage: as for `tokens`.
        """
        stage = self._checked(stage)
        with torch.inference_mode():
            made, looks = self.tower.looks(self._maps(image))
        tokens = Tokens(made.tokens[0].numpy(), made.grid, self.source(stage), image.shape[:2])
        return tokens, [look.attention[0].numpy() for look in looks], [look.keys[0].numpy() for look in looks]

    def smaller(self, image: np.ndarray, rows: int) -> Tokens:
        """The tokens of the picture at a size of which the tower makes `rows` × `rows`: the baseline of reducers."""
        side = self.side * rows // self.tower.size.grid
        with torch.inference_mode():
            made = self.tower.look(self._maps(image, side))
        return Tokens(made.tokens[0].numpy(), made.grid, self.source(*self.stages), image.shape[:2])

    def _entry(self, tokens):
        if tokens.source != self.source(*self.stages):
            raise ValueError(
                f"{self.name} reads pictures and its own tokens, not those of {tokens.source or 'unknown'!r}"
            )
        return torch.from_numpy(np.ascontiguousarray(tokens.features, np.float32))[None]

    def _maps(self, image, side=0):
        side = side or self.side
        picture = Image.fromarray(image).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        return self.stem.maps(torch.from_numpy(np.array(picture, np.float32)).permute(2, 0, 1)[None])

    def _checked(self, stage):
        if stage is not None and stage not in self.stages:
            raise ValueError(f"{self.name} can be split behind block {self.stages[0]}, not {stage!r}")
        return self.stages[0]


@dataclass(frozen=True, eq=False)
class VitBackbone(TowerBackbone):
    """The transformer as a source and a reader of tokens, with the methods of `Backbone`.

    Attributes:
        name, side, fingerprint, stem: as of `TowerBackbone`.
        network: the transformer.
    """

    network: VisionTransformer = field(repr=False)

    def embedding(self, seen, sizes=None) -> np.ndarray:
        """The reader's class token for a picture or for tokens, of any number: float32 [C].

        Args:
            seen: uint8 [H,W,3] or [H,W], or `Tokens` of this backbone.
            sizes: how many tokens each stands for, [K].
        """
        with torch.inference_mode():
            return self._embed(seen, sizes)[0].numpy()

    def logits(self, seen, sizes=None) -> np.ndarray:
        """Scores of the classes of Imagenette, float32 [10]. Arguments as for `embedding`."""
        with torch.inference_mode():
            return self.network.head(self._embed(seen, sizes))[0].numpy()

    def logits_many(self, features: np.ndarray, sizes: np.ndarray | None = None) -> np.ndarray:
        """Scores, float32 [B,10], of the tokens [B,K,C] of many pictures; `sizes` is [B,K]."""
        with torch.inference_mode():
            tokens = torch.from_numpy(np.ascontiguousarray(features, np.float32))
            return self.network.read(tokens, None if sizes is None else torch.from_numpy(sizes).float()).numpy()

    def embed_maps(self, maps: Tensor, stage: int) -> Tensor:
        """Torch: maps [B,C,h,w] of tokens to embeddings [B,C], differentiable in the maps."""
        self._checked(stage)
        return self.network.embedding(maps.flatten(2).transpose(1, 2))

    def read(self, maps: Tensor, stage: int) -> Tensor:
        """Torch: maps [B,C,h,w] of tokens to logits [B,10], differentiable in the maps."""
        return self.network.head(self.embed_maps(maps, stage))

    def _embed(self, seen, sizes):
        tokens = self._entry(seen if isinstance(seen, Tokens) else self.tokens(seen, *self.stages))
        return self.network.embedding(tokens, None if sizes is None else torch.as_tensor(sizes)[None].float())


@functools.lru_cache(maxsize=1)
def load_vit() -> VitBackbone:
    """The backbone whose weights come with the package, kept in memory; raises as `read_vit`."""
    return read_vit(SHIPPED)


def write_vit(path, metadata: dict[str, str], tensors: dict[str, np.ndarray]) -> None:
    """Write a file of weights, as it ships.

    Args:
        path: the file.
        metadata: ``"size"`` (the fields of `VitSize` as JSON) and notes, by name.
        tensors: the network's state, floats in 16 bits.
    """
    said = {**metadata, "backbone": load_stem().backbone.fingerprint.hex()}
    write_tensors(path, FORMAT, said | {"fingerprint": fingerprint(_architecture(said), tensors).hex()}, tensors)


def read_vit(path) -> VitBackbone:
    """The backbone whose weights are in a file that `write_vit` wrote.

    Raises:
        ValueError: it is no such file, or damaged; or the stem's weights are others than it was trained with.
        ImportError: the package with the stem's weights is not installed.
    """
    said, tensors = read_tensors(path, FORMAT)
    own = check_fingerprint(path, said, _architecture(said), tensors)
    stem = load_stem()
    if stem.backbone.fingerprint.hex() != said["backbone"]:
        raise ValueError(
            f"{path} goes with the weights {said['backbone']} of {stem.backbone.name}; those installed are "
            f"{stem.backbone.fingerprint.hex()}"
        )
    network = VisionTransformer(VitSize(**json.loads(said["size"])))
    network.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
    return VitBackbone("vit-imagenette", Stem.side, own, network.eval().requires_grad_(False), stem)


def _architecture(said: dict[str, str]) -> str:
    """What the fingerprint is over besides the tensors: the network's size and the stem's weights."""
    return f"vit {said.get('size')} {said.get('backbone')}"
