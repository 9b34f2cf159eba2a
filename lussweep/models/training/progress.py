"""Writes and reads the text by which a training says how far it is."""

from __future__ import annotations

import re

RATE = r", ([\d.]+) images/s$"
"""The images a second at the end of a progress text."""


def epoch_text(
    epoch: int, n_epochs: int, *, attempt: int = 1, images_per_s: float | None = None
) -> str:
    """The progress after an epoch, with the training images a second in it.

    >>> epoch_text(3, 10, attempt=2, images_per_s=1234.5)
    'epoch 3 of 10, attempt 2, 1234 images/s'
    """
    again = f", attempt {attempt}" if attempt > 1 else ""
    rate = "" if images_per_s is None else f", {rate_text(images_per_s)} images/s"
    return f"epoch {epoch} of {n_epochs}{again}{rate}"


def rate_text(images_per_s: float) -> str:
    """Images a second: whole above 10, else with two digits.

    >>> rate_text(612.3), rate_text(3.14159)
    ('612', '3.1')
    """
    return f"{images_per_s:.0f}" if images_per_s >= 10 else f"{images_per_s:.2g}"


def images_per_s(text: str) -> float | None:
    """The images a second in a progress text; None if the text does not say them.

    >>> images_per_s("epoch 3 of 10, 612 images/s"), images_per_s("epoch 3 of 10")
    (612.0, None)
    """
    match = re.search(RATE, text)
    return float(match[1]) if match else None


def without_rate(text: str) -> str:
    """A progress text without its images a second.

    >>> without_rate("epoch 3 of 10, 612 images/s")
    'epoch 3 of 10'
    """
    return re.sub(RATE, "", text)
