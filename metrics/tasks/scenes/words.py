"""Questions as numbers of words, which the language model reads, and its answers as words again."""

from collections.abc import Sequence

from .questions import VOCABULARY, Question

_NUMBERS = {word: number for number, word in enumerate(VOCABULARY)}


def numbers(words: Sequence[str]) -> list[int]:
    """Numbers of words: the inverse of `spelled`.

    >>> spelled(numbers(("is", "there", "a", "dog", "?")))
    ('is', 'there', 'a', 'dog', '?')
    """
    return [_NUMBERS[word] for word in words]


def spelled(found: Sequence[int]) -> tuple[str, ...]:
    """Words of numbers."""
    return tuple(VOCABULARY[number] for number in found)


def taught(questions: Sequence[Question]) -> list[tuple[list[int], list[int]]]:
    """Questions with all words of their answers but the last, as `primitives.tokens.mllm.texts` takes them."""
    return [(numbers(question.words), numbers(question.answer[:-1])) for question in questions]
