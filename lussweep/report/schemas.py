"""Schemas of the tables of statistics. A report computes them from the tables of `store.tables`."""

from __future__ import annotations

import pyarrow as pa

from lussweep.store.tables import DRAW, cell_columns, make_schema

OUTCOME = (
    (
        "status",
        pa.string(),
        "done; withheld: an estimate stands, an interval, test or verdict is not given; "
        "missing: cells are not there; refused: the input has no such statistic",
    ),
    ("reason", pa.string(), "why something is not given, and which cells are left out"),
)
WHO = cell_columns("where it is an axis")
_COUNTS = (
    ("n_pos_patients", pa.int32(), "patients with a positive unit"),
    ("n_neg_patients", pa.int32(), "patients with a negative unit; some may have both"),
    (
        "n_effective_pos",
        pa.float64(),
        "(sum of m)^2 / sum of m^2 of patients with m positive units",
    ),
    (
        "n_effective_neg",
        pa.float64(),
        "(sum of m)^2 / sum of m^2 of patients with m negative units",
    ),
)
_OTHER_PATIENTS = "95 %: these trained models, other holdout patients"
AUROCS = make_schema(
    *WHO,
    (
        "level",
        pa.string(),
        "frame; patient_weighted: frames, each patient weighing alike in its class; or mean, "
        "maximum or highest scores of a video or a patient",
    ),
    ("top_k", pa.int32(), "video_top and patient_top: the mean of the k highest frame scores"),
    ("n_units", pa.int32(), "frames, videos or patients"),
    ("auroc", pa.float64()),
    ("low", pa.float64(), _OTHER_PATIENTS),
    ("high", pa.float64(), _OTHER_PATIENTS),
    ("standard_error", pa.float64(), "over patients; null where the AUC-ROC is 0 or 1"),
    *_COUNTS,
    *OUTCOME,
)
MEANS = make_schema(
    ("n_patients", pa.int32()),
    ("gan_epoch", pa.int32(), "where it is an axis"),
    ("variant", pa.string()),
    ("level", pa.string(), "what an AUC-ROC is over: frame, patient_mean or patient_weighted"),
    ("n_replicates", pa.int32()),
    ("aurocs", pa.list_(pa.float64()), "of the replicates"),
    ("auroc", pa.float64(), "mean over replicates"),
    ("sd", pa.float64(), "sample standard deviation over replicates"),
    ("low", pa.float64(), "95 %, for other trainings and other holdout patients"),
    ("high", pa.float64(), "95 %, for other trainings and other holdout patients"),
    ("df", pa.float64(), "degrees of freedom of the two variances, by the jackknife"),
    ("training_sd", pa.float64(), "of one replicate, pooled over patient counts if they allow it"),
    ("patient_sd", pa.float64(), "of the mean over holdout patients, however many trainings"),
    *OUTCOME,
)
_OVER_PATIENTS = "95 % over holdout patients, for these trained models"
_JACKKNIFED = f"{_OVER_PATIENTS}: jackknife"
QUALITY = make_schema(
    *WHO,
    ("average_precision", pa.float64(), "area under precision and recall of holdout frames"),
    ("average_precision_low", pa.float64(), _JACKKNIFED),
    ("average_precision_high", pa.float64(), _JACKKNIFED),
    (
        "prevalence",
        pa.float64(),
        "share of positive frames of the holdout, the average precision of chance",
    ),
    ("brier", pa.float64(), "mean squared distance of score and label over holdout frames"),
    ("brier_low", pa.float64(), _JACKKNIFED),
    ("brier_high", pa.float64(), _JACKKNIFED),
    (
        "calibration_slope",
        pa.float64(),
        "of the label on the score's logit, over holdout frames; 1 is calibrated",
    ),
    ("calibration_slope_low", pa.float64(), _JACKKNIFED),
    ("calibration_slope_high", pa.float64(), _JACKKNIFED),
    (
        "calibration_intercept",
        pa.float64(),
        "of the label on the score's logit, over holdout frames; 0 is calibrated",
    ),
    ("calibration_intercept_low", pa.float64(), _JACKKNIFED),
    ("calibration_intercept_high", pa.float64(), _JACKKNIFED),
    (
        "calibration_error",
        pa.float64(),
        "expected, over 10 bins of equal mass of holdout frames; no interval",
    ),
    ("n_pos_patients", pa.int32(), "holdout patients with a positive frame"),
    ("n_neg_patients", pa.int32(), "holdout patients with a negative frame"),
    *OUTCOME,
)
CALIBRATION = make_schema(
    *WHO,
    ("bin", pa.int32(), "from 1, the tenth of holdout frames with the lowest scores"),
    ("mean_score", pa.float64(), "of the bin's frames; the share that the model foretells"),
    ("share", pa.float64(), "of the bin's frames that are positive"),
    ("low", pa.float64(), f"of the share: {_OVER_PATIENTS}, and for these bins"),
    ("high", pa.float64(), f"of the share: {_OVER_PATIENTS}, and for these bins"),
    ("n_frames", pa.int32(), "holdout frames of the bin"),
    ("n_patients_in_bin", pa.int32(), "holdout patients with a frame in the bin"),
    *OUTCOME,
)
_AT_PREVALENCE = f"{_OVER_PATIENTS}, at the prevalence of these holdout frames"
NET_BENEFIT = make_schema(
    *WHO,
    (
        "recalibrated",
        pa.bool_(),
        "whether validation's calibration line has made probabilities of the scores",
    ),
    ("threshold", pa.float64(), "threshold probability; means what it says if calibrated"),
    ("prevalence", pa.float64(), "share of positive frames of the holdout"),
    ("net_benefit", pa.float64(), "of the model, in true positives a holdout frame"),
    ("net_benefit_low", pa.float64(), _AT_PREVALENCE),
    ("net_benefit_high", pa.float64(), _AT_PREVALENCE),
    ("treat_all", pa.float64(), "net benefit of calling every holdout frame positive"),
    ("treat_none", pa.float64(), "net benefit of calling no frame positive: 0"),
    ("gain", pa.float64(), "of the model over the better of all and none"),
    ("gain_low", pa.float64(), _AT_PREVALENCE),
    ("gain_high", pa.float64(), _AT_PREVALENCE),
    *OUTCOME,
)
OPERATING = make_schema(
    *WHO,
    ("wanted", pa.float64(), "specificity that the threshold reaches on validation"),
    ("threshold", pa.float64(), "inf where no validation score reaches it"),
    ("val_sensitivity", pa.float64(), "on validation, which chose the threshold"),
    ("sensitivity", pa.float64(), "on holdout"),
    ("sensitivity_low", pa.float64(), _OTHER_PATIENTS),
    ("sensitivity_high", pa.float64(), _OTHER_PATIENTS),
    ("specificity", pa.float64(), "on holdout"),
    ("specificity_low", pa.float64(), _OTHER_PATIENTS),
    ("specificity_high", pa.float64(), _OTHER_PATIENTS),
    *_COUNTS,
    *OUTCOME,
)
DELONG = make_schema(
    *DRAW,
    ("gan_epoch", pa.int32(), "where it is an axis"),
    ("variant", pa.string()),
    ("reference", pa.string()),
    ("auroc", pa.float64(), "one score a patient, the mean over frames"),
    ("reference_auroc", pa.float64(), "one score a patient, the mean over frames"),
    ("difference", pa.float64()),
    ("low", pa.float64(), "95 %"),
    ("high", pa.float64(), "95 %"),
    ("standard_error", pa.float64()),
    ("p_value", pa.float64(), "two-sided, not adjusted"),
    *OUTCOME,
)
CONTRASTS = make_schema(
    ("n_patients", pa.int32()),
    ("gan_epoch", pa.int32(), "where it is an axis"),
    ("variant", pa.string()),
    ("reference", pa.string()),
    ("level", pa.string(), "what an AUC-ROC is over: analysis.level"),
    ("n_replicates", pa.int32(), "that both have"),
    ("auroc", pa.float64(), "mean over replicates"),
    ("reference_auroc", pa.float64(), "mean over replicates"),
    ("difference", pa.float64(), "mean over replicates"),
    ("low", pa.float64(), "95 %, for other trainings and other holdout patients"),
    ("high", pa.float64(), "95 %, for other trainings and other holdout patients"),
    ("p_value", pa.float64(), "two-sided, for other trainings and other holdout patients"),
    ("p_holm", pa.float64(), "adjusted for every planned contrast, computed or not"),
    ("margin", pa.float64()),
    ("non_inferior", pa.bool_(), "whether low lies above -margin: one-sided, 0.025"),
    ("standard_error", pa.float64(), "for other trainings and other holdout patients"),
    ("df", pa.float64(), "degrees of freedom of the t interval"),
    ("detectable", pa.float64(), "smallest true difference found with power 0.8 at 0.05"),
    ("training_sd", pa.float64(), "of one replicate's difference, for these holdout patients"),
    ("training_df", pa.float64(), "degrees of freedom of training_sd"),
    ("training_model", pa.string(), "trend: pooled over patient counts; own: of this count alone"),
    ("patient_sd", pa.float64(), "of the difference over holdout patients, however many trainings"),
    ("patient_df", pa.float64(), "degrees of freedom of patient_sd"),
    ("own_sd", pa.float64(), "the part of training_sd that patients do in one training alone"),
    ("conditional_low", pa.float64(), "95 % over holdout patients, for these trained models"),
    ("conditional_high", pa.float64(), "95 % over holdout patients, for these trained models"),
    ("cohort_overlap", pa.float64(), "share of training patients common to two replicates, mean"),
    *OUTCOME,
)
CONTROLS = make_schema(
    ("n_patients", pa.int32()),
    ("variant", pa.string(), "trained with shuffled labels"),
    ("n_permutations", pa.int32(), "replicates with scores, each one permutation of the labels"),
    ("auroc", pa.float64(), "mean over permutations"),
    ("low", pa.float64(), "95 % t interval over permutations, for these holdout patients"),
    ("high", pa.float64(), "95 % t interval over permutations, for these holdout patients"),
    ("verdict", pa.string(), "chance where the interval contains 0.5, else not chance"),
    *OUTCOME,
)
_BOTH = "95 %, over holdout patients and trainings"
WORTH = make_schema(
    ("variant", pa.string(), "with its GAN epoch where that is an axis"),
    ("n_patients", pa.int32(), "of each class, that the variant was trained with"),
    ("level", pa.string(), "what an AUC-ROC is over: analysis.level"),
    ("n_replicates", pa.int32(), "that the mean is over"),
    ("auroc", pa.float64(), "mean over replicates, for these patients and trainings"),
    ("worth", pa.string(), "patients per class of the baseline that are as good"),
    ("interval", pa.string(), f"{_BOTH}: patients per class of the baseline"),
    ("k_low", pa.float64(), "patients per class; -inf below the smallest count"),
    ("k_high", pa.float64(), "patients per class; inf above the largest count"),
    ("interval_low", pa.float64(), f"{_BOTH}: patients per class"),
    ("interval_high", pa.float64(), f"{_BOTH}: patients per class"),
    ("share_below", pa.float64(), "of resamples worse than the baseline at its smallest count"),
    ("share_above", pa.float64(), "of resamples better than the baseline at its largest count"),
    (
        "power_law_k",
        pa.float64(),
        "patients per class, read from a - b n^-c instead; null if that is a step",
    ),
    ("power_law_low", pa.float64(), f"{_BOTH}, if the curve is a - b n^-c"),
    ("power_law_high", pa.float64(), f"{_BOTH}, if the curve is a - b n^-c"),
    *OUTCOME,
)
MULTIPLIER = make_schema(
    ("variant", pa.string(), "with its GAN epoch where that is an axis"),
    ("level", pa.string(), "what an AUC-ROC is over: analysis.level"),
    ("m", pa.float64(), "patients of the baseline that one patient counts as with the variant"),
    ("low", pa.float64(), f"{_BOTH}; -inf below what the counts can tell"),
    ("high", pa.float64(), f"{_BOTH}; inf above what the counts can tell"),
    ("n_counts", pa.int32(), "patient counts n with m n inside the grid"),
    ("a", pa.float64(), "of the baseline's AUC-ROC, a - b n^-c: its limit"),
    ("b", pa.float64(), "of the baseline's AUC-ROC, a - b n^-c"),
    ("c", pa.float64(), "of the baseline's AUC-ROC, a - b n^-c"),
    ("lack_of_fit_p", pa.float64(), "p-value, over patients and trainings: small is no such curve"),
    *OUTCOME,
)
_CORRELATIONS = tuple(
    (f"{name}{end}", pa.float64(), unit)
    for name, unit in (
        ("spearman", "over cells; positive: the better metric, the larger gain"),
        ("kendall", "over cells; positive: the better metric, the larger gain"),
        ("spearman_within", "between cells of one patient count"),
        ("kendall_within", "between cells of one patient count"),
    )
    for end in ("", "_low", "_high")
)
USEFULNESS = make_schema(
    ("variant", pa.string()),
    ("metric", pa.string(), "of the positives' generator"),
    ("embedder", pa.string()),
    ("space", pa.string()),
    ("n_cells", pa.int32()),
    ("n_units", pa.int32(), "cohorts, or replicates where cohorts are nested: what is resampled"),
    *_CORRELATIONS,
    ("p_value", pa.float64(), "of no relation within patient counts, by permutation"),
    ("q_value", pa.float64(), "p_value adjusted over this table: false discovery rate"),
    *OUTCOME,
)
