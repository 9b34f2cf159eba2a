"""Patients, videos and frames: reads manifests and videos, checks them, and draws cohorts."""
