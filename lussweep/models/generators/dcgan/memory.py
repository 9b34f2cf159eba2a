"""Advice for a training that ran out of GPU memory."""

from __future__ import annotations

import torch

from lussweep.models.generators.dcgan.networks import Discriminator, Generator
from lussweep.study.spec import CLASSES, GanSpec

BYTES_PER_WEIGHT = 16
"""A weight, its gradient and Adam's two moments, in fp32."""


def state_bytes(spec: GanSpec, image_size: int) -> int:
    """Bytes of both networks in training, without activations."""
    n_classes = len(CLASSES) if spec.conditional else 0
    with torch.device("meta"):
        networks = (
            Generator(image_size, spec.latent_size, spec.ngf, n_classes),
            Discriminator(image_size, spec.ndf, spec.dropout, n_classes),
        )
    n_weights = sum(p.numel() for network in networks for p in network.parameters())
    return BYTES_PER_WEIGHT * n_weights


def memory_advice(spec: GanSpec, image_size: int, device: torch.device) -> str:
    """One line that says what to change in a training that ran out of GPU memory."""
    free, total = torch.cuda.mem_get_info(device)
    others = total - free - torch.cuda.memory_reserved(device)
    return advice(spec, state_bytes(spec, image_size), total, max(0, others))


def advice(spec: GanSpec, own_state: int, total: int, others: int) -> str:
    """Advise fewer trainings per GPU, narrower networks or smaller batches. Sizes are in bytes.

    The first applies if other processes hold over a quarter of the GPU, the second if the
    networks alone take over half of it, the third otherwise.
    """
    where = f"out of GPU memory ({total / 1e9:.0f} GB, {others / 1e9:.0f} GB of it others')"
    if others > total / 4:
        return f"{where}: other trainings share this GPU: raise gan.gpus, so that fewer do"
    if own_state > total / 2:
        return f"{where}: the networks take {own_state / 1e9:.0f} GB: lower gan.ngf and gan.ndf"
    return f"{where}: lower gan.batch_size, which is {spec.batch_size}"
