"""A second decoder of `.ckt` streams, written from docs/format.md alone: plain Python and numpy, small and slow.

It decodes what entropy coders wrote: planes of integers, indices, symbols and latents; and the frames of learned video,
which are integers all the way. It shares no code with codeckit,
so a page that says too little, or something else than the codecs do, is found by the tests beside it.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import bitplanes, context, dct_context, indices, latents, learned_video, static, tables
from .container import NUMBERS, VIDEO, WEIGHTS, DamagedStream, Reader, check, decode_container, stage_list, video
from .networks import fingerprint, read_safetensors

__all__ = ["DamagedStream", "Decoded", "decode", "decode_container", "decode_payload", "read_weights"]


class Decoded(NamedTuple):
    """What a payload holds.

    Attributes:
        size: (H, W) of the picture; (0, 0) if it is not known.
        planes: integer arrays: planes; indices [N,D]; symbols of tokens [N,C]; symbols of y and z; or the pixels of a
            frame of learned video.
        side: numbers beside them: side values of a picture header, or the (gain) level.
        latents: y in units of 2^-8, of learned codecs.
    """

    size: tuple[int, int]
    planes: list[np.ndarray]
    side: dict[str, int]
    latents: np.ndarray | None = None


def decode(data: bytes, profiles: dict, weights=(), numbers: dict[str, str] = NUMBERS):
    """A stream's `Decoded`; of a video a list of them, one a frame.

    Args:
        data: a whole `.ckt` stream.
        profiles: "<codec id>/<revision>" to a list of [role, stage id, fields].
        weights: weight files, as paths or bytes; the stream's fingerprint chooses one of them.
        numbers: codec numbers (as text) to codec ids.

    Raises:
        DamagedStream: the stream is damaged, or needs a profile, a stage or weights that are not there.
    """
    held = decode_container(data, numbers)
    _, stage, fields = stage_list(held, profiles)[-1]
    files = dict(map(read_weights, weights))
    wanted = held.sections.get(WEIGHTS, b"")
    check(not wanted or wanted in files, f"the weights {wanted.hex()} are not there")
    own = files.get(wanted)
    if VIDEO not in held.sections and stage == "codeckit:PredictedMixed@1":
        reader = Reader(held.payload)
        size, chunk = (reader.varint(), reader.varint()), reader.rest()
        ((_, planes),) = learned_video.decode_frames([chunk], size, _video_model(held, profiles, own, files))
        return Decoded(size, planes, {})
    if VIDEO not in held.sections:
        return decode_payload(stage, fields, held.payload, own)
    size, _, chunks = video(held)
    if stage == "codeckit:Hybrid@1":
        return [Decoded(size, planes, {"intra": intra}) for intra, planes in context.video_teaching(chunks, size)]
    if stage == "codeckit:PredictedMixed@1":
        found = learned_video.decode_frames(chunks, size, _video_model(held, profiles, own, files))
        return [Decoded(size, planes, {"level": level}) for level, planes in found]
    return [decode_payload(stage, fields, chunk, own) for chunk in chunks]


def _video_model(held, profiles, own, files):
    stages = [entry[1] for entry in stage_list(held, profiles)]
    check("codeckit:BlockMotion@1" in stages, "this decoder has no other motion than that of blocks")
    still = bytes.fromhex(own[0]["still"])
    check(still in files, f"the weights {still.hex()} are not there")
    return learned_video.VideoModel(*own, files[still])


def read_weights(file):
    """Fingerprint, and (metadata, tensors), of a weight file."""
    said, tensors = read_safetensors(file if isinstance(file, bytes) else Path(file).read_bytes())
    own = fingerprint(said, tensors)
    check(said["fingerprint"] == own.hex(), "the weight file is damaged")
    return own, (said, tensors)


_PICTURES = {
    "UniformCoded": static.uniform_coded,
    "HuffmanCoded": static.huffman_coded,
    "RangeCoded": static.range_coded,
    "AnsCoded": static.ans_coded,
    "ContextCoded": context.context_coded,
    "DctCoded": dct_context.dct_coded,
    "BitPlaneCoded": bitplanes.bit_plane_coded,
}
_INDICES = {
    "FixedIndices": indices.fixed_indices,
    "StaticIndices": indices.static_indices,
    "AdaptiveIndices": indices.adaptive_indices,
    "MixedIndices": indices.mixed_indices,
    "NetworkIndices": indices.network_indices,
}
_LATENTS = {"LatentCoded": latents.latent_coded, "LatentMixed": latents.latent_mixed}


def decode_payload(stage: str, fields: dict, payload: bytes, weights=None) -> Decoded:
    """Decode a payload of the last stage with an id and fields; `weights` are metadata and tensors of its file."""
    name = stage.removeprefix("codeckit:").removesuffix("@1")
    if name in _PICTURES:
        given = {key: fields[key] for key in ("levels", "order")} if name == "BitPlaneCoded" else {}
        header, planes = _PICTURES[name](payload, **given)
        return Decoded(header.size, planes, header.side)
    if name in _INDICES:
        size, _, values = _INDICES[name](payload, *([indices.tokenizer(*weights)] if weights else []))
        return Decoded(size, [values], {})
    if name in _LATENTS:
        size, _, level, symbols, y = _LATENTS[name](payload, latents.Model(*weights))
        side = {} if level is None else {"level": level}
        if len(symbols) > 1 and symbols[-1].ndim == 2:  # offsets of positions
            side["mapped"] = 1
        return Decoded(size, symbols, side, y)
    if name == "RawCoded":
        reader = Reader(payload)
        height, width, components = reader.varint(), reader.varint(), reader.byte()
        samples = np.frombuffer(reader.rest(), np.uint8)
        return Decoded((height, width), list(np.moveaxis(samples.reshape(height, width, components), 2, 0)), {})
    if name == "TokenCoded":
        size, level, symbols = tables.token_coded(payload, weights[1])
        return Decoded(size, [symbols], {"level": level})
    raise DamagedStream(f"this decoder has no {stage}")
