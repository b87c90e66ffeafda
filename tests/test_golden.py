"""The golden corpus: streams that were written once decode to what they decoded to then."""

import hashlib
import json
from pathlib import Path

import codeckit
import numpy as np
import pytest
from codeckit.bench.studies.golden import digest, register_corpus, symbols
from codeckit.codecs import profiles, registry
from codeckit.primitives import container, plugins, stage
from PIL import Image

FOLDER = Path(__file__).parent / "golden"
ROWS = json.loads((FOLDER / "manifest.json").read_text())


@pytest.fixture(autouse=True, scope="module")
def known_weights():
    """The corpus's own weight files are found by their fingerprints."""
    from codeckit.codecs.learned import weights
    from codeckit.codecs.learned_video import weights as video_weights

    before = [(module, dict(module._registered)) for module in (weights, video_weights)]
    register_corpus()
    yield
    for module, registered in before:
        module._registered.clear()
        module._registered.update(registered)


def name_of(row: str) -> str:
    """The codec of a row."""
    return row.removesuffix("-video").removesuffix("-grey")


def decoded(data: bytes) -> np.ndarray:
    """The pictures of a stream [H,W,3] or [H,W], those of a video [N,…]."""
    if data[:3] == container.MAGIC and container.unpack(data).is_video:
        return np.stack(list(codeckit.decode_video(data)))
    return codeckit.decode(data)


@pytest.mark.parametrize("name", ROWS)
def test_a_stream_decodes_to_what_it_did(name):
    row = ROWS[name]
    data = (FOLDER / row["file"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == row["sha256"], "a golden stream is never written again"
    base = name_of(name)
    if base in plugins.own(registry.CODECS) and not registry.entry(base).available:
        pytest.skip(f"{base} is not installed: {registry.entry(base).install}")
    if "symbols" in row:
        assert symbols(data) == row["symbols"]
    if "picture" in row:
        assert digest(decoded(data)) == row["picture"]
    if "close" in row:
        picture = decoded(data)
        expected = np.asarray(Image.open(FOLDER / row["close"])).reshape(picture.shape)
        assert np.abs(picture.astype(int) - expected).max() <= 2


def test_every_profile_and_every_generic_coder_is_there():
    newest = set()
    coders = set()
    for row in ROWS.values():
        data = (FOLDER / row["file"]).read_bytes()
        if data[:3] != container.MAGIC:
            continue
        held = container.unpack(data)
        if isinstance(held.codec, int):
            newest.add((profiles.numbered(held.codec).codec, held.revision))
        if not held.is_video:
            coders.add(stage.stage_id(list(registry.codec_for(held).stages.values())[-1]))
    assert newest >= {(p.codec, r.revision) for p in profiles.own().values() for r in (*p.earlier, p)}
    generic = "Uniform Huffman Range Ans Context Dct BitPlane".split()
    wanted = {f"codeckit:{each}Coded@1" for each in generic}
    assert coders >= wanted | {f"codeckit:{each}Indices@1" for each in "Fixed Static Adaptive Mixed Network".split()}


def test_the_corpus_is_small():
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    assert size < 750_000
