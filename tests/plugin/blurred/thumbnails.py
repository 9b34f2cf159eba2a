"""An embedder: frames at 8 x 8 pixels."""

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d


def thumbnails(frames_NSS: np.ndarray, device: torch.device, batch_size: int) -> np.ndarray:
    """The frames at 8 x 8 pixels, as floats (N, 64)."""
    batches = torch.from_numpy(frames_NSS).split(batch_size)
    small = [adaptive_avg_pool2d(batch.to(device).float(), 8).cpu() for batch in batches]
    return torch.cat(small).flatten(1).numpy()
