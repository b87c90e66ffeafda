"""What all pages are made of: the page around its parts, sections, pictures with captions, text."""

import html
import inspect
import json
from importlib.resources import files
from pathlib import Path

from .pictures import SIDE, View, data_uri, fitted

THEME_BUTTON = '<button id="theme" type="button" aria-label="light or dark">◐</button>'


def page(title: str, body: str, scripts=()) -> str:
    """A whole HTML page around `body`, with the style and the named scripts of this folder inlined."""
    held = files(__package__)
    style = held.joinpath("style.css").read_text(encoding="utf-8")
    script = "\n".join(held.joinpath(name).read_text(encoding="utf-8") for name in ("page.js", *scripts))
    icon = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escaped(title)}</title>\n<link rel="icon" href="{icon}">\n<style>\n{style}</style>\n</head>\n'
        f"<body>\n{body}\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def column_section(identifier, heading, lead, contents, explained):
    """A section with a column for each codec, under its `label` where there are several."""
    parts = []
    for one, content in zip(explained, contents, strict=True):
        head = f'<h3 class="codec">{escaped(one.label)}</h3>' if len(explained) > 1 else ""
        parts.append(f'<div class="column">{head}{content}</div>')
    return (
        f'<section id="{identifier}"><h2>{heading}</h2><p class="lead">{lead}</p>'
        f'<div class="columns n{len(parts)}">{"".join(parts)}</div></section>'
    )


def figure_of(view: View, widest: int = 0, side: int = SIDE) -> str:
    """A picture with its caption; in a row with wider ones it is shown smaller in proportion."""
    image = fitted(view.image, side)
    height, width = image.shape[:2]
    share = view.image.shape[1] / widest if widest and not view.pixelated else 1
    style = f' style="max-width:max(150px, {400 * share:.0f}px)"' if share < 1 else ""
    kind = ' class="pixelated"' if view.pixelated else ""
    enlarged = max(1, 384 // max(height, width)) if view.pixelated else 1
    quality = None if view.pixelated and image.size < 60_000 else 78
    return (
        f'<figure{style}><img{kind} loading="lazy" width="{width * enlarged}" height="{height * enlarged}" '
        f'src="{data_uri(image, quality)}" alt="{escaped(view.caption)}">'
        f"<figcaption>{escaped(view.caption)}</figcaption></figure>"
    )


def first_paragraph(stage_class) -> str:
    """The first paragraph of a class's docstring as text of a page."""
    text = inspect.cleandoc(stage_class.__doc__ or "").partition("\n\n")[0]
    return escaped(" ".join(text.split())).replace("``", "").replace("`", "")


def label_of(codec) -> str:
    """A codec's name and setting, in words; paths by their last part."""
    return ", ".join([codec.name, *(f"{name} {_last_part(value)}" for name, value in codec.setting.items())])


def _last_part(value):
    return Path(value).name if isinstance(value, str) and ("/" in value or "\\" in value) else value


def escaped(text) -> str:
    """Text as it can stand in HTML."""
    return html.escape(str(text), quote=True)


def embedded_json(data) -> str:
    """JSON that can stand in a script element."""
    return json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")


def counted(number) -> str:
    """A number with spaces between thousands.

    >>> counted(1234567)
    '1 234 567'
    """
    return f"{number:,.0f}".replace(",", " ")
