"""Any vision transformer of timm or transformers as a source of tokens.

Such a *vision tower* is a chain of blocks with attention; in front there may be a class token (and registers), behind
it one token for each patch. `Tower` asks nothing of a model but what both libraries' models have, so weights and
versions are their business::

    tower = Tower(timm.create_model("vit_small_patch16_224", pretrained=True))
    tokens, attention, keys = tower.looks(image)         # what reducers take
    stream = codeckit.codec("token-arrays", step=0.1).encode_tokens(tokens)

Neither library gives attention away in all its variants, so queries and keys are caught where their linear layers
return them (forward hooks), and the class token's attention is computed from these: softmax(q k / √d), the mean over
the heads. Linear layers are known by their names: ``qkv`` (timm), ``query`` and ``key``, or ``q_proj`` and ``k_proj``
(transformers).
"""

import math

import numpy as np
import torch
from PIL import Image
from torch import nn

from ..token_grid import Tokens

#: Names of the linear layers for queries and keys, in one or in two.
_NAMES = (("qkv",), ("query", "key"), ("q_proj", "k_proj"))


class Tower:
    """A vision transformer that makes tokens.

    Args:
        model: of timm (`VisionTransformer` and its kin) or transformers (`ViTModel`, `CLIPVisionModel` …), on a CPU;
            in evaluation mode from now on.
        name: what `Tokens` call their source.
        side: of the square picture that it takes, in pixels; by default what the model's configuration says.
        mean, deviation: of pixels in 0 … 1, one a channel; by default timm's configuration, or 0.5.
        layer: of which hidden state the tokens are, as transformers counts them (-2: behind the last block but one); by
            default the model's last.

    Attributes:
        blocks: number of blocks up to there.

    Raises:
        ValueError: a model without blocks of attention, or whose size is not known.
    """

    def __init__(self, model: nn.Module, name: str = "tower", side: int = 0, mean=None, deviation=None, layer=None):
        self.model, self.name = model.eval(), name
        told = getattr(model, "pretrained_cfg", None) or {}
        config = getattr(model, "config", None)
        patch = getattr(getattr(model, "patch_embed", None), "img_size", None)  # timm
        size = side or (patch[0] if patch else getattr(config, "image_size", 0))
        self.side = size[0] if isinstance(size, list | tuple) else size
        self.mean = torch.tensor(mean or told.get("mean") or (0.5,) * 3)[:, None, None]
        self.deviation = torch.tensor(deviation or told.get("std") or (0.5,) * 3)[:, None, None]
        self._attentions = [module for module in model.modules() if _linears(module)]
        self._layer = layer
        count = len(self._attentions)
        self.blocks = count if layer is None else layer if layer >= 0 else count + 1 + layer
        if not self._attentions or not self.side:
            raise ValueError(
                "a tower has blocks of attention with layers called qkv, query and key, or q_proj and k_proj, and a "
                "size: Tower(model, side=224)"
            )

    def tokens(self, image: np.ndarray) -> Tokens:
        """The last block's tokens, float32 [N,C], without class token and registers; `image` uint8 [H,W,3] or [H,W]."""
        return self.looks(image)[0]

    def looks(self, image: np.ndarray) -> tuple[Tokens, list[np.ndarray], list[np.ndarray]]:
        """The tokens, and of each block the class token's attention [N] to them and their keys [N,D].

        Without a class token the attention is the mean over all tokens' attention.
        """
        caught: dict[int, list] = {}
        hooks = []
        for n, module in enumerate(self._attentions):
            for linear in _linears(module):
                hooks.append(linear.register_forward_hook(lambda _, __, y, n=n: caught.setdefault(n, []).append(y)))
        try:
            with torch.inference_mode():
                hidden = self._hidden(self._input(image))
        finally:
            for hook in hooks:
                hook.remove()
        rows = math.isqrt(hidden.shape[1])
        prefix = getattr(self.model, "num_prefix_tokens", None)
        prefix = hidden.shape[1] - rows * rows if prefix is None else prefix
        rows = math.isqrt(hidden.shape[1] - prefix)
        features = np.ascontiguousarray(hidden[0, prefix:].float().numpy())
        tokens = Tokens(features, (rows, rows), self.name, image.shape[:2])
        attention, keys = [], []
        for n, module in enumerate(self._attentions):
            q, k = _queries_and_keys(caught[n])
            heads = _heads(module)
            keys.append(k[0, prefix:].float().numpy())
            q, k = (x[0].unflatten(1, (heads, -1)).transpose(0, 1).float() for x in (q, k))
            weights = (q[:, : min(prefix, 1) or None] @ k.transpose(1, 2) / math.sqrt(q.shape[2])).softmax(2)
            attention.append(weights.mean((0, 1))[prefix:].numpy())
        return tokens, attention, keys

    def _hidden(self, x):
        if self._layer is not None:
            return self.model(pixel_values=x, output_hidden_states=True).hidden_states[self._layer]
        if hasattr(self.model, "forward_features"):
            return self.model.forward_features(x)
        return self.model(pixel_values=x).last_hidden_state

    def _input(self, image):
        picture = Image.fromarray(image).convert("RGB").resize((self.side, self.side), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(picture, np.float32)).permute(2, 0, 1) / 255
        return ((pixels - self.mean) / self.deviation)[None]


def _linears(module) -> list[nn.Module]:
    """The linear layers of a module that make its queries and keys; none if it is no attention."""
    for names in _NAMES:
        found = [getattr(module, name, None) for name in names]
        if all(isinstance(linear, nn.Linear) for linear in found):
            return found
    return []


def _queries_and_keys(outputs):
    """[B,N,D] each, from what was caught of one block."""
    if len(outputs) == 2:
        return outputs
    return outputs[0].chunk(3, 2)[:2]


def _heads(module) -> int:
    for name in ("num_heads", "num_attention_heads"):
        if getattr(module, name, None):
            return int(getattr(module, name))
    raise ValueError(f"{type(module).__name__} does not tell its number of heads")
