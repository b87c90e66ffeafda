"""Questions about scenes, with answers that only the picture tells.

A question is a tuple of words of one vocabulary (`VOCABULARY`), and so is its answer: one word, or three letters. There
are seven categories, after the benchmarks that multimodal models are judged by:

============  ============  ============================================================================  ======
category      after         asks                                                                          chance
============  ============  ============================================================================  ======
existence     POPE          is there a dog? a red circle? (absent: any, or a shape in another colour)     1/2
perception    MME           pairs, one yes and one no, on colour, place or number                         1/2
reading       TextVQA       the letters of the word that is leftmost, rightmost, highest or lowest        ≈ 0
place         SEED-Bench    in which quarter is it? on which side of another object is it?                1/4
choice        ScienceQA     which of A, B, C and D is the colour of the square, or is in the picture?     1/4
unanswerable  VizWiz        the colour of the triangle, if there is one; else "none"                      1/3
counting      SEED-Bench    how many shapes, words or photographs are there?                              ≤ 1/3
============  ============  ============================================================================  ======

**No answer is in the words.** Answers are balanced given the question: "is there a red circle?" is as often answered by
yes as by no. Questions on an object are asked only where the picture decides: of an object near a border between two
quarters nobody asks in which it lies.

Sources: Y. Li et al., "Evaluating Object Hallucination in Large Vision-Language Models" (POPE), EMNLP 2023; C. Fu et
al., "MME", 2023; A. Singh et al., "Towards VQA Models That Can Read" (TextVQA), CVPR 2019; B. Li et al., "SEED-Bench",
CVPR 2024; P. Lu et al., "Learn to Explain" (ScienceQA), NeurIPS 2022; D. Gurari et al., "VizWiz Grand Challenge", CVPR
2018.

>>> from codeckit.metrics.tasks.scenes.scene import draw_scene
>>> question = ask(draw_scene(np.random.default_rng(3)))[0]
>>> question.words, question.answer
(('is', 'there', 'a', 'red', 'circle', '?'), ('yes',))
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from .scene import CLASSES, COLOURS, COUNTS, LETTERS, SHAPES, SIDE, Scene, Thing

#: Categories, and how many questions of each are asked of a picture: 24.
CATEGORIES = {
    "existence": 4, "perception": 4, "reading": 3, "place": 4, "choice": 4, "unanswerable": 2, "counting": 3,
}  # fmt: skip

_NUMBERS = ("zero", "one", "two", "three", "four", "five")
_QUARTERS = ("top-left", "top-right", "bottom-left", "bottom-right")
_SIDES = ("left", "right", "above", "below")
_EXTREMES = ("leftmost", "rightmost", "highest", "lowest")
_PLURALS = {"photo": "photos", "shape": "shapes", "word": "words"}
_WORDS = (
    "yes", "no", "none", "is", "there", "a", "the", "what", "which", "where", "how", "many", "are", "color", "from",
    "written", "only", "letter", "first", "second", "third", "in", "half", "?", ":",
)  # fmt: skip

#: All words; the first fills short sequences. Letters serve words to be read and choices.
VOCABULARY = (
    "", *_WORDS, *CLASSES, *SHAPES, *COLOURS, *LETTERS, *_NUMBERS, *_QUARTERS, *_SIDES, *_EXTREMES, *_PLURALS.values(),
    "top", "bottom",
)  # fmt: skip

#: Words of the longest question, and of the longest answer.
LONGEST, ANSWER = 15, 3


@dataclass(frozen=True)
class Question:
    """A question and its answer.

    Attributes:
        category: one of `CATEGORIES`.
        words: of the question.
        answer: one word, or three letters.
        pair: number of the pair that it belongs to; −1 for none.
        about: the objects that the answer rests on; none where it rests on the absence of some.
        letter: which of its letters the answer is, if it is one; else −1.
    """

    category: str
    words: tuple[str, ...]
    answer: tuple[str, ...]
    pair: int = -1
    about: tuple[Thing, ...] = ()
    letter: int = -1


def options(question: Question) -> int:
    """How many answers are possible, all equally likely before the picture is seen.

    >>> options(Question("reading", ("what", "is", "written", "only", "?"), ("A", "B", "C")))
    8000
    """
    if question.category in ("existence", "perception"):
        return 2
    if question.category == "unanswerable":
        return len(COLOURS) + 1  # nearly: "none" is more frequent than each colour
    if question.category == "counting":
        return len(COUNTS[next(kind for kind, plural in _PLURALS.items() if plural == question.words[2])])
    return len(LETTERS) ** len(question.answer) if question.category == "reading" else 4


Maker = Callable[[Scene, np.random.Generator], Iterator[Question]]


def ask(scene: Scene, seed: int | None = None) -> list[Question]:
    """The 24 questions about a scene, by category; fewer where the scene has no more to ask about.

    Args:
        scene: it.
        seed: of the choices; by default the scene's own, so that all ask the same.
    """
    rng = np.random.default_rng((scene.seed if seed is None else seed, 24))
    asked = []
    for category, count in CATEGORIES.items():
        found: dict[tuple[str, ...], Question] = {}
        for _ in range(8 * count):  # a maker may find nothing to ask, or what has been asked
            made = list(_MAKERS[category](scene, rng))
            if len(found) + len(made) <= count and not any(question.words in found for question in made):
                found |= {question.words: question for question in made}
        asked += found.values()
    return asked


def easy(scene: Scene, rng: np.random.Generator) -> list[Question]:
    """Two questions for training alone: what one object is, and one letter; steps towards existence and reading."""
    thing = scene.objects[rng.integers(len(scene.objects))]
    quarter = _quarter(thing)
    asked = []
    if thing.kind != "word" and quarter and sum(_quarter(each) == quarter for each in scene.objects) == 1:
        asked.append(Question("easy", ("what", "is", quarter, "?"), (thing.name,), about=(thing,)))
    return [*asked, _letter(scene, rng)]


def _existence(scene, rng) -> Iterator[Question]:
    """Of a class or a pair of colour and shape; the absent one any, or one whose shape or colour is there."""
    present = rng.random() < 0.5
    shown = {thing.words for thing in scene.objects if thing.kind != "word"}
    if rng.random() < 0.4:
        if not scene.all("photo"):
            return
        names = [(name,) for name in CLASSES]
        pool = [name for name in names if (name in shown) == present]
    elif rng.random() < 0.4:
        there = {thing.name for thing in scene.all("shape")}
        pool = [(shape,) for shape in SHAPES if (shape in there) == present]
    else:
        there, colours = ({thing.name for thing in scene.all("shape")}, {t.colour for t in scene.all("shape")})
        pool = [
            (colour, shape)
            for colour in COLOURS
            for shape in SHAPES
            if ((colour, shape) in shown) == present and (present or shape in there or colour in colours)
        ]
    words = pool[rng.integers(len(pool))]
    about = tuple(thing for thing in scene.objects if words in (thing.words, (thing.name,)))
    yield Question("existence", ("is", "there", "a", *words, "?"), ("yes" if present else "no",), about=about)


def _perception(scene, rng) -> Iterator[Question]:
    """A pair with one yes and one no."""
    kind = rng.integers(3)
    if kind == 0:
        thing = _lone_shape(scene, rng)
        about = (thing,)
        wrong = _other(rng, COLOURS, thing.colour)
        pair = [("is", "the", thing.name, colour, "?") for colour in (thing.colour, wrong)]
    elif kind == 1:
        thing = _named(scene, rng)
        about = (thing,)
        axis = int(rng.integers(2))
        if abs(thing.centre[axis] - SIDE / 2) < 16:
            return
        names = ("left", "right") if axis == 0 else ("top", "bottom")
        right = names[int(thing.centre[axis] > SIDE / 2)]
        halves = (right, _other(rng, names, right))
        pair = [("is", "the", *thing.words, "in", "the", half, "half", "?") for half in halves]
    else:
        about, kind, count = _count(scene, rng)
        wrong = _other(rng, [_NUMBERS[n] for n in COUNTS[kind]], count)
        pair = [("are", "there", number, _PLURALS[kind], "?") for number in (count, wrong)]
    mark = int(rng.integers(1 << 31))
    for n in rng.permutation(2):
        yield Question("perception", pair[n], (("yes", "no")[n],), mark, about)


def _reading(scene, rng) -> Iterator[Question]:
    """All letters of a word, or now and then one of them."""
    if rng.random() < 0.25:
        yield _letter(scene, rng)
        return
    thing, address = _addressed(scene, rng)
    yield Question("reading", ("what", "is", "written", *address, "?"), tuple(thing.name), about=(thing,))


def _letter(scene, rng) -> Question:
    thing, address = _addressed(scene, rng)
    n = int(rng.integers(3))
    words = ("which", "is", "the", ("first", "second", "third")[n], "letter", *address, "?")
    return Question("reading", words, (thing.name[n],), about=(thing,), letter=n)


def _place(scene, rng) -> Iterator[Question]:
    """A quarter, or the side of another object."""
    thing = _named(scene, rng)
    if rng.random() < 0.5:
        quarter = _quarter(thing)
        if quarter:
            yield Question("place", ("where", "is", "the", *thing.words, "?"), (quarter,), about=(thing,))
        return
    other = _named(scene, rng)
    x, y = (a - b for a, b in zip(thing.centre, other.centre, strict=True))
    if thing != other and max(abs(x), abs(y)) > 1.5 * min(abs(x), abs(y)):
        side = _SIDES[int(x > 0)] if abs(x) > abs(y) else _SIDES[2 + int(y > 0)]
        words = ("where", "is", "the", *thing.words, "from", "the", *other.words, "?")
        yield Question("place", words, (side,), about=(thing, other))


def _choice(scene, rng) -> Iterator[Question]:
    """Four options, one of which is right."""
    if scene.all("photo") and rng.random() < 0.5:
        shown = [thing.name for thing in scene.all("photo")]
        thing = scene.all("photo")[rng.integers(len(shown))]
        right = thing.name
        question, options = ("which", "is", "there", ":"), [name for name in CLASSES if name not in shown]
    else:
        thing = _lone_shape(scene, rng)
        right = thing.colour
        question, options = ("which", "color", "is", "the", thing.name, ":"), [c for c in COLOURS if c != right]
    options = [options[n] for n in rng.permutation(len(options))[:3]]
    place = int(rng.integers(4))
    options.insert(place, right)
    words = tuple(word for letter, option in zip("ABCD", options, strict=True) for word in (letter, option))
    yield Question("choice", (*question, *words, "?"), ("ABCD"[place],), about=(thing,))


def _unanswerable(scene, rng) -> Iterator[Question]:
    """The colour of a shape that is there once, or of one that is not there."""
    if rng.random() < 1 / 4:  # a third of what `ask` keeps, which has no question twice
        there = {thing.name for thing in scene.all("shape")}
        absent = [shape for shape in SHAPES if shape not in there]
        shape, answer, about = absent[rng.integers(len(absent))], "none", ()
    else:
        thing = _lone_shape(scene, rng)
        shape, answer, about = thing.name, thing.colour, (thing,)
    yield Question("unanswerable", ("what", "color", "is", "the", shape, "?"), (answer,), about=about)


def _counting(scene, rng) -> Iterator[Question]:
    about, kind, count = _count(scene, rng)
    yield Question("counting", ("how", "many", _PLURALS[kind], "are", "there", "?"), (count,), about=about)


_MAKERS: dict[str, Maker] = {
    "existence": _existence,
    "perception": _perception,
    "reading": _reading,
    "place": _place,
    "choice": _choice,
    "unanswerable": _unanswerable,
    "counting": _counting,
}


def _count(scene, rng) -> tuple[tuple[Thing, ...], str, str]:
    """Objects of a kind of which there could be several numbers, the kind, and the number as a word."""
    kind = ("shape", "word", "photo")[rng.integers(3)]
    things = tuple(scene.all(kind))
    return things, kind, _NUMBERS[len(things)]


def _lone_shape(scene, rng) -> Thing:
    """A shape that is there once."""
    shapes = scene.all("shape")
    names = [thing.name for thing in shapes]
    lone = [thing for thing in shapes if names.count(thing.name) == 1]
    return lone[rng.integers(len(lone))]


def _named(scene, rng) -> Thing:
    """A photograph or a shape."""
    named = [thing for thing in scene.objects if thing.kind != "word"]
    return named[rng.integers(len(named))]


def _addressed(scene, rng) -> tuple[Thing, tuple[str, ...]]:
    """A word, and how to find it: the only one, or the one furthest to a side."""
    words = scene.all("word")
    if len(words) == 1:
        return words[0], ("only",)
    extreme = int(rng.integers(4))
    axis, sign = extreme // 2, (1, -1)[extreme % 2]
    order = sorted(words, key=lambda thing: sign * thing.centre[axis])
    if abs(order[0].centre[axis] - order[1].centre[axis]) < 8:
        return _addressed(scene, rng)
    return order[0], (_EXTREMES[extreme],)


def _quarter(thing: Thing) -> str:
    """The quarter of the picture that its middle is in; none near a border."""
    x, y = thing.centre
    if min(abs(x - SIDE / 2), abs(y - SIDE / 2)) < 12:
        return ""
    return _QUARTERS[2 * int(y > SIDE / 2) + int(x > SIDE / 2)]


def _other(rng, values: Iterable[str], one: str) -> str:
    others = [value for value in values if value != one]
    return others[rng.integers(len(others))]
