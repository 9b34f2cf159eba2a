"""What `--set` reads: YAML, and comma lists where a field holds a list."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from lussweep.errors import InputError
from lussweep.study.spec import StudySpec, load_study
from lussweep.study.spec.fields import settable, types_at


def set_to(*overrides: str) -> StudySpec:
    return load_study("name: mine", overrides=overrides)


def value_at(study: StudySpec, key: str) -> Any:
    return functools.reduce(getattr, key.split("."), study)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("grid.n_patients=3,6,12", (3, 6, 12)),
        ("grid.n_patients=3, 6, 12", (3, 6, 12)),
        ("grid.n_patients=[3, 6, 12]", (3, 6, 12)),
        ("grid.n_patients=6", (6,)),
        ("grid.variants=baseline,combined", ("baseline", "combined")),
        ("grid.variants=baseline", ("baseline",)),
        ("gan.augment=brightness,cutout", ("brightness", "cutout")),
        ("search.learning_rates=0.003,0.001", (0.003, 0.001)),
        ("search.learning_rates=1e-3,.0005,5E-5,2.e-3", (0.001, 0.0005, 5e-5, 0.002)),
        ("search.dropouts=0.1", (0.1,)),
        ("score.embedders=auto", "auto"),
        ("score.embedders=detector", ("detector",)),
        ("data.positive=yes,B-line", ("yes", "B-line")),
        ("data.positive='consolidation, severe'", ("consolidation, severe",)),
        ("data.preprocess.crop=0,10,200,300", (0, 10, 200, 300)),
        ("data.preprocess.crop=none", "none"),
    ],
)  # fmt: skip
def test_a_comma_list_is_a_list_where_the_field_holds_one(override: str, value: Any) -> None:
    assert value_at(set_to(override), override.partition("=")[0]) == value


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("name=a,b", "a,b"),
        ("description=first, then second", "first, then second"),
        ("data.label=findings,coded", "findings,coded"),
    ],
)
def test_a_text_with_commas_stays_a_text(override: str, value: str) -> None:
    assert value_at(set_to(override), override.partition("=")[0]) == value


def test_the_sources_of_a_variant_are_a_list() -> None:
    study = set_to("variants.mine.pos=real,real", "variants.mine.neg=real")
    assert study.variants["mine"].pos == ("real", "real")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("grid.replicates=3,6", "grid.replicates: "),
        (
            "analysis.contrasts=combined,baseline",
            r"list of lists: write contrasts=\[\[combined,baseline\]\]",
        ),
        (
            "data.preprocess.mask_boxes=1,2,3,4",
            r"list of lists: write mask_boxes=\[\[1,2,3,4\]\]",
        ),
        ("grid.n_patients=3,six", r"'six' is not a decimal number: .* n_patients=\[3, 6, 12\]"),
        ("grid.n_patients=1:30", "'1:30' is not a decimal number"),
        ("grid.n_patients=3,1:30", "'1:30' is not a decimal number"),
        ("grid.n_patients=010", "'010' is not a decimal number"),
        ("grid.n_patients=true", "'true' is not a decimal number"),
        ("grid.n_patients=3,true", "'true' is not a decimal number"),
        ("data.preprocess.crop=0x10,0,200,300", "'0x10' is not a decimal number"),
    ],
)
def test_a_comma_list_elsewhere_is_refused(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        set_to(override)


def test_every_key_that_is_offered_is_a_field() -> None:
    keys = settable()
    assert {"name", "grid.n_patients", "gan.lr_generator", "gan.health.policy.retry.seeds"} <= {
        *keys
    }
    assert {"gan.health.policy", "select", "select.best", "classifier.augment"} <= {*keys}
    assert not {"gan", "data", "data.phantom", "detector.search"} & {*keys}
    assert len(set(keys)) == len(keys)
    assert all(types_at(key.split(".")) for key in keys)
