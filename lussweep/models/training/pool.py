"""Training frames as uint8, in memory that a step reaches without waiting."""

from __future__ import annotations

import numpy as np
import torch

SHARE_OF_FREE_MEMORY = 0.5
"""Frames that need more than this share of a GPU's free memory stay in the host's pinned memory."""


class FramePool:
    """uint8 frames (N, S, S), with or without class labels (N,)."""

    def __init__(
        self, frames_NSS: np.ndarray, label_N: np.ndarray | None, device: torch.device
    ) -> None:
        frames = torch.from_numpy(np.ascontiguousarray(frames_NSS))
        labels = None if label_N is None else torch.from_numpy(label_N.astype(np.int64))
        self.device = device
        self.home = device if _fits(frames, device) else torch.device("cpu")
        if self.home != device:
            frames = frames.pin_memory()
            labels = None if labels is None else labels.pin_memory()
        self.frames = frames.to(self.home)
        self.labels = None if labels is None else labels.to(self.home)

    def __len__(self) -> int:
        return len(self.frames)

    def place(self, index_N: torch.Tensor) -> torch.Tensor:
        """Move indices to the device that holds the frames; done once for many batches."""
        return index_N.to(self.home)

    def take(self, index_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Frames and labels of placed indices, on the training device."""
        frames = self.frames[index_N]
        labels = None if self.labels is None else self.labels[index_N]
        if self.home != self.device:
            frames = frames.pin_memory().to(self.device, non_blocking=True)
            if labels is not None:
                labels = labels.pin_memory().to(self.device, non_blocking=True)
        return frames, labels


def _fits(frames: torch.Tensor, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    # Memory that this process has reserved but does not use is free too: a worker runs many steps.
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return frames.numel() <= SHARE_OF_FREE_MEMORY * free
