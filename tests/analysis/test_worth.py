import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from lussweep.analysis.curve import Range
from lussweep.analysis.power_law import fit_power_law
from lussweep.analysis.resampled_means import resampled_means
from lussweep.analysis.worth import Worth, worths
from lussweep.metrics.auroc import auroc, patient_weights, resampled_auroc, win_matrix

MANY = 10**9
"""Patients of the scarcer class: so many that a bootstrap over them needs no correction."""


def law_of(pair):
    return fit_power_law(pair.count_K, pair.baseline_RK, pair.weight_K)


def rows_of(aurocs, resampled=None, replicates=(1, 2), n_scarcer=MANY, **options):
    """Worths of {variant: {n: AUC}}, by (variant, n); every replicate has the same AUC."""
    cells = [(v, n, r, a) for v, at in aurocs.items() for n, a in at.items() for r in replicates]
    variant, n, replicate, value = (list(column) for column in zip(*cells, strict=True))
    value_C = np.array(value)
    auroc_RC = value_C[None].repeat(3, axis=0) if resampled is None else resampled(value_C)
    pairs = resampled_means(
        variant, np.array(n), np.array(replicate), value_C, auroc_RC, n_scarcer=n_scarcer, seed=1
    )
    found = [row for pair in pairs for row in worths(pair, None, **options)]
    return {(row.variant, row.n_patients): row for row in found}


def test_a_variant_equal_to_the_baseline_is_worth_n_and_gains_nothing():
    curve = {6: 0.80, 15: 0.86, 29: 0.90}
    rows = rows_of({"baseline": curve, "combined": curve})
    for (_, n), row in rows.items():
        assert row.k == (n, n)
        assert row.text == str(n)
        assert row.n_replicates == 2
        assert row.interval.high == n
    assert rows["combined", 6].interval_text == "6"
    assert rows["combined", 15].interval_text == "15"
    # as steep as up to 15, the curve has 0.90 at 21 patients and may be level from there
    assert rows["combined", 29].interval.low == pytest.approx(21, rel=0.01)


def test_a_variant_at_a_count_without_a_baseline_has_a_worth():
    rows = rows_of({"baseline": {6: 0.8, 16: 0.9}, "combined": {10: 0.87}})
    expected = 6 * (16 / 6) ** 0.7  # a line in log n
    assert rows["combined", 10].k == pytest.approx((expected, expected))
    ends = 1 / (0.3 / 6 + 0.7 / 16), 6 + 0.7 * 10  # lines in 1 / n and in n
    assert rows["combined", 10].interval == pytest.approx(ends, rel=1e-3)


def test_censored_worth_is_said_and_counted():
    def resampled(value_C):  # the variant is lifted in half of the resamples, lowered in a quarter
        lift = np.repeat([0.0, 0.2, -0.2], [25, 50, 25])
        return value_C + lift[:, None] * (np.arange(len(value_C)) >= 4)

    rows = rows_of({"baseline": {6: 0.7, 24: 0.76}, "combined": {6: 0.73}}, resampled)
    row = rows["combined", 6]
    assert (row.share_below, row.share_above) == (0.25, 0.5)
    assert row.interval == (-np.inf, np.inf)
    assert (row.text, row.interval_text) == ("12", "< 6 to > 24")


def test_no_count_of_a_flat_curve_is_excluded():
    def resampled(value_C):
        return value_C + 0.02 * np.random.default_rng(0).normal(size=(200, len(value_C)))

    rows = rows_of({"baseline": dict.fromkeys((6, 15, 29), 0.8), "combined": {15: 0.8}}, resampled)
    row = rows["combined", 15]
    assert (row.text, row.interval_text) == ("6 to 29", "< 6 to > 29")


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-np.inf, -np.inf, "< 6"),
        (np.inf, np.inf, "> 58"),
        (23.44, 23.44, "23.4"),
        (44.0, 58.0, "44 to 58"),
        (44.0, np.inf, "44 to > 58"),
        (-np.inf, 7.25, "< 6 to 7.2"),
    ],
)
def test_the_words(low, high, text):
    row = Worth(
        variant="combined", n_patients=6, n_replicates=3, auroc=0.9, k=Range(low, high),
        interval=Range(low, high), share_below=0, share_above=0, power_law=None,
        power_law_interval=None, withheld=None, smallest=6, largest=58,
    )  # fmt: skip
    assert row.text == row.interval_text == text


def holdout_study(n_patients=40, seed=0):
    """Scores of five models on the same holdout frames; more training patients, less noise."""
    rng = np.random.default_rng(seed)
    patient_N = np.repeat(np.arange(n_patients), 5)
    label_N = (patient_N % 2).astype(np.int64)
    shared = rng.normal(size=n_patients)[patient_N]
    cells = [("baseline", 6, 3.0), ("baseline", 15, 2.0), ("baseline", 29, 1.2)]
    cells += [("combined", 6, 2.0), ("combined", 15, 1.6)]
    scores = [label_N + 0.5 * shared + noise * rng.normal(size=len(label_N)) for *_, noise in cells]
    return cells, label_N, scores, patient_N


def test_without_training_noise_the_interval_tests_every_count_on_resampled_frames():
    """Both replicates have the same scores, so that only the patients' part is left."""
    cells, label_N, scores, patient_N = holdout_study()
    weight_RP = patient_weights(40, 60, seed=1)
    auroc_RC = np.stack(
        [resampled_auroc(win_matrix(label_N, s, patient_N), weight_RP) for s in scores], axis=1
    )
    auroc_C = np.array([auroc(label_N, s) for s in scores])
    twice = np.tile(np.arange(5), 2)
    pairs = resampled_means(
        [cells[i][0] for i in twice], np.array([cells[i][1] for i in twice]),
        np.repeat([1, 2], 5), auroc_C[twice], auroc_RC[:, twice], n_scarcer=MANY, seed=1,
    )  # fmt: skip
    pair = next(pair for pair in pairs if pair.variant == "combined")
    row = worths(pair, None, confidence=0.5)[0]
    at = np.geomspace(6, 29, 2000)

    def curve(y, turn):
        if turn == 0:
            return PchipInterpolator(np.log([6, 15, 29]), y)(np.log(at))
        lines = np.interp(at, [6, 15, 29], y)
        if turn == 1:
            return lines
        first = PchipInterpolator([-1 / 6, -1 / 15, -1 / 29], y)(-1 / at)
        onward = y[1] + max((y[1] - y[0]) / 9, (y[2] - y[1]) / 14) * (at - 15)
        second = np.minimum(onward, y[2]) if y[2] > y[1] else lines
        return np.where(at <= 15, first, second)

    def difference(i, weight_P):
        rows = np.concatenate([np.tile(np.flatnonzero(patient_N == p), w)
                               for p, w in enumerate(weight_P)])  # fmt: skip
        values = [auroc(label_N[rows], s[rows]) for s in scores]
        return values[3] - curve(values[:3], i % 3)

    ordered = np.sort([difference(*one) for one in enumerate(weight_RP)], axis=0)
    first = int(0.25 * 59)
    kept = at[(ordered[first] <= 0) & (ordered[59 - first] >= 0)]
    assert row.interval.low == pytest.approx(kept[0], rel=0.005)
    assert row.interval.high == pytest.approx(kept[-1], rel=0.005)
    assert row.share_below == (ordered[:, 0] < 0).mean()
    assert row.share_above == (ordered[:, -1] > 0).mean()


def test_training_noise_widens_the_interval_and_its_pairing_narrows_it():
    count = np.repeat([6, 15, 29, 44, 58], 4)
    curve = 0.97 - 0.35 * count**-0.5
    noise = 0.01 * np.random.default_rng(3).normal(size=20)
    noise -= noise.reshape(5, 4).mean(axis=1).repeat(4)
    still = np.tile(curve, 2)
    width = {}
    for name, other in (
        ("none", None),
        ("paired", noise),
        ("apart", np.roll(noise.reshape(5, 4), 1, axis=1).ravel()),
    ):
        moved = still if other is None else still + np.concatenate([noise, other])
        pairs = resampled_means(
            np.repeat(["baseline", "combined"], 20), np.tile(count, 2),
            np.tile([1, 2, 3, 4], 10), moved, moved[None].repeat(2000, axis=0),
            n_scarcer=MANY, seed=2,
        )  # fmt: skip
        row = worths(pairs[1], None)[1]
        assert row.k == pytest.approx((15, 15))
        width[name] = row.interval.high - row.interval.low
    assert width["none"] == pytest.approx(0, abs=1e-6)
    assert width["paired"] == pytest.approx(0, abs=1e-3), "what differs alike cancels"
    assert width["apart"] > 5


def test_the_power_law_reads_its_own_curve_exactly_and_nothing_beyond_the_counts():
    count = np.array([6, 15, 29, 44, 58])
    law = 0.97 - 0.35 * count**-0.5
    better = 0.97 - 0.35 * (1.5 * count) ** -0.5
    pairs = resampled_means(
        np.repeat(["baseline", "combined"], 10), np.tile(count.repeat(2), 2),
        np.tile([1, 2], 10), np.concatenate([law.repeat(2), better.repeat(2)]),
        np.concatenate([law.repeat(2), better.repeat(2)])[None].repeat(3, axis=0),
        n_scarcer=MANY, seed=1,
    )  # fmt: skip
    read = [row.power_law for row in worths(pairs[1], law_of(pairs[1]))]
    assert read == pytest.approx([9, 22.5, 43.5, np.inf, np.inf], rel=1e-4)
    for row, expected in zip(worths(pairs[1], law_of(pairs[1])), read, strict=True):
        assert row.power_law_interval == pytest.approx((expected, expected), rel=1e-3)


def test_one_replicate_or_few_patients_have_a_worth_and_no_interval():
    curves = {"baseline": {6: 0.8, 15: 0.9}, "combined": {6: 0.87}}
    for options in ({"replicates": (1,)}, {"n_scarcer": 4}):
        row = rows_of(curves, **options)["combined", 6]
        assert 6 < row.k.low < 15
        assert row.interval is row.interval_text is row.share_below is row.share_above is None


def test_a_perfect_auroc_has_no_interval_and_others_beside_it_have():
    rows = rows_of({"baseline": {6: 0.8, 15: 0.9}, "combined": {6: 0.87, 15: 1.0}})
    assert (rows["combined", 15].text, rows["combined", 15].interval) == ("> 15", None)
    assert "AUC-ROC 1" in rows["combined", 15].withheld
    assert rows["combined", 6].interval is not None
    assert rows["combined", 6].withheld is None


def test_bad_confidence_is_refused():
    with pytest.raises(ValueError, match="confidence is 1"):
        rows_of({"baseline": {6: 0.8, 15: 0.9}}, confidence=1.0)
