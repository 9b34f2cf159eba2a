#!/usr/bin/env bash
# Fills a folder with the wheels that tests/gpu/check.sh needs on a machine without network.
#
#   bash tests/gpu/wheels.sh [--out FOLDER] [--python 3.12] [--have FILE] [--ray]
#
# --python is the version of the target. FILE is what `python3 -m pip list --format=freeze` prints
# on the target: what it names is left out. Without FILE the target is taken to have what comes with
# most PyTorch images: numpy, scipy, scikit-learn, pandas, pyarrow, opencv, matplotlib and pillow.
# --ray brings Ray, without the folders that the check does not use.
exec "${PYTHON:-python3}" "$(dirname "${BASH_SOURCE[0]}")/wheels.py" "$@"
