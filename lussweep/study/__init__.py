"""The study: the experiment, its plan, the keys of its steps, and what the plan costs.

It needs neither torch nor Ray. The only file that it reads is the text of an experiment.
"""
