"""Muon for the matrices of the demo model, Adam for its embeddings and norms."""

import torch
from torch import Tensor

from serve.generation.demo_architecture import DemoModel

MUON_RATE = 0.012
MUON_MOMENTUM = 0.95
ADAM_RATE = 0.002
ADAM_BETAS = (0.9, 0.98)
NEWTON_SCHULZ_STEPS = 4


class MuonWithAdam:
    """Holds the state of both; `step` applies the gradients and clears them.

    Muon (Jordan 2024): the momentum of a matrix is replaced by its nearest orthogonal matrix, found by Newton-Schulz.
    """

    def __init__(self, model: DemoModel) -> None:
        named = list(model.named_parameters())
        self._matrices = {name: value for name, value in named if value.ndim == 3}
        self._others = {name: value for name, value in named if value.ndim < 3}
        self._momentum = {name: torch.zeros_like(value) for name, value in self._matrices.items()}
        self._mean = {name: torch.zeros_like(value) for name, value in self._others.items()}
        self._square = {name: torch.zeros_like(value) for name, value in self._others.items()}
        self._count = torch.zeros(1)

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
    def step(self, rate: float) -> None:
        """One update at this share of the full learning rates."""
        self._count += 1
        for name, value in self._matrices.items():
            momentum = self._momentum[name].mul_(MUON_MOMENTUM).add_(value.grad)
            update = orthogonal(value.grad + MUON_MOMENTUM * momentum)
            value.add_(update, alpha=-MUON_RATE * rate * max(1.0, value.shape[1] / value.shape[2]) ** 0.5)
            value.grad = None
        first, second = ADAM_BETAS
        steps = float(self._count)
        for name, value in self._others.items():
            mean = self._mean[name].lerp_(value.grad, 1 - first)
            square = self._square[name].lerp_(value.grad.square(), 1 - second)
            scale = (square / (1 - second**steps)).sqrt_().add_(1e-8)
            value.addcdiv_(mean, scale, value=-ADAM_RATE * rate / (1 - first**steps))
            value.grad = None

    def state(self) -> dict[str, Tensor]:
        """Everything that must be kept for training to go on, by name."""
        kept = {f"momentum.{name}": value for name, value in self._momentum.items()}
        kept |= {f"mean.{name}": value for name, value in self._mean.items()}
        kept |= {f"square.{name}": value for name, value in self._square.items()}
        return kept | {"count": self._count}

    def restore(self, kept: dict[str, Tensor]) -> None:
        """Take back what `state` gave."""
        for name, value in self.state().items():
            value.copy_(kept[name])


def orthogonal(stack: Tensor) -> Tensor:
    """[n, rows, columns] -> each matrix with its singular values moved near 1 (quintic Newton-Schulz, Jordan 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    turned = stack.shape[1] > stack.shape[2]
    x = stack.transpose(1, 2) if turned else stack
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()  # exact enough, and the better half of the time
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.transpose(1, 2) if turned else x).to(stack.dtype)
