"""The contract of a codec."""

import inspect
import itertools
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from ..api import decode
from ..codecs import registry
from ..codecs.base import Codec
from ..codecs.entry import Entry
from ..codecs.info import info
from ..primitives import container
from ..primitives.errors import StreamError
from ..primitives.stage import spec
from .support import attempt, check_name, picture, require

#: Sides of the pictures that every codec codes.
_SIZES = ((48, 64), (33, 47), (1, 1), (3, 70))

#: How much worse, in dB, a picture of higher quality may be (rounding is not monotone), and how good the best one is.
_TOLERANCE, _BEST = 0.25, 20


def check_codec(codec: Codec | str, images=None) -> None:
    """Check that a codec is what users, sweeps and readers of its files take it for.

    - Colour and grey pictures of several sizes, one pixel among them, are encoded to bytes, the same each time, and
      come back as uint8 of the same shape. (From formats without grey a grey picture comes back as colour.)
    - `codeckit.decode` finds the codec from the bytes alone, in this process and in a fresh one which has imported
      nothing by hand, and decodes the same. `codeckit.info` tells codec, size and channels.
    - Cut streams are refused by `StreamError`, and so are pictures beyond ``max_pixels``.
    - `trace` shows what `encode` does. The codec can be pickled.
    - By its name: the entry tells what it is; options of a wrong type, unknown ones and qualities off the scale are
      refused by `ValueError`; both ends of the quality scale work, and higher quality is not worse; a profile describes
      the stages that the codec has; files in a format of its own are recognised by their first bytes.

    Args:
        codec: the name of a declared or registered codec; or a configured codec, which is checked without what belongs
            to a name.
        images: pictures to use as well, uint8 [H,W,3] or [H,W].

    Raises:
        AssertionError: it does not; the message says how to mend it.

    >>> check_codec("png")
    >>> check_codec("gif")
    Traceback (most recent call last):
    ...
    AssertionError: no codec is called 'gif'; there are ...: declare it in the group codeckit.codecs, ...
    """
    entry = None
    if isinstance(codec, str):
        entry = _check_entry(codec)
        codec = attempt(lambda: registry.codec(entry.name), f"codec({entry.name!r}) cannot be built")
        _check_options(entry)
        _check_profile(entry, codec)
    require(isinstance(codec, Codec), f"{codec!r} is no codec: give a name, or a codeckit.codecs.Codec")
    check_streams(codec, entry, images or ())
    if entry is not None:
        _check_qualities(entry)


def check_streams(codec: Codec, entry: Entry | None = None, images=(), weights: tuple[str, ...] = ()) -> None:
    """The part of `check_codec` that is about a configured codec and its streams.

    Args:
        codec: configured.
        entry: of its name, if it has one.
        images: further pictures.
        weights: weight files that a fresh process has to be told.
    """
    pictures = [*_pictures(), *images]
    streams = [_check_picture(codec, image) for image in pictures]
    _check_found(codec, entry, pictures, streams)
    _check_fresh_process(codec, streams, weights)
    _check_damage(codec, pictures[0], streams[0])
    _check_trace(codec, pictures[0], streams[0])
    _check_pickle(codec)


def _pictures() -> list[np.ndarray]:
    colour = [picture(height, width) for height, width in _SIZES]
    return [*colour, *(each[..., 1].copy() for each in colour)]


# --- what belongs to a name ---


def _check_entry(name) -> Entry:
    try:
        entry = registry.entry(name)
    except (ValueError, ImportError) as error:
        raise AssertionError(
            f"{error}: declare it in the group codeckit.codecs, install the distribution, and see that its module can "
            "be imported; or register it with codeckit.register_codec"
        ) from error
    require(isinstance(entry, Entry), f"{name} is declared as {entry!r}, which is no codeckit.codecs.Entry")
    check_name(entry.name, "codec")
    require(entry.summary, f"{name} has no summary; say in one line what it is: Entry(summary=...)")
    low, high = entry.quality
    require(low <= high, f"{name} has the qualities {low} … {high}; the lowest stands first, and higher is better")
    require(entry.available, f"{name} is not available here ({entry.install or 'install what it requires'})")
    require(
        entry.extension.startswith("."), f"{name} has the extension {entry.extension!r}; give it a dot, such as '.bmp'"
    )
    return entry


def _check_options(entry):
    name, factory = entry.name, attempt(entry.load, f"the factory of {entry.name}, {entry.factory}, cannot be imported")
    parameters = inspect.signature(factory).parameters
    without = [option for option, each in parameters.items() if each.default is each.empty]
    require(not without, f"{name} has no default for {', '.join(without)}; codec({name!r}) works without options")
    low, high = entry.quality
    require(
        "quality" in parameters or low == high,
        f"{name} has no option 'quality', but the scale {low} … {high}; tables, plots and encode(psnr=) go along it",
    )
    wrong = [("quality", value) for value in (low - 1, high + 1, f"{low}", True, [low])]
    wrong += [(option, object()) for option in parameters]
    for option, value in [*wrong, ("no_such_option", 1)]:
        try:
            registry.codec(name, **{option: value})
        except ValueError:
            continue
        except Exception as error:
            raise AssertionError(
                f"codec({name!r}, {option}={value!r}) raises {error!r}; annotate the argument of the factory "
                "(quality: float = 75, mode: Literal['fast', 'small'] = 'fast'), so that other types are refused"
            ) from error
        raise AssertionError(
            f"codec({name!r}, {option}={value!r}) is accepted; annotate the argument of the factory (quality: float = "
            "75), so that other types are refused, and raise ValueError for values that mean nothing"
        )


def _check_profile(entry, codec):
    """A codec with a profile writes nothing of its stages: the profile says the same."""
    profile = codec.profile
    if profile is None:
        return
    name = entry.name
    stages = {role: attempt(lambda stage=stage: spec(stage), f"{name}") for role, stage in codec.stages.items()}
    wrong = [role for role in {**profile.specs, **stages} if profile.specs.get(role) != stages.get(role)]
    require(
        not wrong,
        f"{name} has other stages than revision {profile.revision} of its profile: "
        f"{'; '.join(f'{role} is {stages.get(role)}, there {profile.specs.get(role)}' for role in wrong)}. A released "
        "revision is never edited: add another one to the profile's file",
    )
    for each in (*profile.earlier, profile):
        attempt(each.build, f"revision {each.revision} of {name}'s profile cannot be built")


def _check_qualities(entry):
    """Both ends of the scale, and the middle."""
    if entry.media == "tokens":
        return
    name, image = entry.name, picture(*_SIZES[0])
    low, high = entry.quality
    found = []
    for quality in sorted({low, round((low + high) / 2), high}):
        options = {"quality": quality} if low < high else {}
        codec = attempt(
            lambda options=options: registry.codec(name, **options), f"{name} cannot be built at {quality=}"
        )
        back = attempt(
            lambda codec=codec: codec.decode(codec.encode(image)), f"{name} does not code a picture at {quality=}"
        )
        error = np.square(back.astype(float) - image).mean()
        found.append((quality, 10 * np.log10(255**2 / error) if error else np.inf))
    for (lower, before), (higher, after) in itertools.pairwise(found):
        require(
            after >= before - _TOLERANCE,
            f"{name} is worse at the higher quality: {before:.2f} dB at {lower}, {after:.2f} dB at {higher}; higher "
            "quality is always better",
        )
    best = found[-1][1]
    require(
        best >= _BEST,
        f"{name} decodes at its highest quality, {high}, to a picture of {best:.1f} dB; inverse of some stage does "
        "not undo forward: check_stage finds which",
    )


# --- pictures and streams ---


def _check_picture(codec, image) -> bytes:
    """The stream of a picture, after checks."""
    name, shape, before = codec.name, list(image.shape), image.copy()
    stream = attempt(lambda: codec.encode(image), f"{name} does not encode a picture of shape {shape}")
    require(isinstance(stream, bytes), f"{name} encodes to {type(stream).__name__}; the last stage returns bytes")
    require(np.array_equal(image, before), f"{name}.encode changes the picture; work on a copy")
    require(
        codec.encode(image) == stream,
        f"{name} gives two streams for one picture of shape {shape}; draw no random numbers, or seed them, and write "
        "no times",
    )
    back = attempt(lambda: codec.decode(stream), f"{name} does not decode its stream of a picture of shape {shape}")
    if not isinstance(back, np.ndarray):
        require(
            hasattr(back, "planes"), f"{name} decodes to {type(back).__name__}, which is neither an array nor Tokens"
        )
        return stream
    legal = [image.shape] if image.ndim == 3 else [image.shape, (*image.shape, 3)]
    require(
        back.dtype == np.uint8 and back.shape in legal,
        f"{name} decodes a picture uint8 {shape} to {back.dtype} {list(back.shape)}; let the first stage's "
        "inverse round, clip to 0 … 255, and cut padding off",
    )
    require(
        np.array_equal(codec.decode(stream), back),
        f"{name} decodes one stream to two pictures; what decoding computes must not be random",
    )
    return stream


def _check_found(codec, entry, pictures, streams):
    """Streams are decoded and described by who knows nothing but their bytes."""
    name = codec.name
    for image, stream in zip(pictures, streams, strict=True):
        finder = name
        if codec.native and stream[:3] != container.MAGIC:
            try:
                finder = registry.sniff(stream).name
            except StreamError as error:
                raise AssertionError(
                    f"files of {name} are not recognised ({error}): declare the bytes that they begin with, "
                    "Entry(magic=(((0, b'BM'),),), extension='.bmp', describer='my_package.bmp:describe')"
                ) from error
            recognised = entry is not None and (entry.magic or entry.brands)
            require(
                not recognised or finder == name,
                f"files of {name} are taken for {finder}'s; the magic of one of them is too short",
            )
            _check_ending(entry)
        found = attempt(lambda stream=stream: decode(stream), f"codeckit.decode does not decode what {name} wrote")
        if finder == name:
            require(
                _same(found, codec.decode(stream)),
                f"codeckit.decode decodes a stream of {name} to something else than the codec itself",
            )
        told = attempt(
            lambda stream=stream: info(stream),
            f"codeckit.info does not describe a stream of {name}: the last stage of a .ckt stream needs describe(), a "
            "file format of its own Entry(describer=...)",
        )
        _check_info(name, finder, image, stream, told, found)


def _check_ending(entry):
    require(
        entry is None or entry.extension != ".ckt",
        "the codec writes files of a format of its own, but names no ending for them: Entry(extension='.bmp')",
    )


def _check_info(name, finder, image, stream, told, found):
    if isinstance(found, np.ndarray):
        size, channels = found.shape[:2], 1 if found.ndim == 2 else 3
        require(
            tuple(told.size) == size and told.channels == channels,
            f"codeckit.info tells {told.channels} channels of {told.size[0]}×{told.size[1]} pixels of a stream of "
            f"{name} which holds {channels} of {size[0]}×{size[1]}",
        )
    require(told.bytes == len(stream), f"codeckit.info tells {told.bytes} bytes of a stream of {len(stream)}")
    require(
        told.codec in (name, finder),
        f"codeckit.info says that a stream of {name} is one of {told.codec}; name the Entry as it is declared",
    )


_DECODE = """import pickle, sys, codeckit
with open(sys.argv[1], "rb") as file:
    streams, weights = pickle.load(file)
for path in weights:
    from codeckit.codecs.learned import register_weights
    register_weights(path)
results = []
for stream in streams:
    found = codeckit.decode(stream)
    results.append((getattr(found, "planes", None) or (found,)))
with open(sys.argv[2], "wb") as file:
    pickle.dump(results, file)
"""


def _check_fresh_process(codec, streams, weights):
    """A process that never imported the codec decodes its streams."""
    expected = [_arrays(decode(stream)) for stream in streams]
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "streams", Path(folder) / "decoded"
        given.write_bytes(pickle.dumps((streams, weights)))
        done = subprocess.run(
            [sys.executable, "-c", _DECODE, str(given), str(made)], capture_output=True, text=True, check=False
        )
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        require(
            done.returncode == 0,
            f"a fresh process does not decode a stream of {codec.name}: {last}. What a process registers itself, no "
            "other knows: declare the codec and its stages as entry points of an installed distribution",
        )
        found = pickle.loads(made.read_bytes())
    same = all(len(a) == len(b) and all(map(np.array_equal, a, b)) for a, b in zip(expected, found, strict=True))
    require(same, f"a fresh process decodes a stream of {codec.name} to something else; let no global state matter")


def _check_damage(codec, image, stream):
    name = codec.name
    for length in sorted({0, 1, 4, 11, *(len(stream) * part // 8 for part in range(1, 8)), len(stream) - 1}):
        if length >= len(stream) - 1 and stream[:3] != container.MAGIC:
            continue  # the last byte of a file of a standard format may say nothing
        for what, decoding in (("the codec", codec.decode), ("codeckit.decode", decode)):
            try:
                decoding(stream[:length])
            except StreamError:
                continue
            except Exception as error:
                raise AssertionError(
                    f"a stream of {name} cut after {length} of {len(stream)} bytes makes {what} raise {error!r}; raise "
                    "StreamError"
                ) from error
            raise AssertionError(
                f"a stream of {name} cut after {length} of {len(stream)} bytes is decoded by {what}; raise StreamError"
            )
    pixels = image.shape[0] * image.shape[1]
    attempt(lambda: codec.decode(stream, max_pixels=pixels), f"{name} refuses a picture of max_pixels")
    try:
        codec.decode(stream, max_pixels=pixels - 1)
    except StreamError:
        return
    except Exception as error:
        raise AssertionError(f"{name} raises {error!r} for a picture beyond max_pixels; raise StreamError") from error
    raise AssertionError(f"{name} decodes a picture beyond max_pixels; check the size before you decode")


def _check_trace(codec, image, stream):
    trace = attempt(lambda: codec.trace(image), f"{codec.name} cannot be traced")
    require(trace.stream == stream, f"the trace of {codec.name} ends in another stream than encode")


def _check_pickle(codec):
    name = codec.name
    travelled = attempt(
        lambda: pickle.loads(pickle.dumps(codec)),
        f"{name} cannot be pickled, so no worker of a sweep can have it: define its stages at the top of a module",
    )
    require(
        travelled.stages == codec.stages and travelled.name == name, f"{name} is another codec after it was pickled"
    )


def _arrays(decoded) -> tuple:
    return (decoded,) if isinstance(decoded, np.ndarray) else tuple(decoded.planes)


def _same(first, second) -> bool:
    one, other = _arrays(first), _arrays(second)
    return len(one) == len(other) and all(map(np.array_equal, one, other))
