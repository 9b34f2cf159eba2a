#!/usr/bin/env bash
# Checks lussweep on a machine with one NVIDIA GPU: is it right there, and how fast is it?
#
#   bash tests/gpu/check.sh [--out FOLDER] [--wheels FOLDER] [--smoke]
#                           [--parts PART ...] [--limit-s SECONDS]
#
# Needs Python 3.11 or newer and PyTorch with CUDA; no network, no Ray, no installation. What else
# is missing comes from a folder that tests/gpu/wheels.sh has filled. $PYTHON names another Python.
exec "${PYTHON:-python3}" "$(dirname "${BASH_SOURCE[0]}")/check.py" "$@"
