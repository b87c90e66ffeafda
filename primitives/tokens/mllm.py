"""A small multimodal language model: a vision tower, a projector, and a causal language model that reads its tokens.

::

    picture ─ stem ─ tower: 4 blocks ─ tokens [256,192] ─ projector ─ [256,160] ┐
              16×16 px: 1 token                                                 ├─ 12 blocks ─ next words
                                         question, answer ─ word embedding ─────┘

This is LLaVA's plan (H. Liu et al., "Visual Instruction Tuning", NeurIPS 2023) at a thousandth of its size. The
language model is twelve *thin* layers, so that what happens after its second layer happens early, as in the large ones:
methods that drop visual tokens inside of the language model (FastV, PyramidDrop) pay for a sixth of it, not for half.

**One sequence for all questions.** The tokens of a picture stand at the beginning. Each question sees them and itself,
and no other question, and its words count their positions from its own question mark. So all questions of a picture
cost one pass over its tokens. Visual tokens have their positions from the tower; whoever drops some needs no others.

**Order.** Visual tokens see those before them, a word sees all visual tokens and the words before it.
"""

import functools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..weights import check_fingerprint, fingerprint, read_tensors, write_tensors
from .vit import Block, TowerBackbone, VisionTower, VitSize, load_stem


@dataclass(frozen=True)
class LanguageSize:
    """The dimensions of a `LanguageModel`.

    Attributes:
        words: in the vocabulary; number 0 is the filler.
        before: words of the longest question.
        after: words of the longest answer.
        visual: channels of the tower's tokens.
        channels, heads, layers: of the language model.
        hidden: of its perceptrons, as a multiple of `channels`.
    """

    words: int
    before: int
    after: int
    visual: int = 192
    channels: int = 160
    heads: int = 5
    layers: int = 12
    hidden: int = 4


class Texts(NamedTuple):
    """Questions about pictures, those of one picture side by side, int64 [B,L] all.

    Attributes:
        words: numbers of words; 0 where there is none.
        place: of a word, counted from its question mark: 0 for this, 1 for the answer's first word; −1 for the word
            before.
        which: number of the question within the picture; −1 for a filler.
    """

    words: Tensor
    place: Tensor
    which: Tensor


def texts(batch: Sequence[Sequence[tuple[Sequence[int], Sequence[int]]]]) -> Texts:
    """`Texts` of numbers of words: for each picture, for each question, its words and those of the answer that follow.

    >>> texts([[([5, 9], [3])], [([4, 6, 9], []), ([9], [])]])
    Texts(words=tensor([[5, 9, 3, 0],
            [4, 6, 9, 9]]), place=tensor([[-1,  0,  1,  0],
            [-2, -1,  0,  0]]), which=tensor([[ 0,  0,  0, -1],
            [ 0,  0,  0,  1]]))
    """
    rows = []
    for picture in batch:
        rows.append(
            [
                (word, place, number)
                for number, (question, answer) in enumerate(picture)
                for place, word in enumerate((*question, *answer), 1 - len(question))
            ]
        )
    length = max(map(len, rows))
    return Texts(*torch.tensor([row + [(0, 0, -1)] * (length - len(row)) for row in rows]).unbind(2))


@dataclass
class Inside:
    """The inside of a language model before one of its layers, for rules that drop visual tokens there.

    Attributes:
        layer: number of layers passed.
        x: hidden states [B,K+L,C], those of the K visual tokens first.
        kept: which of the visual tokens are left, [B,K].
        block: the layer passed last.
        before: the hidden states before it.
        bias: the mask of that layer, [B,1,L,K+L].
    """

    layer: int
    x: Tensor
    kept: Tensor
    block: Block
    before: Tensor
    bias: Tensor

    @property
    def attention(self) -> Tensor:
        """What the last word's attention in the last layer gave to each visual token, mean over the heads: [B,K]."""
        return self._looks(slice(None), slice(-1, None))[:, :, 0, : self.kept.shape[1]].mean(1)

    def looks(self, head: int) -> Tensor:
        """What each word's attention in one head of the last layer gave to visual tokens and words: [B,L,K+L]."""
        return self._looks(slice(head, head + 1), slice(self.kept.shape[1], None))[:, 0]

    def _looks(self, heads: slice, words: slice) -> Tensor:
        """Attention [B,heads,words,K+L] in the last layer; `words` counts visual tokens, too, or from the end."""
        q, k, _ = self.block.attention.split(self.block.norm1(self.before))
        scores = q[:, heads, words] @ k[:, heads].transpose(2, 3) * q.shape[3] ** -0.5
        return (scores + self.bias[:, :, -scores.shape[2] :]).float().softmax(3)

    @property
    def keys(self) -> Tensor:
        """Keys of the last layer, of all heads side by side: [B,K+L,C]."""
        return self.block.attention.split(self.block.norm1(self.before))[1].transpose(1, 2).flatten(2)


#: Says which of the visual tokens stay: positions [B,K'] among those that are left, ascending; None for all of them.
Rule = Callable[[Inside], Tensor | None]


class LanguageModel(nn.Module):
    """Visual tokens and words to what the next word is.

    >>> model = LanguageModel(LanguageSize(10, 3, 1, visual=8, channels=12, heads=2, layers=2)).eval()
    >>> asked = texts([[([5, 9], []), ([4, 6, 9], [])]])
    >>> model(torch.zeros(1, 16, 8), asked).shape
    torch.Size([1, 5, 10])
    """

    def __init__(self, size: LanguageSize):
        super().__init__()
        self.size = size
        self.projector = nn.Sequential(
            nn.LayerNorm(size.visual),
            nn.Linear(size.visual, size.channels),
            nn.GELU(),
            nn.Linear(size.channels, size.channels),
        )
        self.words = nn.Embedding(size.words, size.channels)
        self.places = nn.Parameter(0.3 * torch.randn(size.before + size.after, size.channels))
        self.layers = nn.ModuleList(Block(size.channels, size.heads, size.hidden) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.channels)
        self._begin()

    def _begin(self):
        """Layers keep the size of what passes; branches add to it so little that all of them together double it."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.words.weight, std=self.size.channels**-0.5)
        for block in self.layers:
            for last in (block.attention.out, block.perceptron[2]):
                nn.init.normal_(last.weight, std=(2 * self.size.layers * last.in_features) ** -0.5)

    def forward(self, visual: Tensor, asked: Texts, rule: Rule | None = None) -> Tensor:
        """Logits of the next word at each word, [B,L,words].

        Args:
            visual: tokens of the tower, [B,K,visual].
            asked: what is asked; with a rule, one question a picture, all of one length.
            rule: drops visual tokens before layers, the first excepted.
        """
        place = asked.place + self.size.before - 1
        words = self.size.channels**0.5 * self.words(asked.words) + self.places[place]
        x = torch.cat([self.projector(visual), words], 1)
        kept = torch.arange(visual.shape[1]).expand(len(visual), -1)
        bias = _mask(visual.shape[1], asked.which).to(x.dtype)
        for number, block in enumerate(self.layers):
            before, x = x, _layer(block, x, bias)
            inside = Inside(number + 1, x, kept, block, before, bias)
            if rule is not None and (stay := rule(inside)) is not None:
                text = torch.arange(kept.shape[1], x.shape[1]).expand(len(x), -1)
                index = torch.cat([stay, text], 1)
                x = x.gather(1, index[..., None].expand(-1, -1, x.shape[2]))
                kept = kept.gather(1, stay)
                bias = _mask(kept.shape[1], asked.which).to(x.dtype)
        made = self.norm(x[:, kept.shape[1] :])
        return F.linear(made, self.words.weight.to(made.dtype))

    @torch.inference_mode()
    def answer(self, visual: Tensor, questions: Sequence[Sequence[Sequence[int]]], lengths, rule=None):
        """The likeliest answers, word by word: for each picture, for each question, numbers of words.

        Args:
            visual: tokens [B,K,visual] of the pictures.
            questions: numbers of words, for each picture, for each of its questions.
            lengths: numbers of words of the answers, likewise.
            rule: as for `forward`.
        """
        answers = [[[] for _ in picture] for picture in questions]
        for n in range(self.size.after):
            todo = [
                [(q, number) for number, q in enumerate(picture) if lengths[b][number] > n]
                for b, picture in enumerate(questions)
            ]
            rows = [b for b, picture in enumerate(todo) if picture]
            if not rows:
                break
            asked = texts([[(q, answers[b][number]) for q, number in todo[b]] for b in rows])
            best = self(visual[rows], asked, rule).argmax(2)
            ends = (asked.place == n) & (asked.which >= 0)
            for row, b in enumerate(rows):
                for (_, number), word in zip(todo[b], best[row][ends[row]].tolist(), strict=True):
                    answers[b][number].append(word)
        return answers


def _layer(block: Block, x: Tensor, bias: Tensor) -> Tensor:
    """A layer on K visual tokens and L words [B,K+L,C]; `bias` as of `_mask`.

    This is `Block.forward`, in two parts, since visual tokens see nothing of the words.
    """
    count = x.shape[1] - bias.shape[2]
    parts = block.attention.split(block.norm1(x))
    with torch.autocast(x.device.type, enabled=False):  # torch's fused attention is faster in float32 on CPUs
        q, k, v = (each.float() for each in parts)
        visual = F.scaled_dot_product_attention(q[:, :, :count], k[:, :, :count], v[:, :, :count], is_causal=True)
        words = F.scaled_dot_product_attention(q[:, :, count:], k, v, attn_mask=bias.float())
    x = x + block.attention.out(torch.cat([visual, words], 2).transpose(1, 2).reshape(x.shape))
    return x + block.perceptron(block.norm2(x))


def _mask(count: int, which: Tensor) -> Tensor:
    """0 where a word may look, −∞ where not: [B,1,L,K+L], for K visual tokens and words of questions `which`."""
    batch, length = which.shape
    earlier = torch.ones(length, length, dtype=torch.bool).tril()
    visible = F.pad((which[:, None, :] == which[:, :, None]) & earlier, (count, 0), value=True)
    return torch.zeros(batch, length, count + length).masked_fill_(~visible, -torch.inf)[:, None]


def flops(size: LanguageSize, visual: Sequence[int], words: int) -> float:
    """Multiplications of a pass through the language model's layers.

    A layer of n tokens takes 4nd² + 2n²d + 2ndm (L. Chen et al., "An Image is Worth 1/2 Tokens After Layer 2", ECCV
    2024), m the width of its perceptron.

    Args:
        size: d and m.
        visual: visual tokens in each layer.
        words: of question and answer.

    >>> round(flops(LanguageSize(91, 15, 3), [256] * 12, 10) / 1e9, 2)
    1.25
    """
    d, m = size.channels, size.hidden * size.channels
    return float(sum(4 * n * d * d + 2 * n * n * d + 2 * n * d * m for n in (count + words for count in visual)))


class Mllm(nn.Module):
    """Tower and language model.

    Args:
        tower: dimensions of the tower; its reader is not there.
        language: dimensions of the language model.
    """

    def __init__(self, tower: VitSize, language: LanguageSize):
        super().__init__()
        self.tower = VisionTower(tower)
        self.language = LanguageModel(language)


#: What a file of weights says that it is.
FORMAT = "codeckit mllm 1"

#: The weights that come with the package.
SHIPPED = Path(__file__).parent / "shipped" / "mllm-scenes.safetensors"


@dataclass(frozen=True, eq=False)
class MllmBackbone(TowerBackbone):
    """The model as a source of tokens, and as what answers questions about them.

    Attributes:
        name, side, fingerprint, stem: as of `TowerBackbone`.
        network: the model.
        words: its vocabulary.
        battery: questions that can be asked of every picture, as words.
    """

    network: Mllm = field(repr=False)
    words: tuple[str, ...] = field(repr=False, default=())
    battery: tuple[tuple[str, ...], ...] = field(repr=False, default=())

    @property
    def tower(self) -> VisionTower:
        """The tower."""
        return self.network.tower

    def answers(
        self, features: np.ndarray, questions, lengths, rule: Rule | None = None
    ) -> list[list[tuple[str, ...]]]:
        """Answers about pictures.

        Args:
            features: tokens float32 [B,K,C] of B pictures, any number of them.
            questions: for each picture, for each question, its words.
            lengths: numbers of words of the answers, likewise.
            rule: drops tokens inside of the language model; one question a picture then, all of one length.

        Raises:
            ValueError: a word that the model does not know.
        """
        asked = [[self._numbers(question) for question in picture] for picture in questions]
        visual = torch.from_numpy(np.ascontiguousarray(features, np.float32))
        found = self.network.language.answer(visual, asked, lengths, rule)
        return [[tuple(self.words[n] for n in answer) for answer in picture] for picture in found]

    def correct(self, features: np.ndarray, questions, answers, rule: Rule | None = None) -> list[np.ndarray]:
        """Whether the model's answers are these: bool, one array a picture.

        Args:
            features: tokens float32 [B,K,C] of B pictures, any number of them.
            questions: for each picture, for each question, its words.
            answers: words of the answers, likewise.
            rule: as for `answers`.
        """
        if rule is None:  # the likeliest answer is this one if each of its words is the likeliest after those before
            found = [[likeliest for *_, likeliest in each] for each in self._judged(features, questions, answers)]
        else:
            given = self.answers(features, questions, [[len(answer) for answer in each] for each in answers], rule)
            found = [[a == b for a, b in zip(*each, strict=True)] for each in zip(given, answers, strict=True)]
        return [np.array(each, bool) for each in found]

    def likelihoods(self, features: np.ndarray, questions, answers) -> list[list[tuple[float, float]]]:
        """How likely answers are, and how sure the model is, in bits.

        Args:
            features: tokens float32 [B,K,C] of B pictures.
            questions: for each picture, for each question, its words.
            answers: words of the answers, likewise.

        Returns:
            For each question log2 of the answer's probability, and the entropy of the answer's first word.
        """
        return [[(likely, unsure) for likely, unsure, _ in each] for each in self._judged(features, questions, answers)]

    def _judged(self, features, questions, answers) -> list[list[tuple[float, float, bool]]]:
        """Log2 of an answer's probability, the entropy of its first word, and whether all its words are likeliest."""
        pictures = [
            [(self._numbers(question), self._numbers(answer)) for question, answer in zip(*each, strict=True)]
            for each in zip(questions, answers, strict=True)
        ]
        asked = texts([[(question, answer[:-1]) for question, answer in each] for each in pictures])
        visual = torch.from_numpy(np.ascontiguousarray(features, np.float32))
        with torch.inference_mode():
            known = self.network.language(visual, asked).float().log_softmax(2) / math.log(2)
        found = []
        for b, each in enumerate(pictures):
            own = []
            for number, (_, answer) in enumerate(each):
                places = ((asked.which[b] == number) & (asked.place[b] >= 0)).nonzero().flatten()
                first = known[b, places[0]]
                wanted = torch.tensor(answer)
                likely = float(known[b, places].gather(1, wanted[:, None]).sum())
                likeliest = bool((known[b, places].argmax(1) == wanted).all())
                own.append((likely, float(-(first.exp2() * first).sum()), likeliest))
            found.append(own)
        return found

    def read(self, maps: Tensor, stage: int) -> Tensor:
        """Torch: maps [B,C,h,w] of tokens to logits of the first words of answers, differentiable in the maps.

        Each picture is asked the questions of the battery: [B·Q,words], those of one picture in a row.
        """
        self._checked(stage)
        asked = texts([[(self._numbers(question), ()) for question in self.battery]] * len(maps))
        logits = self.network.language(maps.flatten(2).transpose(1, 2), asked)
        return logits[asked.place == 0]

    def _numbers(self, question) -> list[int]:
        try:
            return [self.words.index(word) for word in question]
        except ValueError:
            unknown = next(word for word in question if word not in self.words)
            raise ValueError(f"{self.name} does not know the word {unknown!r}") from None


@functools.lru_cache(maxsize=1)
def load_mllm() -> MllmBackbone:
    """The model whose weights come with the package, kept in memory; raises as `read_mllm`."""
    return read_mllm(SHIPPED)


def write_mllm(path, metadata: dict[str, str], tensors: dict[str, np.ndarray]) -> None:
    """Write a file of weights, as it ships.

    Args:
        path: the file.
        metadata: ``"tower"``, ``"language"`` (the fields of `VitSize` and `LanguageSize` as JSON), ``"words"`` (the
            vocabulary) and ``"battery"`` (questions that can be asked of every picture), as JSON; and notes, by name.
        tensors: the network's state, floats in 16 bits.
    """
    said = {**metadata, "backbone": load_stem().backbone.fingerprint.hex()}
    write_tensors(path, FORMAT, said | {"fingerprint": fingerprint(_architecture(said), tensors).hex()}, tensors)


def read_mllm(path) -> MllmBackbone:
    """The model whose weights are in a file that `write_mllm` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such file, or damaged; or the stem's weights are others than it was trained with.
        ImportError: the package with the stem's weights is not installed.
    """
    said, tensors = read_tensors(path, FORMAT)
    own = check_fingerprint(path, said, _architecture(said), tensors)
    stem = load_stem()
    if stem.backbone.fingerprint.hex() != said["backbone"]:
        raise ValueError(
            f"{path} goes with the weights {said['backbone']} of {stem.backbone.name}; those installed are "
            f"{stem.backbone.fingerprint.hex()}"
        )
    tower = VitSize(**json.loads(said["tower"]))
    network = Mllm(tower, LanguageSize(**json.loads(said["language"])))
    network.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
    words, battery = tuple(json.loads(said["words"])), tuple(map(tuple, json.loads(said["battery"])))
    network = network.eval().requires_grad_(False)
    return MllmBackbone("mllm-scenes", 16 * tower.grid, own, network, stem, words, battery)


def _architecture(said: dict[str, str]) -> str:
    """What the fingerprint is over besides the tensors."""
    return f"mllm {said.get('tower')} {said.get('language')} {said.get('words')} {said.get('backbone')}"
