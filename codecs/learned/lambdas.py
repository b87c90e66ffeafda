"""λ: what a learned codec pays in bits for distortion, at each quality from 1 to 8.

Networks are trained to minimize R + λ · 255² · MSE, or R + λ · (1 - MS-SSIM), with the rate R in bits per pixel. The
larger λ, the better the picture and the larger the file. Training takes λ from here (`training.losses`), and so does an
encoder that searches for the symbols of least cost (`search`).

Sources: J. Bégaint, F. Racapé, S. Feltman, A. Pushparaja, "CompressAI", arXiv:2011.03029, table 1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

#: λ of the networks that have all rates, by the measure of distortion. The tables end with the largest value of
#: published curves and begin below their smallest, for 0.1 bit a pixel.
LAMBDAS: dict[str, tuple[float, ...]] = {
    "mse": (0.00070, 0.00155, 0.00342, 0.00755, 0.01670, 0.03687, 0.08150, 0.18000),
    "ms-ssim": (0.95, 2.07, 4.50, 9.80, 21.33, 46.45, 101.10, 220.00),
}

#: λ of the published networks of one rate each, likewise.
PUBLISHED: dict[str, tuple[float, ...]] = {
    "mse": (0.0018, 0.0035, 0.0067, 0.0130, 0.0250, 0.0483, 0.0932, 0.1800),
    "ms-ssim": (2.40, 4.58, 8.73, 16.64, 31.73, 60.50, 115.37, 220.00),
}


def lambdas_of(variable_rate: bool, distortion: str = "mse") -> tuple[float, ...]:
    """The table of a network: of one that has all rates, or of networks of one rate each.

    Raises:
        ValueError: there is no such measure of distortion.

    >>> lambdas_of(variable_rate=False)[2]
    0.0067
    """
    tables = LAMBDAS if variable_rate else PUBLISHED
    if distortion not in tables:
        raise ValueError(f"the distortion is one of {', '.join(tables)}, not {distortion!r}")
    return tables[distortion]


def lambda_at(quality: Tensor, table: Sequence[float] = LAMBDAS["mse"]) -> Tensor:
    """λ at qualities from 1 to 8, any shape; between whole numbers the geometric interpolation, as of the gains.

    >>> lambda_at(torch.tensor([1.0, 1.5, 8.0]))
    tensor([0.0007, 0.0010, 0.1800])
    """
    logarithms = torch.tensor(table, device=quality.device).log()
    below = (quality - 1).floor().clamp(0, len(logarithms) - 2).long()
    return torch.lerp(logarithms[below], logarithms[below + 1], quality - 1 - below).exp()
