"""Simulated holdouts of known truth: intervals cover it in at least 92 % of studies.

A patient has 1 to 50 frames and adds to the logit of each, so half of the variance lies between
patients. The bound was fixed before the studies were run, and the intervals were chosen on other
seeds. It counts as broken where the exact binomial test against it has p < 0.001.
"""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binomtest, norm, t

from lussweep.analysis.calibration import brier, calibration_curve, line_estimate, weighted_lines
from lussweep.analysis.levels import Scored
from lussweep.analysis.net_benefit import net_benefits
from lussweep.analysis.precision import average_precision, weighted_average_precision

BOUND, ALPHA = 0.92, 0.001
THRESHOLDS = (0.1, 0.3, 0.5, 0.8)
MODELS = ("gaussian", "heavy tails", "unusual patients")
SIZES = ((100, 24), (20, 20), (10, 10))
UNUSUAL = 0.1
"""Share of patients who look as if they were of the other class."""
N_STUDIES = (
    pytest.param(100, marks=pytest.mark.unhurried),
    pytest.param(1000, marks=pytest.mark.slow),
)
SHORT = [
    pytest.param(100, model, 0.8, 1.0, sizes, id=f"{model}-{sizes}", marks=pytest.mark.unhurried)
    for model, sizes in zip(MODELS, SIZES, strict=True)
]
LONG = [
    pytest.param(1000, model, auroc, slope, sizes, id=f"1000-{model}-{auroc}-{sizes}",
                 marks=pytest.mark.slow)
    for model in MODELS
    for auroc, slope in ((0.8, 1.0), (0.95, 0.5))
    for sizes in (*SIZES, (5, 5))
]  # fmt: skip


def logits(label, effect, noise, auroc, slope):
    """Normal logits of this AUC-ROC, whose calibration line has this slope."""
    distance = np.sqrt(2) * norm.ppf(auroc)
    spread = distance / slope
    return spread * ((label - 0.5) * distance + np.sqrt(0.5) * (effect + noise))


def holdout(rng, model, auroc, slope, n_pos, n_neg):
    label_P = np.repeat([1, 0], [n_pos, n_neg])
    patient_U = np.repeat(np.arange(len(label_P)), rng.integers(1, 51, size=len(label_P)))
    effect_P = rng.normal(size=len(label_P))
    looks_P = label_P
    if model == "heavy tails":
        effect_P = rng.standard_t(4, size=len(label_P)) / np.sqrt(2)
    if model == "unusual patients":
        looks_P = np.where(rng.random(len(label_P)) < UNUSUAL, 1 - label_P, label_P)
    noise_U = rng.normal(size=len(patient_U))
    logit_U = logits(looks_P[patient_U], effect_P[patient_U], noise_U, auroc, slope)
    return Scored(label_P[patient_U], expit(logit_U), patient_U)


def quantiles(law, n):
    """A grid of n values of a law, scaled to variance 1."""
    value_N = law.ppf((np.arange(n) + 0.5) / n)
    return value_N / value_N.std()


def population(model, auroc, slope, n_pos, n_neg):
    """Label, score and weight of frames that stand for all: a grid of quantiles."""
    effect_A, noise_B = quantiles(norm(), 4000), quantiles(norm(), 100)
    if model == "heavy tails":
        effect_A = quantiles(t(4), 4000)
    unusual = UNUSUAL if model == "unusual patients" else 0.0
    parts = []
    for label, n in ((1, n_pos), (0, n_neg)):
        for looks, share in ((label, 1 - unusual), (1 - label, unusual)):
            if share:
                logit = logits(looks, effect_A[:, None], noise_B, auroc, slope).ravel()
                parts.append((np.full(len(logit), label), expit(logit), n * share))
    label_N, score_N = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    group_N = np.repeat(np.arange(len(parts)), len(parts[0][0]))
    return label_N, score_N, group_N, np.array([[weight for *_, weight in parts]])


def truth_of(model, auroc, slope, n_pos, n_neg):
    label_N, score_N, group_N, weight_1G = population(model, auroc, slope, n_pos, n_neg)
    weight_N = weight_1G[0][group_N]
    line = weighted_lines(label_N.astype(float), score_N, group_N, weight_1G)[0]
    shares = {
        (label, threshold): np.average(
            score_N[label_N == label] >= threshold, weights=weight_N[label_N == label]
        )
        for label in (0, 1)
        for threshold in THRESHOLDS
    }
    return {
        "brier": np.average((score_N - label_N) ** 2, weights=weight_N),
        "average precision": weighted_average_precision(label_N, score_N, group_N, weight_1G)[0],
        "slope": line[0],
        "intercept": line[1],
    }, shares


def net_gain(shares, prevalence, threshold):
    """The true gain over all and none, at the prevalence of a holdout's frames."""
    price = (1 - prevalence) * threshold / (1 - threshold)
    model = prevalence * shares[1, threshold] - price * shares[0, threshold]
    return model - max(0, prevalence - price)


def test_the_population_of_normal_logits_has_the_line_that_it_was_made_with():
    """Equal normal logits of two classes have a logistic line (Efron 1975)."""
    truth, shares = truth_of("gaussian", 0.8, 0.5, 100, 24)
    assert truth["slope"] == pytest.approx(0.5, rel=0.01)
    assert truth["intercept"] == pytest.approx(np.log(100 / 24), abs=0.01)
    distance = np.sqrt(2) * norm.ppf(0.8)
    assert shares[1, 0.5] == pytest.approx(norm.cdf(distance / 2), abs=0.001)


def count(estimates, covered, given):
    """Adds to the counts of intervals that are given, and of those that hold the truth."""
    for name, (estimate, value) in estimates.items():
        if estimate.withheld is None:
            given[name] = given.get(name, 0) + 1
            covered[name] = covered.get(name, 0) + (estimate.low <= value <= estimate.high)


def check(covered, given, n_studies):
    print({name: f"{covered[name]} of {n}" for name, n in given.items()})
    assert given
    for name, n in given.items():
        assert n >= 0.9 * n_studies, (name, n)
        p_value = binomtest(covered[name], n, BOUND, alternative="less").pvalue
        assert p_value >= ALPHA, (name, covered[name], n)


def estimates_of(units, truth):
    line = line_estimate(units)
    return {
        "brier": (brier(units), truth["brier"]),
        "average precision": (average_precision(units), truth["average precision"]),
        "slope": (line.slope, truth["slope"]),
        "intercept": (line.intercept, truth["intercept"]),
    }


@pytest.mark.parametrize(("n_studies", "model", "auroc", "slope", "sizes"), [*SHORT, *LONG])
def test_intervals_over_patients_cover_the_truth(n_studies, model, auroc, slope, sizes):
    truth, shares = truth_of(model, auroc, slope, *sizes)
    covered, given = {}, {}
    for study in range(n_studies):
        units = holdout(np.random.default_rng([20261, study]), model, auroc, slope, *sizes)
        found, prevalence = estimates_of(units, truth), float(units.label_U.mean())
        for one in net_benefits(units, THRESHOLDS):
            value = net_gain(shares, prevalence, one.threshold)
            found[f"net benefit {one.threshold}"] = (one.gain, value)
        count(found, covered, given)
    check(covered, given, n_studies)


@pytest.mark.parametrize("n_studies", N_STUDIES)
def test_intervals_cover_the_truth_where_chance_decides_how_many_patients_are_positive(n_studies):
    truth, _ = truth_of("gaussian", 0.8, 1.0, 20, 20)
    covered, given = {}, {}
    for study in range(n_studies):
        rng = np.random.default_rng([20263, study])
        n_pos = rng.binomial(40, 0.5)
        count(
            estimates_of(holdout(rng, "gaussian", 0.8, 1.0, n_pos, 40 - n_pos), truth),
            covered,
            given,
        )
    check(covered, given, n_studies)


@pytest.mark.parametrize("n_studies", N_STUDIES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_intervals_of_bins_cover_the_share_that_their_scores_have(n_studies, sizes):
    """Normal logits have a logistic line, so the true share at a score is known."""
    slope, intercept = 0.5, np.log(sizes[0] / sizes[1])
    covered, n_bins = 0, 0
    for study in range(n_studies):
        units = holdout(np.random.default_rng([20262, study]), "gaussian", 0.8, slope, *sizes)
        score_U = np.sort(units.score_U)
        start = 0
        for one in calibration_curve(units):
            mine = score_U[start : start + one.n_frames]
            value = expit(intercept + slope * np.log(mine / (1 - mine))).mean()
            covered, n_bins = covered + (one.low <= value <= one.high), n_bins + 1
            start += one.n_frames
    print(covered, n_bins)
    assert n_bins == 10 * n_studies
    assert binomtest(covered, n_bins, BOUND, alternative="less").pvalue >= ALPHA, covered
