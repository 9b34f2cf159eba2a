"""Patients, videos and frames."""
