"""Linear probes: a task of one's own on the tokens of a backbone, from labelled pictures.

A *probe* is a linear classifier on features that were made for something else; its accuracy says what the features
hold. This one reads the grid of tokens itself, not the output of the network's own head: of each channel the mean over
the positions and the standard deviation, so it also sees how the tokens differ from one another. Softmax regression
with a quadratic penalty, solved to convergence (L-BFGS), hence the same at every run.

Source: G. Alain, Y. Bengio, "Understanding intermediate layers using linear classifier probes", 2016.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ...primitives.token_grid import Tokens
from ..measure import UndefinedError
from .base import score_scores


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """A task that `fit` makes.

    Attributes:
        name: of the task.
        source: backbone and stage whose tokens it reads; pictures are brought there.
        classes: the labels, in order.
        weight, bias: float64 [2C,K] and [K].
    """

    name: str
    source: str
    classes: tuple
    weight: np.ndarray = field(repr=False)
    bias: np.ndarray = field(repr=False)
    measures: tuple[str, ...] = ("top1", "top5", "information")
    classification: ClassVar[bool] = True

    @classmethod
    def fit(cls, name: str, images, source: str = "efficientnet-lite0/6", penalty: float = 1e-3) -> "LinearProbe":
        """A probe for labelled pictures.

        Args:
            name: of the task.
            images: a `codeckit.dataset` with labels.
            source: backbone and stage.
            penalty: weight of the squared weights, for features that are scaled to a standard deviation of 1.

        Raises:
            ValueError: pictures without labels, or fewer than two classes.
        """
        labels = [image.label for image in images]
        classes = tuple(sorted(set(labels) - {None}))
        if None in labels or len(classes) < 2:
            raise ValueError("a probe is fitted to pictures that all have labels, of two classes or more")
        seen = np.stack([_summary(image.load(), source) for image in images])
        return cls.fit_features(name, source, seen, labels, penalty)

    @classmethod
    def fit_features(cls, name, source, seen, labels, penalty=1e-3) -> "LinearProbe":
        """The same from summaries [N,2C] (`summarize`) that are there already."""
        from scipy.optimize import minimize

        classes = tuple(sorted(set(labels)))
        hot = np.array([[label == known for known in classes] for label in labels], np.float64)
        mean, scale = seen.mean(0), seen.std(0) + 1e-6
        x = np.column_stack([(seen - mean) / scale, np.ones(len(seen))])
        shape = (x.shape[1], len(classes))

        def loss_and_gradient(flat):
            weight = flat.reshape(shape)
            scores = x @ weight
            log_p = scores - scores.max(1, keepdims=True)
            log_p -= np.log(np.exp(log_p).sum(1, keepdims=True))
            squares = weight.copy()
            squares[-1] = 0  # the bias is free
            loss = -(hot * log_p).sum() / len(x) + penalty * (squares**2).sum()
            return loss, (x.T @ (np.exp(log_p) - hot) / len(x) + 2 * penalty * squares).ravel()

        found = minimize(loss_and_gradient, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B")
        *rows, bias = found.x.reshape(shape)
        weight = np.array(rows) / scale[:, None]
        return cls(name, source, classes, weight, bias - mean @ weight)

    def predict(self, decoded) -> np.ndarray:
        """Scores of the classes, of a picture or of tokens of the probe's source.

        Raises:
            UndefinedError: other tokens.
        """
        return _summary(decoded, self.source) @ self.weight + self.bias

    def score(self, prediction, label) -> dict[str, float]:
        """``top1``, ``top5`` and ``information``."""
        if label not in self.classes:
            raise ValueError(f"the task {self.name} has no class {label!r}")
        return score_scores(prediction, self.classes.index(label))


def summarize(features: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over the positions: [N,C] to float64 [2C].

    >>> summarize(np.array([[1.0, 0.0], [3.0, 0.0]])).tolist()
    [2.0, 0.0, 1.0, 0.0]
    """
    features = np.asarray(features, np.float64)
    return np.concatenate([features.mean(0), features.std(0)])


def _summary(decoded, source) -> np.ndarray:
    from ...primitives.tokens.backbones import load_backbone

    if isinstance(decoded, Tokens) and decoded.source == source:
        return summarize(decoded.features)
    name, _, stage = source.partition("/")
    try:
        return summarize(load_backbone(name).tokens(decoded, int(stage)).features)
    except ValueError as error:
        raise UndefinedError(str(error)) from error
