"""Metrics against naive ones in the same process: `python tests/benchmarks/bench_metrics.py`.

`python tests/benchmarks/bench_metrics.py memory` runs the whole family on 20,000 frames and prints
the peak memory of its process, and `quality` does so for the statistics of calibration; without an
argument each is done in a process of its own.
"""

import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score, roc_auc_score

from lussweep.analysis.auroc_interval import auroc_interval, won_by_patient
from lussweep.analysis.calibration import brier, calibration_curve, line_estimate
from lussweep.analysis.levels import Scored
from lussweep.analysis.net_benefit import net_benefits
from lussweep.analysis.precision import average_precision, weighted_average_precision
from lussweep.metrics.auroc import patient_weights, win_matrix
from lussweep.metrics.comparison import Reference, compare
from lussweep.metrics.frechet import fid
from lussweep.metrics.inception import kid
from lussweep.metrics.permutation import kmmd_test
from lussweep.metrics.privacy import memorisation

N_POS, N_NEG, N_PATIENTS, N_RESAMPLES = 64_955, 117_391, 124, 2_000  # the paper's holdout set
N_IMAGES, N_MANY_IMAGES, N_FEATURES = 2_000, 20_000, 512


def seconds(run: Callable[[], object], repeats: int = 1) -> float:
    """Of the fastest of `repeats` runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def feature_sets(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    real_ND = rng.standard_normal((n, N_FEATURES), dtype=np.float32)
    return real_ND, rng.standard_normal((n, N_FEATURES), dtype=np.float32) + np.float32(0.05)


def bench_auroc() -> None:
    rng = np.random.default_rng(0)
    label_N = np.repeat([1, 0], [N_POS, N_NEG])
    score_N = (label_N + rng.normal(size=len(label_N))).astype(np.float32)
    patient_N = rng.integers(N_PATIENTS, size=len(label_N))
    before, started = peak_gib(), time.process_time()
    ours = seconds(lambda: auroc_interval(won_by_patient(win_matrix(label_N, score_N, patient_N))))
    of_one_core, peak = time.process_time() - started, peak_gib()
    assert of_one_core < 10, f"{of_one_core:.1f} s of one core"
    assert peak < 1e9 / 2**30, f"{peak:.2f} GiB"
    once = np.median([seconds(lambda: roc_auc_score(label_N, score_N)) for _ in range(5)])
    print(
        f"AUROC with its interval over patients, {len(label_N):,} frames, {N_PATIENTS} patients: "
        f"{ours:.2f} s ({of_one_core:.2f} s of one core), peak memory of the process {peak:.2f} "
        f"GiB, {before:.2f} GiB of it imports and frames; sklearn's AUROC alone {once:.3f} s"
    )


def bench_quality() -> None:
    """One core: set OMP_NUM_THREADS=1. The peak is that of a process of its own."""
    rng = np.random.default_rng(0)
    label_N = np.repeat([1, 0], [N_POS, N_NEG])
    score_N = 1 / (1 + np.exp(-(2 * label_N - 1 + rng.normal(size=len(label_N)))))
    patient_N = rng.integers(N_PATIENTS, size=len(label_N))
    units = Scored(label_N, score_N, patient_N)
    weight_RP = patient_weights(N_PATIENTS, N_RESAMPLES, seed=0)
    average_precision_score(label_N[::99], score_N[::99])
    before = peak_gib()
    took = {
        f"average precision of {N_RESAMPLES:,} resamples": seconds(
            lambda: weighted_average_precision(label_N, score_N, patient_N, weight_RP)
        ),
        "average precision with interval": seconds(lambda: average_precision(units)),
        "Brier score with interval": seconds(lambda: brier(units)),
        "calibration line with intervals": seconds(lambda: line_estimate(units)),
        "calibration curve": seconds(lambda: calibration_curve(units)),
        "net benefit": seconds(lambda: net_benefits(units)),
    }
    peak = peak_gib() - before
    once = seconds(lambda: average_precision_score(label_N, score_N), repeats=5)
    print(
        f"{len(label_N):,} frames, {N_PATIENTS} patients: {listing(took)}; {peak:.2f} GiB beyond "
        f"the {before:.2f} of imports and frames; scikit-learn's average precision {once:.3f} s x "
        f"{N_RESAMPLES:,} = {once * N_RESAMPLES:.0f} s"
    )
    assert peak < 0.2 * 1e9 / 2**30


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


def numpy_tiles(
    a_ND: np.ndarray, b_MD: np.ndarray, centre_D: np.ndarray
) -> Iterator[tuple[int, int, np.ndarray]]:
    """All tiles of a full pass in float64, as a metric by itself takes them."""
    for i in range(0, len(a_ND), 1024):
        for j in range(0, len(b_MD), 1024):
            x_ND, y_MD = a_ND[i : i + 1024] - centre_D, b_MD[j : j + 1024] - centre_D
            norms_NM = (x_ND**2).sum(axis=1)[:, None] + (y_MD**2).sum(axis=1)
            squared_NM = norms_NM - 2 * (x_ND @ y_MD.T)
            squared_NM[squared_NM < 1e-12 * norms_NM] = 0
            yield i, j, squared_NM


def separate_passes(real_ND: np.ndarray, fake_ND: np.ndarray) -> tuple[float, float]:
    """kMMD and 1-NN accuracy by six full passes in numpy: three for each metric."""
    n, centre_D = len(real_ND), real_ND.mean(axis=0, dtype=np.float64)
    bandwidth = 4 * float(((real_ND - centre_D) ** 2).sum(axis=1).mean())

    def mean_kernel(a_ND: np.ndarray, b_ND: np.ndarray) -> float:
        tiles = numpy_tiles(a_ND, b_ND, centre_D)
        return math.fsum(float(np.exp(m / -bandwidth).sum()) for _, _, m in tiles) / n**2

    def nearest(a_ND: np.ndarray, b_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a_N, b_N = np.full(n, np.inf), np.full(n, np.inf)
        for i, j, m in numpy_tiles(a_ND, b_ND, centre_D):
            if a_ND is b_ND and i == j:
                np.fill_diagonal(m, np.inf)
            a_N[i : i + 1024] = np.minimum(a_N[i : i + 1024], m.min(axis=1))
            b_N[j : j + 1024] = np.minimum(b_N[j : j + 1024], m.min(axis=0))
        return a_N, b_N

    square = mean_kernel(real_ND, real_ND) + mean_kernel(fake_ND, fake_ND)
    square -= 2 * mean_kernel(real_ND, fake_ND)
    to_fake_N, to_real_N = nearest(real_ND, fake_ND)
    own_real_N, own_fake_N = nearest(real_ND, real_ND)[0], nearest(fake_ND, fake_ND)[0]
    correct = [(own_real_N < to_fake_N).mean(), (own_fake_N < to_real_N).mean()]
    return math.sqrt(max(0.0, square)), float(np.mean(correct))


def bench_distances() -> None:
    real_ND, fake_ND = feature_sets(N_IMAGES)
    naive, separate = naive_scores(real_ND, fake_ND), separate_passes(real_ND, fake_ND)
    reference = Reference.of(real_ND)
    together = compare(reference, fake_ND)
    for found in (separate, (together.kmmd, together.one_nn)):
        assert np.allclose(found, naive, rtol=1e-9), (found, naive)
    runs = {
        "scipy cdist": lambda: naive_scores(real_ND, fake_ND),
        "separate numpy passes": lambda: separate_passes(real_ND, fake_ND),
        "Reference.of": lambda: Reference.of(real_ND),
        "compare": lambda: compare(reference, fake_ND),
    }
    took = {name: seconds(run, repeats=3) for name, run in runs.items()}
    listed = "; ".join(f"{name} {s:.2f} s" for name, s in took.items())
    ratio = took["separate numpy passes"] / took["compare"]
    print(
        f"kMMD and 1-NN, {N_IMAGES:,} x {N_IMAGES:,} x {N_FEATURES}: {listed}; compare, with "
        f"density and coverage, {ratio:.1f} times faster than separate passes"
    )


def bench_family() -> None:
    real_ND, fake_ND = feature_sets(N_IMAGES)
    fid(real_ND[:9], fake_ND[:9])  # the import of torchmetrics
    took = whole_family(real_ND, fake_ND)
    separate = seconds(lambda: separate_passes(real_ND, fake_ND), repeats=3)
    print(
        f"whole family, {N_IMAGES:,} x {N_IMAGES:,} x {N_FEATURES}: {listing(took)}; "
        f"{sum(took.values()) / separate:.1f} times the {separate:.2f} s of separate passes for "
        f"kMMD and 1-NN alone"
    )


def whole_family(real_ND: np.ndarray, fake_ND: np.ndarray) -> dict[str, float]:
    """Seconds of each metric; a memorisation card is not among them."""
    return {
        "compare": seconds(lambda: compare(Reference.of(real_ND), fake_ND)),
        "test": seconds(lambda: kmmd_test(real_ND, fake_ND, seed=0)),
        "fid": seconds(lambda: fid(real_ND, fake_ND)),
        "kid": seconds(lambda: kid(real_ND, fake_ND, seed=0)),
    }


def listing(took: dict[str, float]) -> str:
    return "; ".join(f"{name} {s:.2f} s" for name, s in took.items())


def bench_memory() -> None:
    """Of this process, so run it in a fresh one."""
    real_ND, fake_ND = feature_sets(N_MANY_IMAGES)
    before = peak_gib()
    took = whole_family(real_ND, fake_ND)
    family = peak_gib()
    patient_N = np.arange(N_MANY_IMAGES) // 500
    took["memorisation"] = seconds(
        lambda: memorisation(real_ND, patient_N, real_ND[::2] + 1, patient_N[::2], fake_ND, seed=0)
    )
    print(
        f"whole family, {N_MANY_IMAGES:,} x {N_MANY_IMAGES:,} x {N_FEATURES}: {listing(took)}; "
        f"peak memory of the process {family:.2f} GiB, with memorisation {peak_gib():.2f} GiB, "
        f"{before:.2f} GiB of it imports and features"
    )
    assert peak_gib() < 2e9 / 2**30


if __name__ == "__main__":
    torch.set_num_threads(2)
    if sys.argv[1:] == ["memory"]:
        bench_memory()
    elif sys.argv[1:] == ["quality"]:
        bench_quality()
    else:
        bench_auroc()
        subprocess.run([sys.executable, __file__, "quality"], check=True)
        bench_distances()
        bench_family()
        subprocess.run([sys.executable, __file__, "memory"], check=True)
