"""Patients, videos and frames: reading, checking, drawing and preprocessing."""
