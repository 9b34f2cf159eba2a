"""Runs steps on a Ray cluster: the one folder that imports ray."""

from lussweep.backend.cluster.environment import set_environment

set_environment()  # before a module of this folder imports ray, which reads it then
