"""Classifiers of real and synthetic frames: augmentation, search space, training."""
