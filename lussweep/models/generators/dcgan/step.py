"""One step of adversarial training: one update of the discriminator, then one of the generator."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, relu

from lussweep.models.generators.dcgan.augment import augment
from lussweep.models.generators.dcgan.networks import Discriminator, Generator
from lussweep.models.training.layout import channels_last
from lussweep.models.training.precision import autocast
from lussweep.study.spec import GanSpec

GREY_HALF = 127.5
SUMS = (
    "loss_d_real", "loss_d_fake", "loss_g", "r1", "d_accuracy_real", "d_accuracy_fake",
    "g_gradient_norm",
)  # fmt: skip
"""The sums over steps, each weighted by its images. They stay on the device until an epoch ends."""


class GanStep:
    """Both networks, their optimisers and the average of the generator. A call is one step.

    It follows section 2.2 of the paper. The discriminator sees real and synthetic images in
    separate passes, so BatchNorm normalises them separately. The updated discriminator then
    judges the same synthetic images for the generator's update. Nothing in a step waits for the
    device.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        spec: GanSpec,
        device: torch.device,
        world_size: int = 1,
    ) -> None:
        self.generator = channels_last(generator, device)
        self.discriminator = channels_last(discriminator, device)
        self.average = copy.deepcopy(generator) if spec.ema_decay else None
        self.spec, self.device, self.world_size = spec, device, world_size
        self.dtype = next(generator.parameters()).dtype
        self.g_optimiser = _adam(generator, spec.lr_generator, spec)
        self.d_optimiser = _adam(discriminator, spec.lr_discriminator, spec)
        self.sums = torch.zeros(len(SUMS), dtype=torch.float64, device=device)

    def __call__(
        self,
        frames_NSS: torch.Tensor,
        z_NL: torch.Tensor,
        label_N: torch.Tensor | None,
        n_batch: int,
    ) -> None:
        """Train one step on this worker's uint8 frames (N, S, S) and latent vectors (N, L).

        n_batch: frames of all workers together.
        """
        spec, d = self.spec, self.discriminator
        real = scale(frames_NSS, self.dtype)

        # --- discriminator: real and synthetic images in separate passes
        self.d_optimiser.zero_grad(set_to_none=True)
        fake = self._generate(z_NL, label_N)
        if spec.r1_gamma:
            real.requires_grad_()
        real_logits = self._judge(real, label_N)
        loss_real = self._loss(real_logits, is_real=True, n_batch=n_batch)
        r1 = self._r1(real_logits, real, n_batch)
        (loss_real + r1).backward()
        fake_logits = self._judge(fake.detach(), label_N)
        loss_fake = self._loss(fake_logits, is_real=False, n_batch=n_batch)
        loss_fake.backward()
        _sum_gradients(d.parameters(), self.world_size)
        self.d_optimiser.step()

        # --- generator: the updated discriminator judges the same synthetic images
        self.g_optimiser.zero_grad(set_to_none=True)
        d.requires_grad_(False)  # gradients pass through it, but its own are not needed
        loss_g = self._generator_loss(self._judge(fake, label_N), n_batch)
        loss_g.backward()
        d.requires_grad_(True)
        _sum_gradients(self.generator.parameters(), self.world_size)
        self.g_optimiser.step()

        # --- average of the generator
        if self.average is not None:
            _move_average(self.average, self.generator, spec.ema_decay)

        # --- sums, which are read once per epoch
        with torch.no_grad():
            gradients = [p.grad for p in self.generator.parameters() if p.grad is not None]
            # Gradients are already summed over workers, so each worker adds its share of the norm.
            norm = nn.utils.get_total_norm(gradients) / self.world_size
            means = (loss_real, loss_fake, loss_g, r1)
            # Counts are whole numbers, so a share of 1 over all workers is exactly 1.
            right = ((real_logits > 0).sum(), (fake_logits <= 0).sum())
            self.sums += torch.stack([
                *(m.detach().double() * n_batch for m in means),
                *(n.double() for n in right),
                norm.double() * n_batch,
            ])  # fmt: skip

    @property
    def sampler(self) -> Generator:
        """The generator that images are sampled from."""
        return self.generator if self.average is None else self.average

    def state(self) -> dict[str, dict[str, Any]]:
        """Everything that the next step depends on, except random states."""
        return {name: part.state_dict() for name, part in self.parts().items()}

    def load_state(self, state: dict[str, dict[str, Any]]) -> None:
        """Restore what `state` returned; tensors are copied."""
        for name, part in self.parts().items():
            part.load_state_dict(copy.deepcopy(state[name]))
        for optimiser in (self.g_optimiser, self.d_optimiser):
            for group in optimiser.param_groups:  # the state may come from another device
                group["capturable"] = self.device.type == "cuda"

    def parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        """Networks and optimisers by name."""
        parts: dict[str, nn.Module | torch.optim.Optimizer] = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "g_optimiser": self.g_optimiser,
            "d_optimiser": self.d_optimiser,
        }
        return parts if self.average is None else {**parts, "average": self.average}

    def example(
        self, image_size: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, int]:
        """Make inputs of a whole batch for the capture.

        They are not random, because a resumed training would not repeat the draws.
        """
        n, device = self.spec.batch_size, self.device
        levels = torch.arange(n * image_size**2, device=device) % 256
        frames = levels.to(torch.uint8).view(n, image_size, image_size)
        z = torch.linspace(-1, 1, n * self.spec.latent_size, device=device).view(n, -1)
        label = torch.arange(n, device=device) % 2 if self.generator.n_classes else None
        return frames, z, label, n

    def _generate(self, z_NL: torch.Tensor, label_N: torch.Tensor | None) -> torch.Tensor:
        with autocast(self.device, self.spec.precision):
            fake: torch.Tensor = self.generator(z_NL.to(self.dtype), label_N)
        return fake.to(self.dtype)

    def _judge(self, images_N1SS: torch.Tensor, label_N: torch.Tensor | None) -> torch.Tensor:
        with autocast(self.device, self.spec.precision):
            logits: torch.Tensor = self.discriminator(
                augment(images_N1SS, self.spec.augment), label_N
            )
        return logits.to(self.dtype)

    def _loss(self, logits_N: torch.Tensor, *, is_real: bool, n_batch: int) -> torch.Tensor:
        """This worker's part of the mean over the whole batch. The workers' parts add up to it."""
        if self.spec.loss == "hinge":
            return relu(1 - logits_N if is_real else 1 + logits_N).sum() / n_batch
        return _bce(logits_N, float(is_real)) / n_batch

    def _generator_loss(self, logits_N: torch.Tensor, n_batch: int) -> torch.Tensor:
        if self.spec.loss == "hinge":
            return -logits_N.sum() / n_batch
        return _bce(logits_N, 1.0) / n_batch

    def _r1(self, logits_N: torch.Tensor, real_N1SS: torch.Tensor, n_batch: int) -> torch.Tensor:
        """The R1 penalty of Mescheder et al. 2018 (arXiv 1801.04406), equation 9."""
        if not self.spec.r1_gamma:
            return logits_N.new_zeros(())
        (slope,) = torch.autograd.grad(logits_N.sum(), real_N1SS, create_graph=True)
        return self.spec.r1_gamma / 2 * slope.square().sum() / n_batch


def scale(frames_NSS: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Convert uint8 frames (N, S, S) to images (N, 1, S, S) in [-1, 1]."""
    images = frames_NSS[:, None].to(dtype) / GREY_HALF - 1
    return images.contiguous(memory_format=torch.channels_last)


def _bce(logits_N: torch.Tensor, target: float) -> torch.Tensor:
    targets = torch.full_like(logits_N, target)
    return binary_cross_entropy_with_logits(logits_N, targets, reduction="sum")


def _adam(module: nn.Module, learning_rate: float, spec: GanSpec) -> torch.optim.Adam:
    on_gpu = next(module.parameters()).device.type == "cuda"
    return torch.optim.Adam(
        module.parameters(),
        lr=learning_rate,
        betas=(spec.beta1, spec.beta2),
        fused=True,
        capturable=on_gpu,
    )


def _sum_gradients(parameters: Iterable[nn.Parameter], world_size: int) -> None:
    """Sum a network's gradients over all workers, in one flat message.

    DistributedDataParallel does not fit: it allows one pass before each backward, and the
    discriminator has two.
    """
    if world_size == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    dist.all_reduce(flat)
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


@torch.no_grad()
def _move_average(average: nn.Module, module: nn.Module, decay: float) -> None:
    """Move the average's weights towards `module` by 1 - decay.

    BatchNorm's statistics are averages already, so they are copied.
    """
    torch._foreach_lerp_(list(average.parameters()), list(module.parameters()), 1 - decay)
    for old, new in zip(average.buffers(), module.buffers(), strict=True):
        old.copy_(new)
