"""Inference over patients: pure functions of scores, labels and patients."""
