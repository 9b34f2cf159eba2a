"""Metrics against naive ones in the same process: `python tests/benchmarks/bench_metrics.py`."""

import math
import time
from collections.abc import Callable

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score

from lussweep.metrics.auroc import clustered_auroc
from lussweep.metrics.kmmd import kmmd
from lussweep.metrics.nearest import one_nn

N_POS, N_NEG, N_PATIENTS, N_RESAMPLES = 64_955, 117_391, 124, 2_000  # the paper's holdout set
N_IMAGES, N_FEATURES = 2_000, 512


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def bench_auroc() -> None:
    rng = np.random.default_rng(0)
    label_N = np.repeat([1, 0], [N_POS, N_NEG])
    score_N = (label_N + rng.normal(size=len(label_N))).astype(np.float32)
    patient_N = rng.integers(N_PATIENTS, size=len(label_N))
    ours = seconds(lambda: clustered_auroc(label_N, score_N, patient_N, seed=0))
    once = np.median([seconds(lambda: roc_auc_score(label_N, score_N)) for _ in range(5)])
    print(
        f"clustered AUROC, {len(label_N):,} frames, {N_PATIENTS} patients, {N_RESAMPLES:,} "
        f"resamples: {ours:.2f} s; sklearn {once:.3f} s x {N_RESAMPLES:,} = "
        f"{once * N_RESAMPLES:.0f} s; {once * N_RESAMPLES / ours:.0f} times faster"
    )


def naive_scores(real_ND: np.ndarray, fake_ND: np.ndarray) -> tuple[float, float]:
    pooled = np.concatenate([real_ND, fake_ND])
    m = cdist(pooled, pooled, "sqeuclidean")
    n = len(real_ND)
    scale = 2 * m[:n, :n].mean()
    k = np.exp(-m / scale)
    mmd = math.sqrt(max(0.0, k[:n, :n].mean() + k[n:, n:].mean() - 2 * k[:n, n:].mean()))
    np.fill_diagonal(m, np.inf)
    is_real = np.arange(2 * n) < n
    return mmd, float((is_real[m.argmin(axis=1)] == is_real).mean())


def bench_distances() -> None:
    rng = np.random.default_rng(0)
    real_ND = rng.normal(size=(N_IMAGES, N_FEATURES)).astype(np.float32)
    fake_ND = (rng.normal(size=(N_IMAGES, N_FEATURES)) + 0.05).astype(np.float32)
    naive = naive_scores(real_ND, fake_ND)
    found = kmmd(real_ND, fake_ND), one_nn(real_ND, fake_ND).accuracy
    assert np.allclose(found, naive, rtol=1e-9), (found, naive)
    ours = seconds(lambda: (kmmd(real_ND, fake_ND), one_nn(real_ND, fake_ND)))
    theirs = seconds(lambda: naive_scores(real_ND, fake_ND))
    print(
        f"kMMD and 1-NN, {N_IMAGES:,} x {N_IMAGES:,} x {N_FEATURES}: {ours:.2f} s; scipy cdist "
        f"{theirs:.2f} s; {theirs / ours:.1f} times faster"
    )


if __name__ == "__main__":
    bench_auroc()
    bench_distances()
