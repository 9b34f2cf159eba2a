"""Names the stages of a plan in words that a user reads."""

from __future__ import annotations

WORDS = {
    "shard": ("patient's frames", "patients' frames"),
    "ingest": ("index of frames", "indexes of frames"),
    "cohort": ("cohort", "cohorts"),
    "external": ("external image set", "external image sets"),
    "gan": ("GAN", "GANs"),
    "trial": ("trial", "trials"),
    "search": ("search", "searches"),
    "features": ("features of real frames", "features of real frames"),
    "score": ("GAN's scores", "GANs' scores"),
    "floor": ("floor", "floors"),
    "synth": ("synthetic set", "synthetic sets"),
    "memorisation": ("memorisation card", "memorisation cards"),
    "evaluate": ("evaluation", "evaluations"),
}
"""What one step of a stage makes, and what several make."""


def stage_words(stage: str, n: int = 2) -> str:
    """What `n` steps of a stage make, without the number; the stage itself if it is not known.

    >>> stage_words("gan", 1), stage_words("search", 4)
    ('GAN', 'searches')
    """
    return WORDS.get(stage, (stage, stage))[n != 1]
