"""Runs steps on a Ray cluster: the one folder that imports ray."""
