"""Between a codec and its `.ckt` streams: what a stream says of its stages, and the stages that a stream says.

`describe` and `rebuild` are the inverse pair. A codec with a profile names the profile and its revision, and writes the
stages that differ from it; any other composition writes all its stages in full. Nothing here asks which codecs exist.
"""

import json
from typing import Any

import numpy as np

from ..primitives.container import STAGES, WEIGHTS, Container
from ..primitives.errors import ReadingError, StreamError
from ..primitives.picture import Picture
from ..primitives.stage import Stage, Weighted, folded, from_spec, spec
from .file_formats import insert
from .image_io import TAGS, Reading
from .metadata import NOTHING, Metadata
from .profiles import Profile


def carried(stages: dict[str, Stage]) -> frozenset[str]:
    """The kinds of metadata that streams of these stages can hold."""
    *_, last = stages.values()
    return last.carries if last.native else frozenset({*TAGS, "grey icc"})


def described(file: bytes, metadata: Metadata) -> bytes:
    """A file of a standard format that holds a picture's metadata.

    Raises:
        ReadingError: they do not fit into the format.
    """
    if metadata == NOTHING:
        return file
    try:
        return insert(file, metadata)
    except ValueError as error:
        raise ReadingError(f"{error} (metadata='color' keeps the profile alone, 'drop' nothing)") from error


def describe(
    name: str,
    profile: Profile | None,
    stages: dict[str, Stage],
    weights,
    payload: bytes,
    metadata: Metadata = NOTHING,
) -> Container:
    """The container of a payload.

    Args:
        name: of the codec, for streams without a profile.
        profile: the codec's; None for a composition of one's own.
        stages: those that made the payload.
        weights: the handle of the codec's weights, or None.
        payload: what the last stage wrote.
        metadata: of the picture; a comment is left out.

    Raises:
        ValueError: a stage has no id.
    """
    specs = {role: spec(stage) for role, stage in stages.items()}
    known = profile.specs if profile else {}
    if list(known) != list(specs):
        profile, known = None, {}  # stages were added, left out or moved: the profile says nothing of them
    changed = [[role, *described] for role, described in specs.items() if known.get(role) != described]
    sections = {tag: block for kind, tag in TAGS.items() if (block := getattr(metadata, kind))}
    if changed:
        sections[STAGES] = json.dumps(changed, separators=(",", ":"), ensure_ascii=False).encode()
    if any(isinstance(stage, Weighted) for stage in stages.values()):
        if weights is None:
            raise ValueError(f"{name} has no weights yet: codec(name, weights=path) gives it some")
        sections[WEIGHTS] = weights.fingerprint
    if profile:
        return Container(profile.written, profile.revision, payload, sections)
    return Container(name, 0, payload, sections)


def rebuild(held: Container, profile: Profile | None) -> dict[str, Stage]:
    """The stages of a stream; those with weights have none yet.

    Args:
        held: the stream's container.
        profile: of the codec that it names, in any revision; None if it lists all its stages.

    Raises:
        StreamError: what the stream says is damaged, or names stages or a revision that do not exist here.
    """
    try:
        changed = json.loads(held.stages) if held.stages else []
    except (ValueError, RecursionError) as error:
        raise StreamError(f"the stages of the stream are not JSON: {error}") from error
    entries: list[Any] = changed if isinstance(changed, list) else [None]
    if any(not (isinstance(entry, list) and len(entry) == 3 and isinstance(entry[0], str)) for entry in entries):
        raise StreamError("the stages of the stream are not an array of [role, id, fields]")
    described = {role: [id, fields] for role, id, fields in entries}
    if len(described) != len(entries):
        raise StreamError("the stream describes a stage twice")
    if held.revision:
        if profile is None:
            raise StreamError(f"the codec {str(held.codec)[:80]!r} of the stream is not known here")
        specs = profile.at(held.revision).specs
        if described.keys() - specs.keys():
            raise StreamError(f"the stream changes stages that {profile.codec} does not have")
        described = {**specs, **described}
    if not described:
        raise StreamError("the stream lists no stages")
    stages = {role: from_spec(each) for role, each in described.items()}
    if list(stages.values())[-1].native and not held.is_video:
        raise StreamError("the stream names an entropy stage that has a file format of its own")
    return stages


def find_weights(stages: dict[str, Stage], fingerprint: bytes, own, device: str):
    """The handle of the weights that a stream was made with; None for stages without weights.

    Args:
        stages: the stream's.
        fingerprint: the stream's.
        own: the handle of the decoding codec, if it has one.
        device: where networks are to run.

    Raises:
        StreamError: the weights are not known here, or the stream names weights and its stages have none.
    """
    weighted = next((stage for stage in stages.values() if isinstance(stage, Weighted)), None)
    if weighted is None:
        if fingerprint:
            raise StreamError(f"the stream names the weights {fingerprint.hex()}, but its stages have none")
        return None
    if own is not None and own.fingerprint == fingerprint:
        return own
    try:
        found = weighted.find_weights(fingerprint).on(device)
    except StreamError as error:
        if own is None:
            raise
        raise StreamError(f"{error} (this codec has {own.fingerprint.hex()})") from error
    found.load()  # here, so that a damaged file of weights is not taken for a damaged stream
    return found


def unfold(stages: dict[str, Stage], payloads: list[bytes], max_pixels: int) -> list:
    """Decode payloads of one composition together: `inverse` from the last stage to the first."""
    *others, last = folded(stages).values()
    values = last.inverse_many(payloads, max_pixels)
    for stage in reversed(others):
        values = stage.inverse_many(values)
    return values


def unfold_file(stages: dict[str, Stage], data: bytes, max_pixels: int, reading: Reading, partial: bool = False) -> Any:
    """Decode a file of a standard format, of any encoder; with `partial`, what is there of one that is damaged.

    Raises:
        StreamError: it is damaged, and with `partial`, too little is there or the format cannot be decoded in part.
    """
    *others, last = folded(stages).values()
    try:
        value = last.inverse_file(data, max_pixels, reading)
    except StreamError:
        if not partial:
            raise
        return unfold_partial(stages, data, max_pixels)
    for stage in reversed(others):
        value = stage.inverse(value)
    return value


def unfold_checked(stages: dict[str, Stage], payloads: list[bytes], max_pixels: int) -> list:
    """`unfold` of stages that a stream names, which may not fit one another or its data.

    Raises:
        StreamError: they do not, or what comes out is neither a picture nor tokens.
    """
    try:
        results = unfold(stages, payloads, max_pixels)
    except StreamError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise StreamError(f"the stream's stages do not fit one another or its data: {error!r}") from error
    for result in results:
        if isinstance(result, np.ndarray):
            whole = result.dtype == np.uint8 and result.ndim in (2, 3)
        else:
            whole = hasattr(result, "planes") and not isinstance(result, Picture)
        if not whole:
            raise StreamError("the stream's stages do not end in an image")
    return results


def unfold_partial(stages: dict[str, Stage], payload: bytes, max_pixels: int):
    """Decode a payload that may be cut at its end, if the last stage has such payloads.

    Raises:
        StreamError: it has not, or too little is there.
    """
    *others, last = folded(stages).values()
    value = last.inverse_partial(payload, max_pixels)
    try:
        for stage in reversed(others):
            value = stage.inverse(value)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise StreamError(f"the part of the stream does not decode: {error}") from error
    return value
