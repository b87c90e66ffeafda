"""The registry: every codec by name, found through declarations; and the codec of a stream, found from its bytes.

Codecs are declared as `Entry` objects (group ``codeckit.codecs``). A learned network (group ``codeckit.networks``) is a
codec as well, whose entry its class makes. `register_codec` adds one for this process. Listing names imports nothing;
an entry is loaded when it is asked for, and a codec when it is built.
"""

import functools
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from typing import Any

from ..primitives import plugins
from ..primitives.container import Container
from ..primitives.errors import StreamError
from ..primitives.stage import Stage, stage_class
from . import profiles
from .base import Codec, codec_of
from .entry import Entry
from .file_formats import brands
from .image_io import Reading
from .importance import WeighedEncoder, importance
from .options import check_options, plain_quality
from .profiles import Profile

#: The groups of entry points that declare codecs.
CODECS, NETWORKS = "codeckit.codecs", "codeckit.networks"

#: Options of every codec: how picture files are read, and where errors count more.
READING = tuple(field.name for field in fields(Reading))
IMPORTANCE = ("importance", "strength")

#: Brands of pictures and sequences of HEVC, which no codec here decodes (HEIF, ISO/IEC 23008-12 Annex B).
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")

_NO_STREAM = "not a stream that codeckit decodes"

#: Codecs that this process added.
_registered: dict[str, Entry] = {}


def names() -> tuple[str, ...]:
    """The names of all codecs: codeckit's own, plug-ins', and those of this process. Imports nothing.

    A plug-in's codec whose name somebody else has, too, stands there with its id.

    >>> {"jpeg", "webp", "cheng2020"} <= set(names())
    True
    """
    declared = [*plugins.declared(CODECS), *plugins.declared(NETWORKS)]
    return (*map(_shown, declared), *_registered)


def _shown(declaration: plugins.Declaration) -> str:
    """The name that `codec` takes for a declaration: its short name, or its id where somebody else has that, too."""
    declared = [*plugins.declared(CODECS), *plugins.declared(NETWORKS)]
    claims = {each.namespace for each in declared if each.name == declaration.name}
    return declaration.name if declaration.namespace == plugins.OWN or len(claims) == 1 else declaration.id


def list_codecs() -> tuple[Entry, ...]:
    """All codecs. (Those of networks import torch.)

    >>> "jpeg" in [entry.name for entry in list_codecs()]
    True
    """
    return (*_loadable((*plugins.declared(CODECS), *plugins.declared(NETWORKS))), *_registered.values())


def is_registered(name: str) -> bool:
    """Whether a codec has that name."""
    return name in _registered or _declaration(name) is not None


def entry(name: str) -> Entry:
    """The registry's entry for a codec, by its name or id.

    Raises:
        ValueError: no codec has that name, or several plug-ins' have; the message lists those that exist.

    >>> entry("jpeg").quality
    (1, 100)
    """
    if name in _registered:
        return _registered[name]
    declaration = _declaration(name)
    if declaration is None:
        raise ValueError(f"no codec is called {name!r}; there are {', '.join(sorted(names()))}")
    return _loaded(declaration)


def _declaration(name: str) -> plugins.Declaration | None:
    if not isinstance(name, str):
        raise ValueError(f"a codec's name is a string, not {name!r}")
    return plugins.find(CODECS, name) or plugins.find(NETWORKS, name)


@functools.cache
def _loaded(declaration: plugins.Declaration) -> Entry:
    """The entry of a declaration; ids keep plug-ins' codecs apart where they share a name."""
    found = declaration.load()
    found = found if isinstance(found, Entry) else found.entry(declaration.name)
    if declaration.namespace == plugins.OWN:
        return found
    if found.profiles == Entry.profiles:  # the field's default is for codeckit's own
        found = replace(found, profiles="")
    return replace(found, name=_shown(declaration))


def _loadable(declarations: Iterable[plugins.Declaration]) -> Iterator[Entry]:
    """The entries of declarations, without those of plug-ins that cannot be imported, which are warned of."""
    for declaration in declarations:
        try:
            yield _loaded(declaration)
        except ImportError as error:
            if declaration.namespace == plugins.OWN:
                raise
            warnings.warn(f"the plug-in is left out: {error}", RuntimeWarning, stacklevel=3)


def profile(name: str) -> Profile | None:
    """The newest profile of a codec; None if it has none, so that its streams list all their stages."""
    declaration = None if name in _registered else _declaration(name)
    if declaration is None:
        return None
    if declaration.namespace == plugins.OWN:
        return profiles.own()[declaration.name]
    resource = _loaded(declaration).profiles
    return profiles.load(resource, declaration.namespace).get(declaration.name) if resource else None


def codec(name: str, **options: Any) -> Codec:
    """A configured, immutable codec.

    Args:
        name: a registered codec (`list_codecs`).
        **options: the codec's options, each of which has a default; the fields of `image_io.Reading` (``background``,
            ``depth``, ``frame``, ``metadata``), which say how picture files are read; or the codec's stages by their
            roles, each a `Stage` or the name of a stage class, to exchange them (`Codec.replace`). Every codec also has
            ``importance`` and ``strength``, which say where errors count more and by how much (`codecs.importance`).

    Raises:
        ValueError: unknown name, unknown option or bad value; the message lists what is legal.

    >>> codec("jpeg", quality=90).setting
    {'quality': 90}
    >>> codec("jpeg", entropy="ContextCoded").setting
    {'quality': 75, 'entropy': 'ContextCoded'}
    >>> codec("webp", qualty=90)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: webp has no option 'qualty'; it has the options quality, lossless, method, background, depth, ...
    """
    found = entry(name)
    factory = found.load()
    legal = inspect.signature(factory).parameters
    setting = {option: value for option, value in options.items() if option in legal}
    check_options(name, factory, setting, found.quality, found.whole)
    if "quality" in setting:
        setting["quality"] = plain_quality(setting["quality"], found.whole)
    built = factory(**setting)
    reading = {option: options[option] for option in READING if option in options and option not in legal}
    weighed = importance(options.get("importance"), options.get("strength"))
    others = (*legal, *READING, *IMPORTANCE)
    stages = {role: value for role, value in options.items() if role not in others}
    known = f"it has the options {', '.join(others)} and the stages {', '.join(built.stages)}"
    for role, value in stages.items():
        if role not in built.stages:
            raise ValueError(f"{name} has no option {role!r}; {known}")
        stages[role] = _stage(value, f"{name}'s stage {role!r} is to be exchanged, but {{}}; {known}")
    if "quality" in legal:
        setting = {"quality": legal["quality"].default, **setting}
    setting |= built.setting  # what the factory made of them; None for what means nothing
    if weighed and (found.quality[0] == found.quality[1] or setting.get("lossless")):
        raise ValueError(f"{name} loses nothing here, so there are no errors that importance= could weigh")
    if weighed:
        setting |= {"importance": str(weighed), "strength": weighed.strength}
        built = replace(built, encoder=WeighedEncoder(weighed, built.encoder))
    setting = {option: value for option, value in setting.items() if value is not None}
    built = replace(built, name=found.name, setting=setting, profile=profile(name), reading=Reading(**reading))
    return built.replace(**stages) if stages else built


def _stage(value: Stage | str, complaint: str) -> Stage:
    """A stage as it is, or the default instance of the class of that name."""
    try:
        return stage_class(value)() if isinstance(value, str) else value
    except (StreamError, TypeError) as error:
        raise ValueError(complaint.format(error)) from error


def register_codec(
    name: str,
    factory: Callable[..., Codec],
    *,
    quality: tuple[float, float] = (1, 100),
    summary: str = "",
    **declared: Any,
) -> None:
    """Add a codec of one's own to this process, so that `codec(name)`, `evaluate`, `compare` and `decode` know it.

    Its streams list all their stages, and decode wherever the stages are known.

    Args:
        name: a new name.
        factory: a function whose keyword arguments (``quality`` among them) all have defaults and which returns a
            `Codec`.
        quality: lowest and highest quality.
        summary: one line for `list_codecs`.
        **declared: further fields of an `Entry`, such as ``magic``, ``extension`` and ``describer`` for a codec with a
            file format of its own.

    Raises:
        ValueError: the name is taken.

    >>> from codeckit.codecs import Codec
    >>> from codeckit.primitives import BlockDCT, QuantTable, Subsample, UniformCoded, YCbCr
    >>> def plain(quality=50):
    ...     stages = dict(color=YCbCr(), subsample=Subsample("4:4:4"), transform=BlockDCT(),
    ...                   quantize=QuantTable(quality), entropy=UniformCoded())
    ...     return Codec("plain", stages)
    >>> register_codec("plain", plain)
    >>> codec("plain", quality=20).setting
    {'quality': 20}
    """
    fields = {"family": "own", "media": "image", **declared, "profiles": ""}
    register_entry(Entry(name=name, quality=quality, summary=summary, factory=factory, **fields))


def register_entry(entry: Entry) -> None:
    """`register_codec` of a whole entry.

    Raises:
        ValueError: the name is taken.
    """
    known = _registered.get(entry.name)
    if (known and known.factory is not entry.factory) or (known is None and is_registered(entry.name)):
        raise ValueError(f"a codec called {entry.name!r} is registered already")
    _registered[entry.name] = entry


def registered() -> tuple[Entry, ...]:
    """What this process registered: no other process finds it through a declaration."""
    return tuple(_registered.values())


def named_by(held: Container) -> tuple[str, Profile | None]:
    """The name of the codec that made a `.ckt` stream, and its profile if the stream relies on it.

    Raises:
        StreamError: no such codec exists here.
    """
    if isinstance(held.codec, int):
        found: Profile | None = profiles.numbered(held.codec)
    else:
        try:
            found = profile(held.codec) if held.revision else None
        except (ImportError, ValueError) as error:
            raise StreamError(str(error)) from error
    return (found.codec.partition(":")[2] if found else str(held.codec)), found


def codec_for(held: Container, device: str = "cpu") -> Codec:
    """The codec that decodes a `.ckt` stream.

    Raises:
        StreamError: its codec, revision, stages or weights do not exist here.
    """
    return codec_of(*named_by(held), held, device=device)


def sniff(data: bytes) -> Entry:
    """The codec that decodes files beginning like `data`.

    Raises:
        StreamError: none does.

    >>> sniff(b"RIFF\\0\\0\\0\\0WEBPVP8 ").name
    'webp'
    >>> sniff(b"\\0\\0\\0\\x18ftypheic\\0\\0\\0\\0mif1heic")
    Traceback (most recent call last):
    ...
    codeckit.primitives.errors.StreamError: not a stream that codeckit decodes: this is HEIC, a picture coded by HEVC; \
convert it, for example to PNG, or to AVIF
    """
    known = [*_loadable(plugins.declared(CODECS)), *_registered.values()]
    branded = set(brands(data))
    for each in known:
        if any(all(data[at : at + len(part)] == part for at, part in magic) for magic in each.magic):
            return each
        if branded.intersection(each.brands):
            return each
    if branded.intersection(_HEIC):
        raise StreamError(
            f"{_NO_STREAM}: this is HEIC, a picture coded by HEVC; convert it, for example to PNG, or to AVIF"
        )
    formats = ", ".join(sorted({each.extension for each in known if each.magic or each.brands}))
    raise StreamError(f"{_NO_STREAM}: neither .ckt nor {formats}")


@functools.cache
def reader(entry: Entry) -> Codec:
    """The codec of an entry in its default configuration, for decoding: one for all streams, since it is immutable."""
    return codec(entry.name)


def parse_spec(spec: str) -> tuple[str, dict[str, Any]]:
    """Name and options of a codec as command lines write it, ``NAME:OPTION=VALUE:OPTION=VALUE``.

    A part without ``=`` belongs to the value before it, or to a plug-in's id.

    >>> parse_spec("jpeg:subsampling=4:4:4:progressive=true:restart=8")
    ('jpeg', {'subsampling': '4:4:4', 'progressive': True, 'restart': 8})
    """
    name, *parts = spec.strip().split(":")
    if parts and "=" not in parts[0] and is_registered(f"{name}:{parts[0]}"):
        name = f"{name}:{parts.pop(0)}"
    texts: dict[str, str] = {}
    for part in parts:
        option, equals, value = part.partition("=")
        if equals:
            texts[option] = value
        elif texts:
            texts[next(reversed(texts))] += f":{part}"
        else:
            raise ValueError(f"{spec!r}: after the codec's name comes OPTION=VALUE, not {part!r}")
    return name, {option: _parse_value(text) for option, text in texts.items()}


def _parse_value(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
