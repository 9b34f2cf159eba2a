"""One step of classifier training, and the prediction of many images."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from lussweep.models.classifiers.network import Network
from lussweep.models.training.layout import channels_last
from lussweep.models.training.pool import FramePool
from lussweep.models.training.precision import autocast, full_precision

RMSPROP = {"alpha": 0.9, "eps": 1e-7}
"""Keras's defaults (rho 0.9, epsilon 1e-7)."""


class ClassifierStep:
    """A network and its optimiser. A call is one training step, and never waits for the device."""

    def __init__(
        self, model: Network, learning_rate: float, precision: str, device: torch.device
    ) -> None:
        self.model = channels_last(model, device)
        self.precision, self.device = precision, device
        self.optimiser = torch.optim.RMSprop(
            model.parameters(),
            lr=learning_rate,
            alpha=RMSPROP["alpha"],
            eps=RMSPROP["eps"],
            foreach=True,
            capturable=device.type == "cuda",
        )
        self.sums = torch.zeros(1, dtype=torch.float64, device=device)
        """The loss in nats, summed over images; read once an epoch."""

    def __call__(self, images_NSS: torch.Tensor, label_N: torch.Tensor) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        with autocast(self.device, self.precision):
            logits = self.model(images_NSS)
        loss = cross_entropy(logits.to(torch.float32), label_N)
        loss.backward()
        self.optimiser.step()
        self.sums += loss.detach().double() * len(images_NSS)

    def parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        """Network and optimiser by name."""
        return {"model": self.model, "optimiser": self.optimiser}


def predict(
    model: Network, pool: FramePool, batch_size: int, precision: str = "fp32"
) -> np.ndarray:
    """Probability of consolidation of each image of the pool, float64 (N,)."""
    model.eval()
    parts = []
    with torch.no_grad(), full_precision(), autocast(pool.device, precision):
        for index in pool.place(torch.arange(len(pool))).split(batch_size):
            images, _ = pool.take(index)
            parts.append(model(images).double().softmax(dim=1)[:, 1])
    return torch.cat(parts).cpu().numpy()
