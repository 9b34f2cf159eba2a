"""What pyproject.toml cannot say: every package is found, and the experiments are one of them."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["lussweep", "lussweep.*"]), "lussweep.experiments"])
