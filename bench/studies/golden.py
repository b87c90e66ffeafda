"""The golden corpus: small streams of every profile and every generic entropy coder, and what they decode to.

The tests decode `tests/golden/` to the hashes of its manifest, so that a change of meaning fails at once. This script
adds streams that are missing, for a new codec or a new revision. It never writes a stream again that is there: a
stream that was released keeps its meaning.

    python -m codeckit.bench.studies.golden

A row of the manifest holds the file, the codec, and hashes (SHA-256) of the symbols that the last stage decodes, and of
the picture where all arithmetic behind it is exact. Where it is not (floating point, libraries), `close` names a PNG
that the picture may differ from by 2.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np

from ...api import decode, decode_video
from ...codecs import profiles, registry
from ...codecs.base import Codec
from ...primitives import (
    AdaptiveIndices,
    AnsCoded,
    ContextCoded,
    DeadZone,
    FixedIndices,
    HuffmanCoded,
    MixedIndices,
    RangeCoded,
    StaticIndices,
    Subsample,
    UniformCoded,
    Wavelet,
    YCbCr,
    container,
    plugins,
)
from ...primitives.stage import folded
from . import pictures
from .lossless_writer import write_lossless

FOLDER = Path(__file__).parents[2] / "tests" / "golden"

#: Codecs whose pictures come out of floating-point arithmetic or of a library.
CLOSE = ("libjpeg", "webp", "jpeg2000", "avif", "jpegxl", "mozjpeg", "jpegli", "downsample", "jpeg2000-teaching", "own")


#: Learned video codecs.
VIDEO = ("dvc", "dcvc")


def digest(*arrays: np.ndarray) -> str:
    """SHA-256 of types, shapes and values, the values in little-endian order."""
    found = hashlib.sha256()
    for array in arrays:
        kind = array.dtype.newbyteorder("<")
        found.update(f"{kind.str}{list(array.shape)}".encode() + np.ascontiguousarray(array, kind).tobytes())
    return found.hexdigest()


def symbols(data: bytes) -> str:
    """The hash of what the last stage of a `.ckt` picture decodes.

    Each plane's values as int64, row by row, then the side values in the order of their names.
    """
    held = container.unpack(data)
    *_, last = folded(registry.codec_for(held).stages).values()
    value = last.inverse(held.payload)
    planes = value.planes if hasattr(value, "planes") else (value,)
    side = [np.array([number]) for _, number in sorted(getattr(value, "side", {}).items())]
    return digest(*(np.asarray(plane).astype(np.int64).ravel() for plane in (*planes, *side)))


def register_corpus() -> None:
    """Let decoders find the weight files of the corpus."""
    from ...codecs.learned import register_weights
    from ...codecs.learned_video.weights import register_weights as register_video_weights

    for path in (FOLDER / "weights").glob("*.safetensors"):
        (register_video_weights if path.stem in VIDEO else register_weights)(path)


def cases():
    """Name, stream, and the weight file if it is one of the corpus, of every stream."""
    image, grey = pictures.photo(24, 40, 3, seed=11), pictures.photo(17, 21, 1, seed=12)
    rng = np.random.default_rng(13)
    features = rng.normal(0, 1, (49, 192)).astype(np.float32)
    for name in profiles.own():
        entry = registry.entry(name)
        options = {}
        if name in plugins.own(registry.NETWORKS):  # weights that ship may be trained anew
            options = {"weights": str(FOLDER / "weights" / f"{name}.safetensors")}
            tiny_weights(name)
        if name in VIDEO:
            options = {"weights": tiny_video_weights(name), "quality": 8, "weight": 4, "gop": 2}
        codec = registry.codec(name, **options) if entry.available or options else None
        if codec is None:
            raise SystemExit(f"{name} is not available here: {entry.install}")
        if name == "tokens":
            yield name, codec.encode_tokens(features, (7, 7), size=(24, 40))
        elif name in ("tokens-vit", "tokens-scenes"):
            yield name, codec.encode_tokens(features[:9], (9, 1), size=(24, 40))
        elif name == "token-indices":
            yield name, codec.encode_tokens(rng.integers(0, 16, (30, 2)), (5, 6))
        elif name == "token-arrays":
            yield name, codec.encode_tokens(features[:30, :4], (5, 6))
        else:
            yield name, codec.encode(image)
            yield f"{name}-grey", codec.encode(grey)
        if "video" in entry.media or codec.native:
            yield f"{name}-video", codec.encode_video([image, np.roll(image, 2, 1), image], fps=25)
    for coder in UniformCoded(), HuffmanCoded(), RangeCoded(), AnsCoded(), ContextCoded():
        codec = registry.codec("jpeg", quality=60).replace(entropy=coder)
        yield f"jpeg-{type(coder).__name__}", codec.encode(image)
        yield f"jpeg-{type(coder).__name__}-grey", codec.encode(grey)
    weights = str(FOLDER / "weights" / "mbt2018.safetensors")
    yield "mbt2018-HuffmanCoded", registry.codec("mbt2018", weights=weights, entropy="HuffmanCoded").encode(image)
    weights = str(FOLDER / "weights" / "balle2017.safetensors")
    yield "balle2017-HuffmanCoded", registry.codec("balle2017", weights=weights, entropy="HuffmanCoded").encode(image)
    indices = np.minimum(rng.geometric(0.3, (30, 3)) - 1, 15)
    for kind in FixedIndices, StaticIndices, AdaptiveIndices, MixedIndices:
        for progressive in False, True:
            codec = registry.codec("token-indices").replace(entropy=kind(16, progressive))
            yield f"{kind.__name__}{'-progressive' * progressive}", codec.encode_tokens(indices, (5, 6))
    yield "tokens-fsq-progressive", registry.codec("tokens-fsq", progressive=True).encode(image)
    own = dict(color=YCbCr("bt709"), subsample=Subsample("4:4:4", align=1), transform=Wavelet("9/7", 3))
    own |= dict(quantize=DeadZone(8.0), entropy=ContextCoded())
    yield "own", Codec("own", own).encode(image)
    lossless = registry.codec("jpeg2000-teaching", lossless=True)
    yield "jpeg2000-teaching-lossless", lossless.encode(image)
    arithmetic = {"quality": 60, "arithmetic": True}
    yield "jpeg-JpegArithmetic", registry.codec("jpeg", **arithmetic, restart_interval=2).encode(image)
    yield "jpeg-JpegArithmetic-progressive", registry.codec("jpeg", **arithmetic, progressive=True).encode(image)
    yield "jpeg-JpegArithmetic-grey", registry.codec("jpeg", **arithmetic).encode(grey)
    regions = {"importance": "roi:8,0,16,12", "strength": 3}
    for name in "balle2017", "cheng2020":
        weights = str(FOLDER / "weights" / f"{name}.safetensors")
        yield f"{name}-importance", registry.codec(name, weights=weights, **regions).encode(image)
    yield "jpeg2000-teaching-importance", registry.codec("jpeg2000-teaching", **regions).encode(image)
    yield "jpeg-lossless", write_lossless([np.ascontiguousarray(image[..., c]) for c in range(3)], predictor=4)


def tiny_weights(name: str) -> None:
    """A small weight file with random weights for an architecture."""
    from ...codecs.learned import register_weights
    from ...codecs.learned.networks import network_class
    from .learned_models import random_weights

    path = FOLDER / "weights" / f"{name}.safetensors"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        channels = tuple(count // 2 for count in network_class(name).SMALL)
        random_weights(name, path.parent, channels=channels, half=True, narrow=30)
    register_weights(path)


def tiny_video_weights(name: str) -> str:
    """The path of a small weight file with random weights for a learned video codec, with I-frames of the tiny one."""
    from ...codecs.learned import register_weights
    from ...codecs.learned_video.weights import register_weights as register_video_weights
    from .learned_models import random_video_weights

    still, path = (FOLDER / "weights" / f"{each}.safetensors" for each in ("balle2017", name))
    register_weights(still)
    if not path.exists():
        random_video_weights(name, path.parent, still)
    register_video_weights(path)
    return str(path)


def row(name: str, path: Path) -> dict:
    """The manifest's row of a stream, as it decodes here and now."""
    data = path.read_bytes()
    found = {"file": path.name, "sha256": hashlib.sha256(data).hexdigest()}
    is_ckt = data[:3] == container.MAGIC
    if is_ckt and not container.unpack(data).is_video:
        found["symbols"] = symbols(data)
    if is_ckt and container.unpack(data).is_video:
        decoded = np.stack(list(decode_video(data)))
    else:
        decoded = decode(data)
    if not isinstance(decoded, np.ndarray):
        return found  # tokens: the symbols are what is exact
    codec = name.removesuffix("-grey").removesuffix("-video").removesuffix("-importance")
    learned = codec.partition("-Huffman")[0] in plugins.own(registry.NETWORKS) or codec.startswith("tokens-fsq")
    if learned or codec in CLOSE:
        from PIL import Image

        found["close"] = f"{path.stem}.png"
        rows = decoded.reshape(-1, *decoded.shape[2:]) if decoded.ndim == 4 else decoded
        Image.fromarray(rows).save(path.with_suffix(".png"))
    else:
        found["picture"] = digest(decoded)
    return found


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    FOLDER.mkdir(exist_ok=True)
    manifest = FOLDER / "manifest.json"
    rows = json.loads(manifest.read_text()) if manifest.exists() else {}
    for name, data in cases():
        if name in rows:
            continue
        native = data[:3] != container.MAGIC
        path = FOLDER / f"{name}{registry.sniff(data).extension if native else '.ckt'}"
        path.write_bytes(data)
        rows[name] = row(name, path)
        print(f"{name}: {len(data)} bytes")
    manifest.write_text(json.dumps(rows, indent=1) + "\n")
    size = sum(path.stat().st_size for path in FOLDER.rglob("*"))
    print(f"{len(rows)} streams, {size} bytes with weights and pictures")


if __name__ == "__main__":
    main()
