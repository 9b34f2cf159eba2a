"""What is asked: the experiment, its plan, keys, and what a plan costs.

No torch, no Ray, no files but an experiment's own text.
"""
