"""Scalar quantization with a rate-distortion choice: not the nearest symbol, but the best buy.

An entropy coder makes frequent symbols cheap. So a value near the middle between two symbols is better rounded to the
cheaper one, usually that nearer to zero::

    q = argmin_q (x − q·Δ)² / Δ² + λ · bits(q)          among ⌊x/Δ⌋, ⌈x/Δ⌉ and 0

with bits(q) = −log2 of the frequency of symbol q in its component. Choosing changes the frequencies, which changes the
choices: a few rounds settle it. The decoder is that of plain uniform quantization and knows nothing of it.

Sources: G. J. Sullivan, "Efficient scalar quantization of exponential and Laplacian random variables", 1996; the
entropy-constrained iteration is that of Chou, Lookabaugh and Gray, 1989.
"""

import numpy as np

from .uniform import check_step, to_symbols


def quantize_rate_distortion(x: np.ndarray, step: float, rate_weight: float, rounds: int = 3) -> np.ndarray:
    """int32 symbols of real values [..., C]; each of the C components has frequencies of its own.

    Args:
        x: values, components last.
        step: Δ.
        rate_weight: λ, squared error in units of Δ² that a bit is worth; 0 is plain rounding.
        rounds: of counting and choosing.

    Raises:
        ValueError: no positive step, a negative λ, or symbols outside ±2²².

    >>> x = np.array([[0.55], [0.1], [-0.2], [0.3], [2.1]])
    >>> quantize_rate_distortion(x, 1.0, 0.0).ravel().tolist(), quantize_rate_distortion(x, 1.0, 0.2).ravel().tolist()
    ([1, 0, 0, 0, 2], [0, 0, 0, 0, 2])
    """
    check_step(step)
    if not rate_weight >= 0:
        raise ValueError(f"the weight of the rate is a number from 0 up, not {rate_weight!r}")
    scaled = np.asarray(x, np.float64).reshape(-1, np.shape(x)[-1]) / step
    symbols = to_symbols(np.rint(scaled))
    candidates = np.stack([np.floor(scaled), np.ceil(scaled), np.zeros_like(scaled)]).astype(np.int32)
    for _ in range(rounds if rate_weight else 0):
        chosen = np.empty_like(symbols)
        for c in range(scaled.shape[1]):
            options = candidates[:, :, c]
            values, counts = np.unique(np.concatenate([symbols[:, c], [0]]), return_counts=True)
            at = np.minimum(np.searchsorted(values, options), len(values) - 1)
            often = np.where(values[at] == options, counts[at], 0.5)
            cost = (scaled[:, c] - options) ** 2 - rate_weight * np.log2(often / counts.sum())
            chosen[:, c] = np.take_along_axis(options, cost.argmin(0)[None], 0)[0]
        symbols = chosen
    return symbols.reshape(np.shape(x))
