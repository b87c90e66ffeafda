"""What a multimodal model still answers with a quarter, an eighth and a sixteenth of its visual tokens, and their bits.

    python -m codeckit.bench.scenes SCENES --objects IMAGENETTE/val --backgrounds FOLDER …
    python -m codeckit.bench.studies.mllm_budget SCENES [--weights FILE] [--count 1000] [--pixels 250] [--out FILE]
    python -m codeckit.bench.studies.mllm_budget SCENES --smollm2 FILE …      # SmolLM2 reads the same tokens

The model is ``mllm-scenes``, which has never been trained with fewer tokens than all, as those in the papers. Its
questions are those of the task ``scenes``.

- *blind*: tokens of a grey picture. What it scores is in the words of the questions.
- Methods before the language model take the tower's tokens, its last block's attention of the class token and that
  block's keys. *cdpruner* chooses for each question anew: relevance is the cosine between a token behind the projector
  and the mean of the question's words. *smaller picture* shows the tower a smaller picture, *pooled* averages tokens.
- *fastv*, *pdrop* and *dart* drop tokens inside of the language model, so one question a pass, and pay for the layers
  before. Where all tokens must be there, all are coded.
- *retained* is the mean over the categories of the accuracy over that with all tokens. (The survey's table has another
  mean, which its text does not define.) The interval is that of a bootstrap over pictures, paired, 95 %.
- *GFLOPs* of the language model by FastV's formula, for a question of 10 words.
- *bits* are those of real streams (`token-arrays`), with what tells which tokens were kept, mean of ``--coded``
  pictures. Tokens are rounded to a third of their standard deviation in all rows, as they are decoded.
- *known* is the information of the answers about the questions, Σ log2 of the number of possible answers plus log2 p of
  the true one, in bits a picture: a lower bound of I(Z;Y). Over the bits of the stream, in thousandths, it is *η*, the
  survey's token efficiency; both of the first ``--pixels`` scenes. *unsure* is the semantic entropy of an answer in
  bits, mean over the questions (L. Kuhn et al., "Semantic Uncertainty", ICLR 2023). Each word has a meaning of its own
  here, so the classes are the words.
- The language model runs in bfloat16, which takes half the time: some hours on one core for all rows.
- Rows of pixel codecs ask the same questions about decoded pictures, of the first ``--pixels`` scenes. Those of
  ``tokens-scenes`` stand beside them: streams of all tokens or of 64, quantized as the codec does.
- *Bits at full − 1 point*: those with which a codec has the mean accuracy of all tokens less one point, interpolated
  between its qualities in log bits.

Whether attention tells what matters is seen in the row *prumerge* without merging, *most attended*: where it is below
*random*, no row that rests on attention says anything about its method.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from ... import codec
from ...codecs.image_io import write_atomically
from ...codecs.registry import parse_spec
from ...metrics.accuracy import monotone_envelope
from ...metrics.tasks.scenes.questions import CATEGORIES, Question, ask, options
from ...metrics.tasks.scenes.scene import Scene
from ...metrics.tasks.scenes.task import right
from ...metrics.tasks.scenes.words import numbers
from ...primitives.tokens import REDUCERS, Reduced, encode_subset, merge_similar
from ...primitives.tokens.greedy import cdpruner
from ...primitives.tokens.mllm import SHIPPED, MllmBackbone, flops, read_mllm
from ...primitives.tokens.pruning import Dart, FastV, PDrop
from ...primitives.tokens.reducers import qpid
from ...primitives.tokens.smollm2 import SIZE, read_smollm2
from ..datasets import dataset
from ..tables import align
from .token_budget import pooled

SHARES = (0.25, 0.125, 0.0625)

#: Words of the question that GFLOPs are counted for, and pictures in a pass.
_WORDS, _BATCH = 10, 32

#: Qualities of codecs that are given pictures.
_PIXELS = {
    "jpeg": (2, 5, 10, 20, 35, 50, 75),
    "webp": (1, 5, 15, 30, 50, 75),
    "avif": (10, 20, 30, 40, 55, 70),
    "balle2017": (1, 2, 3, 4, 5, 6),
    "cheng2020": (1, 2, 3, 4, 5, 6),
    "tokens-fsq": (1, 2, 3, 4),
    "tokens-scenes:budget=256": (2, 3, 4, 4.5, 5, 6),
    "tokens-scenes:budget=64": (1, 2, 3, 4),
}


def most_attended(features, grid, budget, cls_attention=None, keys=None) -> Reduced:
    """The K that the class token attends to most, nothing merged."""
    return REDUCERS["fastv"](features, grid, budget, cls_attention, keys)


BEFORE: dict[str, Callable[..., Reduced]] = {
    "random": REDUCERS["random"],
    "grid": REDUCERS["grid"],
    "pooled": pooled,
    "qpid": qpid,
    "qpid+": REDUCERS["qpid+"],
    "qpid, entropy": partial(qpid, choose="entropy"),
    "qpid, entropy, merged": lambda *a: merge_similar(qpid(*a, choose="entropy"), a[0]),
    "qpid, without ID: any of a leaf": partial(qpid, choose="random"),
    "qpid, without QP: max-entropy": REDUCERS["max-entropy"],
    "max-entropy, merged": lambda *a: merge_similar(REDUCERS["max-entropy"](*a), a[0]),
    "pivoted": REDUCERS["pivoted"],
    "pivoted+": REDUCERS["pivoted+"],
    "most attended": most_attended,
    **{name: REDUCERS[name] for name in (
        "prumerge", "prumerge+", "evit", "visionzip", "tome", "divprune", "coverage", "scope", "holov",
    )},
}  # fmt: skip


class Exam:
    """Scenes with their tokens and questions.

    Args:
        images: labelled pictures.
        backbone: the model.
    """

    def __init__(self, images, backbone):
        self.images, self.backbone = images, backbone
        self.questions: list[list[Question]] = [ask(Scene.of(image.label)) for image in images]
        seen = [backbone.looks(image.load()) for image in images]
        self.grid = seen[0][0].grid
        features = np.stack([tokens.features for tokens, *_ in seen])
        self.step = float(features.std((0, 1)).mean()) / 3
        self.features = self.rounded(features)
        self.attention = [looks[-1] for _, looks, _ in seen]
        self.keys = [keys[-1] for *_, keys in seen]
        kinds = [[list(CATEGORIES).index(q.category) for q in each] for each in self.questions]
        self.asked = np.array([np.bincount(each, minlength=len(CATEGORIES)) for each in kinds])
        self._kinds = kinds

    def rounded(self, features: np.ndarray) -> np.ndarray:
        """Tokens as they are decoded."""
        return (np.rint(features / self.step) * self.step).astype(np.float32)

    def answered(self, features: np.ndarray) -> np.ndarray:
        """Right answers of each picture by category, int [B,7], to tokens [B,K,C] of the first B pictures."""
        correct = []
        for start in range(0, len(features), _BATCH):
            part = features[start : start + _BATCH]
            with torch.autocast("cpu", torch.bfloat16):
                correct += right(self.backbone, part, self.questions[start : start + len(part)])
        return self._counted(correct)

    def informed(self, features: np.ndarray) -> tuple[float, float]:
        """Bits that answers know about the questions, a picture; and the entropy of an answer."""
        known, unsure = [], []
        for start in range(0, len(features), _BATCH):
            part = features[start : start + _BATCH]
            questions = self.questions[start : start + len(part)]
            words = [[question.words for question in each] for each in questions]
            answers = [[question.answer for question in each] for each in questions]
            with torch.autocast("cpu", torch.bfloat16):
                likelihoods = self.backbone.likelihoods(part, words, answers)
            for each, own in zip(questions, likelihoods, strict=True):
                known.append(sum(math.log2(options(q)) + likely for q, (likely, _) in zip(each, own, strict=True)))
                unsure += [entropy for _, entropy in own]
        return float(np.mean(known)), float(np.mean(unsure))

    def answered_singly(self, tokens_of: Callable[[int, Question], np.ndarray], rule=None) -> np.ndarray:
        """The same, one question a pass; `tokens_of` gives the tokens [K,C] of a picture for a question."""
        where = [(b, n) for b, each in enumerate(self.questions) for n in range(len(each))]
        where.sort(key=lambda at: (len(self._at(at).words), len(self._at(at).answer)))
        correct = [np.zeros(len(each), bool) for each in self.questions]
        start = 0
        while start < len(where):
            first, stop = self._at(where[start]), start
            while stop < len(where) and stop - start < 2 * _BATCH and self._alike(first, self._at(where[stop])):
                stop += 1
            part = where[start:stop]
            features = np.stack([tokens_of(b, self._at((b, n))) for b, n in part])
            with torch.autocast("cpu", torch.bfloat16):
                found = right(self.backbone, features, [[self._at(at)] for at in part], rule)
            for (b, n), (answer,) in zip(part, found, strict=True):
                correct[b][n] = answer
            start = stop
        return self._counted(correct)

    def _at(self, at) -> Question:
        return self.questions[at[0]][at[1]]

    @staticmethod
    def _alike(one: Question, other: Question) -> bool:
        return (len(one.words), len(one.answer)) == (len(other.words), len(other.answer))

    def _counted(self, correct):
        return np.array(
            [
                np.bincount(kinds, weights=each, minlength=len(CATEGORIES)).astype(int)
                for kinds, each in zip(self._kinds, correct, strict=False)
            ]
        )


def accuracy(counts: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Accuracy of each category, of right answers and questions [B,7]."""
    return counts.sum(0) / asked.sum(0)


def retained(counts: np.ndarray, full: np.ndarray, asked: np.ndarray, draws: int = 1000) -> tuple[float, float]:
    """What is left of the accuracy with all tokens, mean over categories, and half its 95 % interval by bootstrap."""
    rng = np.random.default_rng(0)
    share = float((accuracy(counts, asked) / accuracy(full, asked)).mean())
    picks = rng.integers(len(counts), size=(draws, len(counts)))
    means = (counts[picks].sum(1) / full[picks].sum(1)).mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return share, float(high - low) / 2


def token_rows(exam: Exam, coded: int, informed: int, progress) -> tuple[np.ndarray, list[dict]]:
    """Right answers with all tokens, and a row for each method and budget."""
    ours = isinstance(exam.backbone, MllmBackbone)
    language = exam.backbone.network.language.size if ours else SIZE
    count = exam.features.shape[1]
    coder = codec("token-arrays", step=exam.step)

    def row(name, kept, counts, layers, bits, features=None):
        share, half = retained(counts, full, exam.asked)
        found = dict(zip(CATEGORIES, accuracy(counts, exam.asked).tolist(), strict=True))
        own = {"method": name, "tokens": kept, "retained": share, "half": half, "bits": bits}
        own["gflops"] = flops(language, layers, _WORDS) / 1e9
        if features is not None and informed:
            own["known"], own["unsure"] = exam.informed(features[:informed])
        return own | {"mean": float(np.mean(list(found.values())))} | found

    def stream(features, kept=None):
        side = 0
        if kept is not None:
            mask = np.zeros(exam.grid[0] * exam.grid[1], bool)
            mask[kept] = True
            side = 8 * len(encode_subset(mask.reshape(exam.grid)))
        return 8 * len(coder.encode_tokens(features, (len(features), 1))) + side

    full = exam.answered(exam.features)
    everything = float(np.mean([stream(features) for features in exam.features[:coded]]))
    rows = [row("all tokens", count, full, [count] * language.layers, everything, exam.features)]
    grey = exam.backbone.tokens(np.full((exam.backbone.side,) * 2 + (3,), 128, np.uint8)).features
    nothing = np.repeat(exam.rounded(grey)[None], len(exam.features), 0)
    rows.append(row("blind", count, exam.answered(nothing), [count] * language.layers, 0.0, nothing))
    for share in SHARES:
        budget = round(share * count)
        for name, method in BEFORE.items():
            made = [
                method(features, exam.grid, budget, attention, keys)
                for features, attention, keys in zip(exam.features, exam.attention, exam.keys, strict=True)
            ]
            kept = len(made[0].kept)
            tokens = exam.rounded(np.stack([reduced.tokens for reduced in made]))
            counts = exam.answered(tokens)
            bits = float(np.mean([stream(r.tokens, None if name == "pooled" else r.kept) for r in made[:coded]]))
            rows.append(row(name, kept, counts, [kept] * language.layers, bits, tokens))
        side = math.isqrt(budget)
        small = [exam.backbone.smaller(image.load(), side).features for image in exam.images]
        counts = exam.answered(exam.rounded(np.stack(small)))
        bits = float(np.mean([stream(features) for features in small[:coded]]))
        rows.append(row("smaller picture", side * side, counts, [side * side] * language.layers, bits))
        if ours:
            relevant = _Relevance(exam)
            counts = exam.answered_singly(lambda b, q, r=relevant, k=budget: r.chosen(b, q, k))
            rows.append(row("cdpruner", budget, counts, [budget] * language.layers, everything))
        rules = {"fastv": FastV(budget), "pdrop": PDrop(budget, count, language.layers), "dart": Dart(budget)}
        for name, rule in rules.items() if ours else ():
            counts = exam.answered_singly(lambda b, q: exam.features[b], rule)
            rows.append(row(name, budget, counts, rule.left(count, language.layers), everything))
        progress(f"{share:.2%} done")
    return full, rows


class _Relevance:
    """CDPruner's choice for each question."""

    def __init__(self, exam: Exam):
        self.exam = exam
        language = exam.backbone.network.language
        with torch.inference_mode():
            projected = language.projector(torch.from_numpy(exam.features))
            self.projected = torch.nn.functional.normalize(projected, dim=2).numpy()
        self.words = language.words.weight.detach().numpy()

    def chosen(self, picture: int, question: Question, budget: int) -> np.ndarray:
        """The tokens [K,C]."""
        asked = self.words[numbers(question.words)].mean(0)
        relevance = self.projected[picture] @ asked
        return cdpruner(self.exam.features[picture], self.exam.grid, budget, relevance).tokens


def pixel_rows(exam: Exam, count: int, full: np.ndarray, names, progress) -> list[dict]:
    """A row for each codec and quality, of the first pictures."""
    rows, asked = [], exam.asked[:count]
    for name in names:
        for quality in _PIXELS[name]:
            found, settings = parse_spec(name)
            coder = codec(found, quality=quality, **settings)
            streams = [coder.encode(image.load()) for image in exam.images[:count]]
            decoded = np.stack([exam.backbone.tokens(coder.decode(stream)).features for stream in streams])
            counts = exam.answered(decoded)
            share, half = retained(counts, full[:count], asked)
            shares = dict(zip(CATEGORIES, accuracy(counts, asked).tolist(), strict=True))
            own = {"method": name, "quality": quality, "retained": share, "half": half}
            own |= {"bits": float(np.mean([8 * len(stream) for stream in streams]))}
            own["known"], own["unsure"] = exam.informed(decoded)
            rows.append(own | {"mean": float(np.mean(list(shares.values())))} | shares)
        progress(f"{name} done")
    return rows


def bits_at(rows: list[dict], wanted: float) -> dict[str, float]:
    """Bits at which each method reaches a mean accuracy, of its rising envelope; none for those that never do.

    >>> bits_at([{"method": "a", "bits": bits, "mean": mean} for bits, mean in ((100, 0.5), (400, 0.7))], 0.6)
    {'a': 200.0}
    """
    found = {}
    for name in dict.fromkeys(row["method"] for row in rows):
        own = [(row["bits"], row["mean"]) for row in rows if row["method"] == name]
        rates, means = monotone_envelope(*zip(*own, strict=True)).T
        if means[0] <= wanted <= means[-1]:
            found[name] = round(float(np.exp(np.interp(wanted, means, np.log(rates)))), 1)
    return found


def table(rows: list[dict]) -> str:
    """Rows as text."""
    head = ["method", "tokens", "bits", "GFLOPs", "known", "η ‰", "unsure", "retained %", "±", "mean %", *CATEGORIES]
    lines = [head]
    for row in rows:
        at = f"{row['tokens']}" if "tokens" in row else f"q {row['quality']}"
        cost = f"{row['gflops']:.2f}" if "gflops" in row else ""
        cells = [row["method"], at, f"{row['bits']:.0f}", cost]
        if "known" in row:
            useful = f"{1000 * row['known'] / row['bits']:.2f}" if row["bits"] else ""
            cells += [f"{row['known']:.1f}", useful, f"{row['unsure']:.2f}"]
        else:
            cells += [""] * 3
        cells += [f"{100 * row[name]:.1f}" for name in ("retained", "half", "mean", *CATEGORIES)]
        lines.append(cells)
    return align(lines)


def main(arguments=None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", metavar="SCENES", help="of `python -m codeckit.bench.scenes`")
    parser.add_argument("--weights", metavar="FILE", help="of the model; default: those of the package")
    parser.add_argument("--smollm2", metavar="FILE", help="of `training.smollm2`: the tower's tokens are for SmolLM2")
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="scenes")
    parser.add_argument("--coded", type=int, default=40, metavar="N", help="scenes whose tokens are coded")
    parser.add_argument("--pixels", type=int, default=250, metavar="N", help="scenes for pixel codecs; 0 for none")
    parser.add_argument("--codecs", nargs="*", default=list(_PIXELS), choices=list(_PIXELS), help="default: all")
    parser.add_argument("--out", metavar="FILE", help="rows as JSON")
    options = parser.parse_args(arguments)

    def progress(line):
        print(line, file=sys.stderr, flush=True)

    backbone = read_mllm(options.weights or SHIPPED)
    if options.smollm2:
        backbone = read_smollm2(options.smollm2, backbone)
    exam = Exam(list(dataset(options.folder))[: options.count], backbone)
    progress(f"{len(exam.images)} scenes, {exam.asked.sum()} questions")
    full, rows = token_rows(exam, options.coded, options.pixels, progress)
    print(table(rows))
    if options.pixels:
        pixels = pixel_rows(exam, min(options.pixels, len(exam.images)), full, options.codecs, progress)
        print(table(pixels))
        count = min(options.pixels, len(exam.images))
        wanted = float(accuracy(full[:count], exam.asked[:count]).mean()) - 0.01
        print(f"bits at full − 1 point ({100 * wanted:.1f} %):")
        for name, bits in sorted(bits_at(pixels, wanted).items(), key=lambda pair: pair[1]):
            print(f"  {name:28} {bits:8.0f}")
        rows += pixels
    if options.out:
        write_atomically(options.out, json.dumps(rows, indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
