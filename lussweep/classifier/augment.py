"""Augmentation of a whole batch at once, each image with its own draws (paper section 2.4)."""

from __future__ import annotations

import torch
from torch.nn.functional import avg_pool2d, pad

from lussweep.spec import AugmentSpec

N_OPERATIONS = 4


def augment(images_NSS: torch.Tensor, spec: AugmentSpec, rng: torch.Generator) -> torch.Tensor:
    """Flip, gamma, box blur and grey-level noise, each on with its probability, in random order.

    uint8 in and out, on the device of the images; draws come from `rng` on the CPU. Gamma works
    on grey levels over 255, and noise is clamped at 255 (the published code lets it wrap).
    """
    n = len(images_NSS)
    on = torch.rand(n, N_OPERATIONS, generator=rng) < spec.probability
    order = torch.rand(n, N_OPERATIONS, generator=rng).argsort(dim=1)
    gammas = _choose(spec.gammas, n, rng)
    sizes = _choose(spec.blur_sizes, n, rng)
    noise_seed = int(torch.randint(2**62, (1,), generator=rng))
    noisy = torch.Generator(images_NSS.device).manual_seed(noise_seed)
    images = images_NSS.clone()
    for slot in range(N_OPERATIONS):
        for operation in range(N_OPERATIONS):
            chosen = ((order[:, slot] == operation) & on[:, operation]).nonzero()[:, 0]
            if not len(chosen):
                continue
            rows = chosen.to(images.device)
            batch = images[rows]
            if operation == 0:
                batch = batch.flip(-1)
            elif operation == 1:
                batch = _gamma(batch, gammas[chosen])
            elif operation == 2:
                batch = _box_blur(batch, sizes[chosen])
            else:
                batch = _add_noise(batch, spec, noisy)
            images[rows] = batch
    return images


def _choose(
    values: tuple[float, ...] | tuple[int, ...], n: int, rng: torch.Generator
) -> torch.Tensor:
    return torch.tensor(values)[torch.randint(len(values), (n,), generator=rng)]


def _gamma(images_NSS: torch.Tensor, gammas_N: torch.Tensor) -> torch.Tensor:
    levels = torch.arange(256, dtype=torch.float32) / 255
    curves = (levels ** gammas_N[:, None] * 255).round().to(torch.uint8).to(images_NSS.device)
    looked_up = curves.gather(1, images_NSS.flatten(1).long())
    return looked_up.view_as(images_NSS)


def _box_blur(images_NSS: torch.Tensor, sizes_N: torch.Tensor) -> torch.Tensor:
    blurred = images_NSS.clone()
    for size in sizes_N.unique().tolist():
        rows = (sizes_N == size).nonzero()[:, 0].to(images_NSS.device)
        before = (size - 1) // 2
        after = size - 1 - before
        x = images_NSS[rows][:, None].to(torch.float32)
        x = pad(x, (before, after, before, after), mode="replicate")
        blurred[rows] = avg_pool2d(x, size, stride=1)[:, 0].round().to(torch.uint8)
    return blurred


def _add_noise(images_NSS: torch.Tensor, spec: AugmentSpec, rng: torch.Generator) -> torch.Tensor:
    noisy = torch.rand(images_NSS.shape, generator=rng, device=images_NSS.device) < spec.noise_share
    raised = images_NSS.to(torch.int16) + spec.noise_levels * noisy
    return raised.clamp_max(255).to(torch.uint8)
