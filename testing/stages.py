"""The contract of a stage."""

import dataclasses
import json
import pickle
import tracemalloc

import numpy as np

from ..primitives.errors import StreamError
from ..primitives.picture import Picture
from ..primitives.stage import Stage, Weighted, from_spec, spec, stage_id
from .support import attempt, picture, require

#: Damaged payloads that are tried for each input, and the largest picture that they may declare, in pixels.
_DAMAGES, _LIMIT = 60, 1 << 14

#: Bytes that decoding a damaged payload of at most `_LIMIT` pixels may take.
_MEMORY = 1 << 29


def check_stage(stage: Stage, samples=None) -> None:
    """Check that a stage is what codecs and streams take it for.

    - It is a frozen dataclass: equal to its copies, hashable, and it can be pickled.
    - It has an id, and what a stream writes of it (`spec`) makes a stage that decodes the same. So fields that are
      `unwritten` are not needed to decode.
    - `forward` leaves its input as it is and gives the same each time.
    - `inverse` undoes `forward`. A quantizer quantizes what it restored to the same symbols. A stage that writes bytes
      of planes restores them exactly. Any other restores the form of its input, and its values up to an eighth of their
      range.
    - A stage that writes bytes tells size and colour model of the picture in them (`describe`), refuses a picture
      beyond ``max_pixels``, and makes of cut and flipped bytes a `StreamError` or a result of the size that they
      declare: no other exception, and no memory out of proportion.

    Args:
        stage: an instance. Fields that are unlike their defaults show more.
        samples: inputs of `forward`. By default pictures, planes of samples, of coefficients and of symbols, whichever
            of these the stage takes.

    Raises:
        AssertionError: it does not; the message says how to mend it.

    >>> from codeckit.primitives import DeadZone, RangeCoded, Wavelet
    >>> for stage in (Wavelet("5/3", levels=2), DeadZone(8.0), RangeCoded()):
    ...     check_stage(stage)
    >>> check_stage(Picture)
    Traceback (most recent call last):
    ...
    AssertionError: <class 'codeckit.primitives.picture.Picture'> is no stage: an instance of a class that derives ...
    """
    _check_description(stage)
    for sample in _samples(stage) if samples is None else samples:
        _check_sample(stage, sample)


def _check_description(stage):
    require(
        isinstance(stage, Stage),
        f"{stage!r} is no stage: an instance of a class that derives from codeckit.primitives.Stage",
    )
    kind = type(stage)
    name = kind.__name__
    params = getattr(kind, "__dataclass_params__", None)
    frozen = params is not None and params.frozen and "__dataclass_params__" in vars(kind)
    require(frozen, f"{name} is no frozen dataclass; put @dataclass(frozen=True) above the class")
    attempt(lambda: hash(stage), f"{name} cannot be hashed; its fields hold numbers, strings and tuples, no lists")
    same = dataclasses.replace(stage)
    require(same == stage, f"{name} is not equal to a copy of itself; let dataclass compare its fields")
    _check_id(stage)
    travelled = attempt(
        lambda: pickle.loads(pickle.dumps(stage)),
        f"{name} cannot be pickled, so no worker of a sweep can have it: define it at the top of a module",
    )
    require(travelled == stage, f"{name} is another stage after pickling: {travelled!r}, not {stage!r}")
    fields = {field.name for field in dataclasses.fields(kind)}
    unknown = [each for each in kind.unwritten if each not in fields]
    require(not unknown, f"{name}.unwritten names {', '.join(unknown)}, which are no fields of it")
    described = spec(stage)
    rebuilt = attempt(
        lambda: _rebuilt(stage, json.loads(json.dumps(described))),
        f"{name} cannot be made of what streams say of it, {described}. Fields that are not written need defaults, and "
        "the others hold numbers, strings, tuples of these, and None",
    )
    require(
        spec(rebuilt) == described,
        f"{name} says {spec(rebuilt)} of itself after it was made of {described}; fields hold plain values as JSON has",
    )


def _check_id(stage):
    try:
        stage_id(stage)
    except ValueError as error:
        raise AssertionError(str(error)) from error


def _rebuilt(stage, described=None):
    """The stage that a decoder has: made of what streams say of it, with the weights of the stream."""
    rebuilt = from_spec(described or spec(stage))
    return rebuilt.with_weights(stage.weights) if isinstance(rebuilt, Weighted) else rebuilt


# --- inputs ---


def _samples(stage) -> list:
    """Inputs that the stage takes: all kinds for a coder of planes, reals for a quantizer, else the first kind."""
    refused, taken = [], {}
    for kind, make in _KINDS.items():
        for each in make():
            try:
                output = stage.forward(each)
                taken.setdefault(kind, []).append((each, output))
            except Exception as error:  # whatever it says to what it does not take
                refused.append(f"{type(error).__name__} for {_form(each)}: {error}")
    require(
        taken,
        f"{type(stage).__name__}.forward takes none of the inputs that check_stage has ({'; '.join(refused)}); "
        "hand it some: check_stage(stage, samples=[...])",
    )
    first, *_ = taken.values()
    everything = [pair for pairs in taken.values() for pair in pairs]
    if isinstance(first[0][1], bytes):
        return [x for x, _ in everything]
    return [x for x, y in everything if _is_quantized(x, y)] or [x for x, _ in first]


def _images():
    colour = picture(40, 56)
    return [colour, picture(33, 47)[..., 0].copy(), colour[:1, :1].copy()]


def _planes_of_samples():
    return [
        _picture(np.moveaxis(picture(40, 56), 2, 0), (40, 56), "rgb"),
        _picture([picture(33, 47)[..., 0]], (33, 47)),
    ]


def _planes_of_coefficients():
    rng = np.random.default_rng(5)
    spread = 200 / (1 + np.add.outer(np.arange(8), np.arange(8)))
    blocks = [rng.laplace(0, spread, (5, 7, 8, 8)).astype(np.float32) for _ in range(3)]
    return [_picture(blocks, (40, 56), "ycbcr"), _picture([blocks[0].reshape(40, 56)], (40, 56))]


def _planes_of_symbols():
    rng = np.random.default_rng(6)
    spread = 40 / (1 + np.add.outer(np.arange(8), np.arange(8)) ** 1.5)
    blocks = [np.rint(rng.laplace(0, spread, (5, 7, 8, 8))).astype(np.int32) for _ in range(3)]
    table = np.arange(1, 65, dtype=np.uint16).reshape(8, 8)
    three = _picture(blocks, (40, 56), "ycbcr", (table,) * 3)
    zeros = _picture([np.zeros((5, 7, 8, 8), np.int32)], (40, 56), "grey", (table,))
    plane = _picture([blocks[0].reshape(40, 56)], (40, 56)).replace(side={"level": -3})
    large = _picture([np.array([[0, 1, -1], [70000, -(1 << 31), (1 << 31) - 1]], np.int32)], (2, 3))
    return [three, zeros, plane, large]


def _picture(planes, size, color="grey", tables=()):
    return Picture(tuple(map(np.ascontiguousarray, planes)), size, ((1, 1),) * len(planes), color, tables)


_KINDS = {
    "an image uint8 [H,W,3]": _images,
    "planes uint8 [h,w]": _planes_of_samples,
    "coefficients float32 [rows,columns,8,8]": _planes_of_coefficients,
    "symbols int32 [rows,columns,8,8]": _planes_of_symbols,
}


# --- one input ---


def _check_sample(stage, x):
    name, shown = type(stage).__name__, _form(x)
    before = pickle.dumps(x)
    y = attempt(lambda: stage.forward(x), f"{name}.forward does not take {shown}")
    require(pickle.dumps(x) == before, f"{name}.forward changes its input; work on a copy")
    require(
        _equal(y, stage.forward(x)),
        f"{name}.forward gives another output for the same input; draw no random numbers, or seed them",
    )
    back = attempt(lambda: stage.inverse(y), f"{name}.inverse does not take what forward made of {shown}")
    restored = attempt(lambda: _rebuilt(stage).inverse(y), f"{name} as streams describe it does not decode")
    left_out = type(stage).unwritten
    require(
        _equal(back, restored),
        f"{name} as streams describe it, {spec(stage)}, decodes to something else"
        + (f": inverse needs one of the unwritten fields {', '.join(left_out)}" if left_out else ""),
    )
    if isinstance(y, bytes):
        _check_bytes(stage, x, y, back)
    elif _is_quantized(x, y):
        again = attempt(lambda: stage.forward(back), f"{name}.forward does not take what inverse restored of {shown}")
        require(
            _equal(again, y),
            f"{name} is a quantizer, but quantizes what it restored to other symbols: let inverse give a value that "
            "forward takes to the same symbol",
        )
        require(_form(back, False) == _form(x, False), f"{name}.inverse gives {_form(back)} for {shown}")
    else:
        _check_values(name, x, back)


def _check_values(name, x, back):
    """Values up to an eighth of their range. Planes may come back padded at the right and at the bottom."""
    back = _cropped(back, x)
    require(_form(back) == _form(x), f"{name}.inverse gives {_form(back)} for {_form(x)}; it restores its form")
    for original, restored in zip(_arrays(x), _arrays(back), strict=True):
        original, restored = (np.asarray(each, np.float64) for each in (original, restored))
        deviation = np.sqrt(np.square(original - restored).mean())
        allowed = max(np.ptp(original), 8) / 8
        require(
            deviation <= allowed,
            f"{name}.inverse does not undo forward: {_form(x)} comes back with a deviation of {deviation:.3g}, "
            f"more than an eighth of their range, {allowed:.3g}",
        )


def _check_bytes(stage, x, payload, back):
    name = type(stage).__name__
    if isinstance(x, Picture):
        facts = ("size", "factors", "color", "side")
        lost = [fact for fact in facts if getattr(back, fact, None) != getattr(x, fact)]
        require(
            isinstance(back, Picture) and not lost and _same(back.tables, x.tables),
            f"{name} loses {', '.join(lost) or 'the tables'} of a picture; begin the payload with "
            "pack_header(picture), which writes all that belongs to the picture but the values",
        )
        require(
            _same(back.planes, x.planes),
            f"{name} does not restore {_form(x)} exactly, which a stage that writes bytes of planes does",
        )
    elif isinstance(x, np.ndarray):
        _check_values(name, x, back)
    else:
        require(_form(back) == _form(x), f"{name}.inverse gives {_form(back)} for {_form(x)}")
    size = _size(back)
    if not stage.native:
        _check_describe(stage, x, payload, size)
    if size:
        _check_limit(stage, payload, size)
    _check_damage(stage, payload, size)


def _check_describe(stage, x, payload, size):
    name = type(stage).__name__
    told, color = attempt(
        lambda: stage.describe(payload),
        f"{name} does not tell what its payload holds; derive from codeckit.primitives.HeaderStage, or define "
        "describe(payload) -> ((H, W), colour model)",
    )
    require(
        size is None or tuple(told) == size, f"{name}.describe tells the size {told} of a picture of {size}, (H, W)"
    )
    if isinstance(x, Picture):
        require(color == x.color, f"{name}.describe tells the colour model {color!r} of a picture in {x.color!r}")


def _check_limit(stage, payload, size):
    name, pixels = type(stage).__name__, size[0] * size[1]
    attempt(
        lambda: stage.inverse(payload, pixels), f"{name}.inverse(payload, max_pixels) does not take its second argument"
    )
    try:
        stage.inverse(payload, pixels - 1)
    except StreamError:
        return
    except Exception as error:
        raise AssertionError(f"{name} raises {error!r} for a picture beyond max_pixels; raise StreamError") from error
    raise AssertionError(
        f"{name} decodes a picture beyond max_pixels; hand it to unpack_header, or call check_size((H, W), max_pixels)"
    )


def _check_damage(stage, payload, size):
    """Cut, flipped and lengthened payloads end in a `StreamError` or in a result of the declared size."""
    name = type(stage).__name__
    for what, damaged in _damages(payload):
        tracemalloc.start()
        try:
            result = stage.inverse(damaged, _LIMIT)
        except StreamError:
            continue
        except MemoryError as error:
            raise AssertionError(f"{name} runs out of memory for a payload that is {what}: {error}") from error
        except Exception as error:
            raise AssertionError(
                f"{name}.inverse raises {error!r} for a payload that is {what}; raise StreamError for all that forward "
                "cannot have written"
            ) from error
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            require(
                peak < _MEMORY,
                f"{name}.inverse takes {peak >> 20} MiB for a payload that is {what}; check sizes before arrays are "
                "made of them",
            )
        found = _size(result)
        if found is None:
            continue
        told = found if stage.native else tuple(stage.describe(damaged)[0])
        require(
            found == told and found[0] * found[1] <= _LIMIT,
            f"{name}.inverse gives a picture of {found} for a payload that is {what} and declares {told}",
        )


def _damages(payload):
    rng = np.random.default_rng(len(payload))
    yield "empty", b""
    for length in sorted({int(each) for each in rng.integers(0, len(payload), _DAMAGES // 2)}):
        yield f"cut after {length} of {len(payload)} bytes", payload[:length]
    for _ in range(_DAMAGES // 2):
        damaged = bytearray(payload)
        where = [
            int(each) for each in rng.integers(0, min(len(payload), rng.choice([24, 1 << 30])), rng.integers(1, 4))
        ]
        for position in where:
            damaged[position] ^= 1 << int(rng.integers(8))
        yield f"flipped at {where}", bytes(damaged)
    yield "longer than it was", payload + b"\x5a\x00\xff"


# --- values ---


def _cropped(back, x):
    """Planes without what pads them; a grey image from a format that has no grey as a grey one again."""
    if isinstance(back, np.ndarray) and isinstance(x, np.ndarray) and (back.ndim, x.ndim) == (3, 2):
        return back[..., 0]
    if not (isinstance(back, Picture) and isinstance(x, Picture) and len(back.planes) == len(x.planes)):
        return back
    cropped = [plane[: old.shape[0], : old.shape[1]] for plane, old in zip(back.planes, x.planes, strict=True)]
    return back.replace(planes=tuple(cropped))


def _arrays(x) -> tuple:
    return (x,) if isinstance(x, np.ndarray) else getattr(x, "planes", ())


def _size(x) -> tuple[int, int] | None:
    """(H, W) of an image or picture; None of anything else."""
    if isinstance(x, np.ndarray):
        return x.shape[:2]
    return x.size if isinstance(x, Picture) else None


def _form(x, types: bool = True) -> str:
    """What a value is, in words; without `types` whatever its numbers are."""
    if isinstance(x, bytes):
        return "bytes"
    kinds = {"f": "reals", "i": "integers", "u": "integers", "b": "booleans"}
    arrays = [f"{kinds.get(a.dtype.kind, a.dtype) if types else 'numbers'} {list(a.shape)}" for a in _arrays(x)]
    if isinstance(x, np.ndarray):
        return f"an array of {arrays[0]}"
    about = f" of {x.size[0]}×{x.size[1]} pixels, {x.color}" if isinstance(x, Picture) else ""
    return f"a {type(x).__name__}{about}: {', '.join(arrays)}"


def _is_quantized(x, y) -> bool:
    """Whether reals became integers of the same shapes."""
    before, after = _arrays(x), _arrays(y)
    return (
        len(before) == len(after) > 0
        and all(each.dtype.kind == "f" for each in before)
        and all(each.dtype.kind in "iu" for each in after)
        and all(a.shape == b.shape for a, b in zip(before, after, strict=True))
    )


def _same(first, second) -> bool:
    return len(first) == len(second) and all(map(np.array_equal, first, second))


def _equal(first, second) -> bool:
    """Whether two values of stages are the same, whatever integers hold them."""
    if isinstance(first, bytes) or isinstance(second, bytes):
        return isinstance(first, bytes) and first == second
    return _form(first) == _form(second) and _same(_arrays(first), _arrays(second))
