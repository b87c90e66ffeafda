"""Several optimizers as one, for networks whose parameters are not all moved by the same rule."""

import torch


class Together(torch.optim.Optimizer):
    """Optimizers that step together.

    Muon (K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024) moves matrices of hidden
    layers alone, so it needs another optimizer beside it.

    Args:
        optimizers: of different parameters.

    >>> a, b = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))
    >>> both = Together(torch.optim.Muon([a], lr=0.1), torch.optim.SGD([b], lr=0.5))
    >>> (a.sum() + b.sum()).backward()
    >>> both.step()
    >>> [group["lr"] for group in both.param_groups], b.tolist()
    ([0.1, 0.5], [0.5, 0.5])
    """

    def __init__(self, *optimizers: torch.optim.Optimizer):
        self.optimizers = optimizers

    @property
    def param_groups(self) -> list[dict]:
        """Those of all, in their order."""
        return [group for each in self.optimizers for group in each.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        for each in self.optimizers:
            each.zero_grad(set_to_none)

    def step(self, closure=None) -> None:
        """One step of each; `closure` is there for the signature and must be None."""
        for each in self.optimizers:
            each.step()

    def state_dict(self) -> dict:
        """States of all."""
        return {str(n): each.state_dict() for n, each in enumerate(self.optimizers)}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over what `state_dict` gave."""
        for n, each in enumerate(self.optimizers):
            each.load_state_dict(state_dict[str(n)])
