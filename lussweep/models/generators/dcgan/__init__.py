"""A DCGAN: its networks, training step, loop, checkpoints and health."""
