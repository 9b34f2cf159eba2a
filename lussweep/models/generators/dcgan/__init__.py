"""The DCGAN: networks, training step, training loop, checkpoints and health."""
