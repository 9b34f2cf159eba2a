"""Accuracy, sensitivity, specificity and F1 at one threshold."""

from typing import NamedTuple

import numpy as np

from lussweep.metrics.auroc import Labels, Scores, check_scored


class Confusion(NamedTuple):
    """Shares in [0, 1]."""

    accuracy: float
    sensitivity: float
    specificity: float
    f1: float


def at_threshold(label_N: Labels, score_N: Scores, threshold: float = 0.5) -> Confusion:
    """Call each of N frames positive if its score is at least `threshold`, and count.

    f1 is the F1 score of the positive class. Raises ValueError for bad input, or for a single
    class, because sensitivity or specificity does not exist then.
    """
    label_N, score_N = check_scored(label_N, score_N)
    is_pos_N, called_N = label_N == 1, score_N >= threshold
    true_pos = int(np.count_nonzero(is_pos_N & called_N))
    false_pos = int(np.count_nonzero(~is_pos_N & called_N))
    false_neg = int(np.count_nonzero(is_pos_N)) - true_pos
    true_neg = len(label_N) - true_pos - false_pos - false_neg
    return Confusion(
        accuracy=(true_pos + true_neg) / len(label_N),
        sensitivity=true_pos / (true_pos + false_neg),
        specificity=true_neg / (true_neg + false_pos),
        f1=2 * true_pos / (2 * true_pos + false_pos + false_neg),
    )
