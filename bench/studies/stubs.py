"""Write the stub of the public API: `__init__.pyi`, with an overload of `codec` for every codec's options.

Editors complete options from it, and type checkers check them. The options are those of the codecs' factories.

    python -m codeckit.bench.studies.stubs
"""

import functools
import inspect
import typing
from dataclasses import fields
from pathlib import Path
from types import NoneType

from ...codecs import registry
from ...codecs.base import Codec
from ...codecs.image_io import Reading
from ...primitives import plugins

#: Where the names of the public API come from.
NAMES = {
    "api": ("decode", "decode_video", "encode", "encode_video", "trace_video"),
    "bench.records": ("Measurement",),
    "bench.report": ("compare",),
    "bench.datasets": ("dataset",),
    "bench.sweep": ("evaluate",),
    "codecs.base": ("Codec",),
    "codecs.frames": ("read_video",),
    "codecs.image_io": ("Reading", "read_image", "read_metadata"),
    "codecs.info": ("info",),
    "codecs.registry": ("list_codecs", "register_codec"),
    "primitives.errors": ("DamageWarning", "ReadingError", "StreamError"),
}

SUBMODULES = ("bench", "codecs", "metrics", "pages", "primitives", "testing", "training")

HEAD = '''"""Types of the public API. Written by `python -m codeckit.bench.studies.stubs`; do not edit."""

from typing import Any, Literal, overload

{imports}

__version__: str
'''

OVERLOAD = '''@overload
def codec(
    name: Literal["{name}"],
{options}    **stages: Stage | str,
) -> {returned}:
    """{summary}."""
'''

REST = '''@overload
def codec(name: str, **options: Any) -> Codec:
    """Any other codec, such as a plug-in's or one that `register_codec` added."""
'''


def text(annotation) -> str:
    """An annotation as source."""
    if annotation in (inspect.Parameter.empty, typing.Any):
        return "Any"
    if annotation in (None, NoneType):
        return "None"
    if typing.get_origin(annotation) is typing.Literal:
        return f"Literal[{', '.join(map(_quoted, typing.get_args(annotation)))}]"
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__
    if typing.get_origin(annotation) in (typing.Union, type(int | str)):
        return " | ".join(dict.fromkeys(text(each) for each in typing.get_args(annotation)))
    arguments = ", ".join("..." if each is ... else text(each) for each in typing.get_args(annotation))
    return f"{typing.get_origin(annotation).__name__}[{arguments}]"


def _quoted(value) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def overload(name: str) -> str:
    """The overload of `codec` for one codec."""
    entry = registry.entry(name)
    factory = entry.load()
    function = factory.func if isinstance(factory, functools.partial) else factory
    hints = typing.get_type_hints(function)
    options = []
    for option, parameter in inspect.signature(factory).parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            options.append(f"    {option}: {text(hints.get(option, typing.Any))} = {_quoted(parameter.default)},\n")
    options.insert(0, "    *,\n")
    hints_of_reading = typing.get_type_hints(Reading)
    for field in fields(Reading):
        if field.name not in hints:
            options.append(f"    {field.name}: {text(hints_of_reading[field.name])} = {_quoted(field.default)},\n")
    returned = hints.get("return", Codec).__name__
    return OVERLOAD.format(name=name, options="".join(options), returned=returned, summary=entry.summary.rstrip("."))


def stub() -> str:
    """The stub's text."""
    names = [
        declaration.name
        for group in (registry.CODECS, registry.NETWORKS)
        for declaration in plugins.own(group).values()
    ]
    overloads = [overload(name) for name in names]
    imports = [f"from . import {name} as {name}" for name in SUBMODULES]
    imports += [
        f"from .{module} import {', '.join(f'{n} as {n}' for n in sorted(found))}"
        for module, found in sorted(NAMES.items())
    ]
    text = "\n".join(overloads)
    imports += [
        f"from .codecs.tokens.{module} import {kind}"
        for module, kind in (("codec", "TokenCodec"), ("fsq", "TokenizerCodec"))
        if f"-> {kind}:" in text
    ]
    imports.append("from .primitives.stage import Stage")
    if "PathLike" in text:
        imports.append("from os import PathLike")
    return "\n".join((HEAD.format(imports="\n".join(imports)), *overloads, REST))


def main():
    import subprocess
    import sys

    path = Path(__file__).parents[2] / "__init__.pyi"
    path.write_text(stub(), encoding="utf-8")
    for command in (["check", "--fix", "--quiet", "--ignore", "E501"], ["format", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, str(path)], check=True)
    print(f"{path}: {path.read_text().count('@overload')} overloads")


if __name__ == "__main__":
    main()
