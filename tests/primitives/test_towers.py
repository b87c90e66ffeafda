"""Vision towers of other libraries: tokens, attention and keys as these libraries themselves compute them."""

import codeckit
import numpy as np
import pytest
import torch
from codeckit.bench.studies.pictures import photo
from codeckit.primitives.tokens import REDUCERS
from codeckit.primitives.tokens.towers import Tower
from torch import nn


class TinyAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.num_heads, self.qkv = 2, nn.Linear(8, 24)

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        self.weights = (q @ k.transpose(2, 3) / 2).softmax(3)
        return x + (self.weights @ v).transpose(1, 2).flatten(2)


class TinyTower(nn.Module):
    """With timm's names, and a class token."""

    num_prefix_tokens = 1

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 8, 8)
        self.cls = nn.Parameter(torch.randn(1, 1, 8))
        self.blocks = nn.Sequential(TinyAttention(), TinyAttention())

    def forward_features(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        return self.blocks(torch.cat([self.cls, x], 1))


def test_a_tower_of_ones_own():
    torch.manual_seed(0)
    model = TinyTower()
    tower = Tower(model, "tiny", side=32)
    image = photo(40, 50, seed=1)
    tokens, attention, keys = tower.looks(image)
    assert tokens.grid == (4, 4) and tokens.features.shape == (16, 8) and tokens.source == "tiny"
    assert tokens.size == (40, 50) and (tower.tokens(image).features == tokens.features).all()
    for n, block in enumerate(model.blocks):
        assert np.allclose(attention[n], block.weights[0, :, 0, 1:].mean(0).detach(), atol=1e-6)
    assert keys[0].shape == (16, 8)
    kept = REDUCERS["prumerge+"](tokens.features, tokens.grid, 4, attention[-1], keys[-1])
    assert kept.tokens.shape == (4, 8)
    coder = codeckit.codec("token-arrays", step=0.05)
    assert np.abs(coder.decode_tokens(coder.encode_tokens(tokens)).features - tokens.features).max() <= 0.0251


def test_models_that_are_no_towers():
    with pytest.raises(ValueError, match="blocks of attention"):
        Tower(nn.Conv2d(3, 3, 1), side=32)
    with pytest.raises(ValueError, match="a size"):
        Tower(TinyTower())


def test_transformers():
    transformers = pytest.importorskip("transformers")
    settings = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=32)
    image = photo(32, 32, seed=2)
    torch.manual_seed(0)
    vit = transformers.ViTModel(transformers.ViTConfig(patch_size=8, attn_implementation="eager", **settings))
    clip = transformers.CLIPVisionModel(
        transformers.CLIPVisionConfig(patch_size=8, attn_implementation="eager", **settings)
    )
    for model in (vit, clip):
        tower = Tower(model)
        tokens, attention, keys = tower.looks(image)
        assert tokens.grid == (4, 4) and len(attention) == 2 and keys[1].shape == (16, 16)
        with torch.inference_mode():
            own = model(pixel_values=tower._input(image), output_attentions=True)
        assert np.allclose(tokens.features, own.last_hidden_state[0, 1:], atol=1e-5)
        for mine, theirs in zip(attention, own.attentions, strict=True):
            assert np.allclose(mine, theirs[0, :, 0, 1:].mean(0), atol=1e-5)


def test_timm():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    settings = dict(img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=3)
    model = timm.models.VisionTransformer(reg_tokens=2, **settings)
    tower = Tower(model)
    tokens, attention, keys = tower.looks(photo(32, 32, seed=3))
    assert tokens.grid == (4, 4) and tokens.features.shape == (16, 16) and keys[0].shape == (16, 16)
    assert all(0 < own.sum() < 1 for own in attention)
    own = []
    model.blocks[1].attn.fused_attn = False
    model.blocks[1].attn.attn_drop.register_forward_hook(lambda _, __, y: own.append(y))
    with torch.inference_mode():
        features = model.forward_features(tower._input(photo(32, 32, seed=3)))
    assert np.allclose(tokens.features, features[0, 3:], atol=1e-5)
    assert np.allclose(attention[1], own[0][0, :, 0, 3:].mean(0), atol=1e-5)
