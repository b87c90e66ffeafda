"""λ at each quality: the tables, and what lies between."""

import numpy as np
import pytest
import torch
from codeckit.codecs.learned.lambdas import LAMBDAS, PUBLISHED, lambda_at


@pytest.mark.parametrize("table", [*LAMBDAS.values(), *PUBLISHED.values()])
def test_lambda_interpolates_its_table(table):
    whole = lambda_at(torch.arange(1, 9).float(), table)
    np.testing.assert_allclose(whole, table, rtol=1e-5)
    between = lambda_at(torch.tensor([1.25, 7.75]), table)
    expected = [table[0] ** 0.75 * table[1] ** 0.25, table[6] ** 0.25 * table[7] ** 0.75]
    np.testing.assert_allclose(between, expected, rtol=1e-5)


@pytest.mark.parametrize("table", [*LAMBDAS.values(), *PUBLISHED.values()])
def test_qualities_are_even_steps_of_rate(table):
    """λ grows by about the same factor from each quality to the next."""
    factors = np.divide(table[1:], table[:-1])
    assert factors.min() > 1.8 and factors.max() < 1.06 * factors.min()
