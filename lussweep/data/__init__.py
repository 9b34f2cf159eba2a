"""Patients, videos and frames: reads, checks and preprocesses them, and draws cohorts."""
