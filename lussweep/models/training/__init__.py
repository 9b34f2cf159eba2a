"""Parts of every training loop: frames in memory, precision, captured steps, weights."""
