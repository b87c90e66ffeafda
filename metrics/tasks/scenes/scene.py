"""Scenes: pictures made by code of photographs, shapes and words, with the exact truth of what they show.

A scene is 256×256 pixels: a background, and on it objects that do not overlap.

=========  ==============================================================  ==========
kind       what                                                            in a scene
=========  ==============================================================  ==========
"photo"    a square photograph of one of ten classes (`CLASSES`)           0 … 2
"shape"    one of four shapes in one of eight colours                      2 … 5
"word"     three of twenty letters on a plate                              1 … 3
=========  ==============================================================  ==========

**Fairness.** How many objects of a kind there are, where they lie, which classes, colours and letters they have: all is
drawn uniformly and independently, so that no question about a scene can be answered from the words of the question. No
two shapes have both shape and colour in common, and no two photographs the class, so names are unique. One of the four
shapes is always missing, and one of those there is always alone.

**Truth** is text: `Scene.label` is JSON, which a folder's labels.csv can hold, and `Scene.of` reads it.

>>> scene = draw_scene(np.random.default_rng(1))
>>> Scene.of(scene.label) == scene, scene.objects[0].kind in KINDS
(True, True)
>>> render(scene).shape
(256, 256, 3)
"""

import functools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ....codecs.image_io import picture_files, read_image

#: Side of a scene in pixels.
SIDE = 256

KINDS = ("photo", "shape", "word")

#: Imagenette's ten classes in the order of their WordNet numbers, as one word each.
CLASSES = ("fish", "dog", "radio", "saw", "church", "horn", "truck", "pump", "ball", "parachute")

SHAPES = ("circle", "square", "triangle", "cross")

#: Colours in sRGB.
COLOURS = {
    "red": (214, 36, 36),
    "green": (38, 160, 60),
    "blue": (36, 84, 214),
    "yellow": (242, 214, 30),
    "orange": (246, 134, 22),
    "purple": (142, 48, 176),
    "white": (246, 246, 246),
    "black": (14, 14, 14),
}

#: Letters of words: those that are not easily taken for another.
LETTERS = "ABCDEFGHJKLMNPRSTUXY"

#: Numbers of objects of a kind, all equally likely.
COUNTS = {"photo": (0, 1, 2), "shape": (2, 3, 4, 5), "word": (1, 2, 3)}

#: Sides of objects in pixels, lowest and highest. Of a word it is the height of its plate.
_SIZES = {"photo": (64, 88), "shape": (26, 46), "word": (28, 38)}

#: Pixels between two objects, and between an object and the edge.
_GAP = 4


@dataclass(frozen=True)
class Thing:
    """An object of a scene.

    Attributes:
        kind: one of `KINDS`.
        name: class of a photograph, shape, or letters of a word.
        colour: of a shape; empty for others.
        box: left, top, width and height in pixels.
        source: which of the photographs of its class; 0 for others.
    """

    kind: str
    name: str
    colour: str
    box: tuple[int, int, int, int]
    source: int = 0

    @property
    def centre(self) -> tuple[float, float]:
        """x and y of its middle."""
        left, top, width, height = self.box
        return left + width / 2, top + height / 2

    @property
    def words(self) -> tuple[str, ...]:
        """What a question calls it: ``("dog",)``, ``("red", "circle")``."""
        return (self.colour, self.name) if self.colour else (self.name,)


@dataclass(frozen=True)
class Scene:
    """The truth of a picture.

    Attributes:
        seed: of the questions about it, and of what the background draws.
        background: which of the background photographs; −1 for a gradient.
        objects: in the order in which they are painted.
    """

    seed: int
    background: int
    objects: tuple[Thing, ...]

    @property
    def label(self) -> str:
        """The scene as JSON on one line: the inverse of `of`."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def of(cls, label: str) -> "Scene":
        """The scene of a label.

        Raises:
            ValueError: it is none.
        """
        try:
            said = json.loads(label)
            things = tuple(Thing(**{**each, "box": tuple(each["box"])}) for each in said["objects"])
            return cls(int(said["seed"]), int(said["background"]), things)
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"no scene is described by the label {str(label)[:40]!r}") from error

    def all(self, kind: str) -> list[Thing]:
        """Its objects of a kind."""
        return [thing for thing in self.objects if thing.kind == kind]


@dataclass(frozen=True, eq=False)
class Photographs:
    """The photographs that scenes are made of.

    Attributes:
        classes: files of each of `CLASSES`; empty for scenes without photographs.
        backgrounds: files of backgrounds; empty for gradients.
    """

    classes: tuple[tuple[Path, ...], ...] = ()
    backgrounds: tuple[Path, ...] = ()

    @classmethod
    def of(cls, objects=None, backgrounds: Sequence = ()) -> "Photographs":
        """Those of folders.

        Args:
            objects: a folder with ten folders, one a class in the order of `CLASSES`, such as Imagenette's.
            backgrounds: folders of photographs that show nothing of these classes.

        Raises:
            ValueError: not ten folders.
        """
        classes: tuple[tuple[Path, ...], ...] = ()
        if objects is not None:
            folders = sorted(path for path in Path(objects).iterdir() if path.is_dir())
            if len(folders) != len(CLASSES):
                raise ValueError(f"{objects} has {len(folders)} folders; scenes need ten, one for each class")
            classes = tuple(tuple(picture_files(folder)) for folder in folders)
        return cls(classes, tuple(path for folder in backgrounds for path in picture_files(folder, recursive=True)))


NONE = Photographs()


def draw_scene(rng: np.random.Generator, photographs: Photographs = NONE) -> Scene:
    """A scene at random.

    Args:
        rng: makes all choices.
        photographs: what there is to choose from.
    """
    numbers = {kind: int(rng.choice(counts)) for kind, counts in COUNTS.items()}
    if not photographs.classes:
        numbers["photo"] = 0
    things = [("photo", CLASSES[n], "") for n in rng.permutation(len(CLASSES))[: numbers["photo"]]]
    things += [("shape", *each) for each in _draw_shapes(rng, numbers["shape"])]
    things += [("word", "".join(rng.choice(list(LETTERS), 3)), "") for _ in range(numbers["word"])]
    boxes = None
    while boxes is None:
        boxes = _draw_boxes(rng, [kind for kind, *_ in things])
    objects = tuple(
        Thing(kind, name, colour, box, _draw_source(rng, kind, name, photographs))
        for (kind, name, colour), box in zip(things, boxes, strict=True)
    )
    background = int(rng.integers(len(photographs.backgrounds))) if photographs.backgrounds else -1
    return Scene(int(rng.integers(1 << 31)), background, objects)


def _draw_shapes(rng, count) -> list[tuple[str, str]]:
    """Different pairs of shape and colour: one shape is missing, one stands alone."""
    kinds = [SHAPES[n] for n in rng.permutation(len(SHAPES))[:3]]
    alone, others = kinds[0], kinds[1:]
    pairs = {(alone, str(rng.choice(list(COLOURS))))}
    while len(pairs) < count:
        pairs.add((str(rng.choice(others)), str(rng.choice(list(COLOURS)))))
    return [sorted(pairs)[n] for n in rng.permutation(count)]


def _draw_boxes(rng, kinds) -> list[tuple[int, int, int, int]] | None:
    """A place for each object; None where there is no room left."""
    taken = np.zeros((SIDE, SIDE), bool)
    boxes = []
    for kind in kinds:
        low, high = _SIZES[kind]
        height = int(rng.integers(low, high + 1))
        width = round(height * 1.9) if kind == "word" else height
        for _ in range(200):
            left = int(rng.integers(_GAP, SIDE - _GAP - width + 1))
            top = int(rng.integers(_GAP, SIDE - _GAP - height + 1))
            if not taken[top - _GAP : top + height + _GAP, left - _GAP : left + width + _GAP].any():
                break
        else:
            return None
        taken[top : top + height, left : left + width] = True
        boxes.append((left, top, width, height))
    return boxes


def _draw_source(rng, kind, name, photographs) -> int:
    return int(rng.integers(len(photographs.classes[CLASSES.index(name)]))) if kind == "photo" else 0


def render(scene: Scene, photographs: Photographs = NONE) -> np.ndarray:
    """The picture of a scene, uint8 [256,256,3]; the same for the same scene and photographs."""
    rng = np.random.default_rng(scene.seed)
    canvas = Image.fromarray(_background(rng, scene, photographs))
    for thing in scene.objects:
        left, top, width, height = thing.box
        if thing.kind == "photo":
            path = photographs.classes[CLASSES.index(thing.name)][thing.source]
            canvas.paste(_square(path).resize((width, height), Image.Resampling.LANCZOS), (left, top))
        elif thing.kind == "shape":
            mask = _shape(thing.name).resize((width, height), Image.Resampling.BOX)
            canvas.paste(COLOURS[thing.colour], (left, top), mask)
        else:
            canvas.paste(_plate(rng, thing.name, width, height), (left, top))
    return np.asarray(canvas)


def _background(rng, scene, photographs) -> np.ndarray:
    """A part of a photograph, or a gradient with noise; pale enough that objects stand out."""
    if scene.background >= 0:
        image = _opened(photographs.backgrounds[scene.background])
        side = min(image.size)
        left, top = (int(rng.integers(extent - side + 1)) for extent in image.size)
        image = image.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        pixels = np.asarray(image, np.float32)
        return (0.75 * pixels + 0.25 * 128).astype(np.uint8)
    corners = rng.uniform(60, 200, (2, 2, 3))
    x, y = np.linspace(0, 1, SIDE)[None, :, None], np.linspace(0, 1, SIDE)[:, None, None]
    rows = [corners[n, 0] * (1 - x) + corners[n, 1] * x for n in (0, 1)]
    pixels = rows[0] * (1 - y) + rows[1] * y + rng.normal(0, 4, (SIDE, SIDE, 3))
    return pixels.clip(0, 255).astype(np.uint8)


@functools.lru_cache(maxsize=4096)
def _square(path) -> Image.Image:
    """The middle of a photograph, 96×96 pixels."""
    image = _opened(path)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side)).resize((96, 96), Image.Resampling.LANCZOS)


@functools.lru_cache(maxsize=512)
def _opened(path) -> Image.Image:
    return Image.fromarray(read_image(path)).convert("RGB")


@functools.cache
def _shape(name: str) -> Image.Image:
    """The mask of a shape, 512×512."""
    mask = Image.new("L", (512, 512))
    draw = ImageDraw.Draw(mask)
    if name == "circle":
        draw.ellipse((0, 0, 511, 511), 255)
    elif name == "square":
        draw.rectangle((24, 24, 487, 487), 255)
    elif name == "triangle":
        draw.polygon([(256, 8), (511, 503), (0, 503)], 255)
    else:
        draw.rectangle((176, 0, 335, 511), 255)
        draw.rectangle((0, 176, 511, 335), 255)
    return mask


def _plate(rng, letters: str, width: int, height: int) -> Image.Image:
    """Letters on a plate, dark on light or light on dark, each in its third of the plate."""
    light, dark = int(rng.integers(215, 256)), int(rng.integers(0, 40))
    paper, ink = (light, dark) if rng.random() < 0.5 else (dark, light)
    plate = Image.new("RGB", (width, height), (paper,) * 3)
    draw, font = ImageDraw.Draw(plate), ImageFont.load_default(round(height * 0.82))
    for n, letter in enumerate(letters):
        draw.text((width * (2 * n + 1) / 6, height / 2), letter, (ink,) * 3, font, anchor="mm")
    return plate


#: Classes of a cell of the picture: nothing, or what covers most of it (`cell_truth`).
CELL_KINDS = ("", *CLASSES, *SHAPES, "word")
CELL_COLOURS = ("", *COLOURS)
CELL_LETTERS = ("", *LETTERS)


def cell_truth(scene: Scene, cells: int = 16) -> np.ndarray:
    """What lies in each square cell: indices into `CELL_KINDS`, `CELL_COLOURS`, `CELL_LETTERS`; uint8 [3,cells,cells].

    A cell belongs to an object that covers at least three tenths of it, and to the letter that covers most of it.
    """
    truth = np.zeros((3, cells, cells), np.uint8)
    for thing in scene.objects:
        inside = cells_of(thing, cells=cells)
        truth[0][inside] = CELL_KINDS.index("word" if thing.kind == "word" else thing.name)
        if thing.kind == "shape":
            truth[1][inside] = CELL_COLOURS.index(thing.colour)
        elif thing.kind == "word":
            for n, letter in enumerate(thing.name):
                truth[2][cells_of(thing, n, cells)] = CELL_LETTERS.index(letter)
    return truth


def cells_of(thing: Thing, letter: int = -1, cells: int = 16) -> np.ndarray:
    """Cells of an object, or of one letter of a word: those that it covers to three tenths; bool [cells,cells]."""
    side = SIDE // cells
    edges = np.arange(cells) * side
    left, top, width, height = thing.box
    rows = (np.minimum(edges + side, top + height) - np.maximum(edges, top)).clip(0)
    columns = (np.minimum(edges + side, left + width) - np.maximum(edges, left)).clip(0)
    inside = np.outer(rows, columns) >= 0.3 * side * side
    if letter >= 0:
        inside &= ((edges + side / 2 - left) * 3 / width).clip(0, 2).astype(int) == letter
    return inside


def presence(scene: Scene) -> np.ndarray:
    """What a scene shows: 1 or 0 of each class, each shape, and each pair of shape and colour; float32 [46]."""
    shown = {thing.words for thing in scene.objects}
    names = {thing.name for thing in scene.objects}
    pairs = [(colour, shape) in shown for shape in SHAPES for colour in COLOURS]
    return np.array([name in names for name in (*CLASSES, *SHAPES)] + pairs, np.float32)
