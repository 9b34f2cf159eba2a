import pytest
import torch

from lussweep.models.generators.dcgan.networks import Generator
from lussweep.models.training.weights import first_mismatch, is_counter

EXPECTED = {
    "conv.weight": torch.zeros(3, 2, 4, 4),
    "norm.weight": torch.zeros(3),
    "norm.num_batches_tracked": torch.tensor(0),
    "head.weight": torch.zeros(2, 3),
}


def changed(**tensors):
    return {**EXPECTED, **{name.replace("_", ".", 1): t for name, t in tensors.items()}}


def test_tensors_of_the_same_names_and_shapes_fit_whatever_their_values():
    assert first_mismatch(EXPECTED, {name: t + 1 for name, t in EXPECTED.items()}) is None
    reordered = dict(reversed(EXPECTED.items()))
    assert first_mismatch(EXPECTED, reordered) is None


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (changed(norm_weight=torch.zeros(4)), "norm.weight should be (3,), found (4,)"),
        (changed(head_weight=torch.zeros(3, 2)), "head.weight should be (2, 3), found (3, 2)"),
        (changed(norm_weight=torch.zeros(())), "norm.weight should be (3,), found ()"),
        (changed(norm_weight=[0, 0, 0]), "norm.weight should be (3,), found a list"),
        (changed(norm_weight=None), "norm.weight should be (3,), found nothing"),
        (changed(stray_bias=torch.zeros(7)), "stray.bias should be absent, found (7,)"),
        (changed(stray_note="x"), "stray.note should be absent, found a str"),
        ({}, "conv.weight should be (3, 2, 4, 4), found nothing"),
        (None, "conv.weight should be (3, 2, 4, 4), found nothing"),
        ([1, 2], "conv.weight should be (3, 2, 4, 4), found nothing"),
    ],
)
def test_what_does_not_fit_is_said_in_words(found, words):
    assert first_mismatch(EXPECTED, found) == words


def test_of_several_the_first_expected_one_is_named():
    found = changed(head_weight=torch.zeros(1), conv_weight=torch.zeros(1), a_stray=torch.zeros(1))
    assert first_mismatch(EXPECTED, found).startswith("conv.weight should be")


def test_counters_of_batches_may_be_missing_but_not_misshapen():
    name = "norm.num_batches_tracked"
    without = {k: t for k, t in EXPECTED.items() if k != name}
    assert first_mismatch(EXPECTED, without) is None
    misshapen = {**EXPECTED, name: torch.zeros(2)}
    assert first_mismatch(EXPECTED, misshapen) == f"{name} should be (), found (2,)"


def test_counters_are_told_by_their_names():
    names = [name for name in Generator(16, 5, 2).state_dict() if is_counter(name)]
    assert names == ["layers.1.num_batches_tracked", "layers.4.num_batches_tracked"]


def test_a_network_fits_itself_and_not_a_wider_one():
    small, wide = (Generator(16, 5, ngf).state_dict() for ngf in (2, 3))
    assert first_mismatch(small, small) is None
    assert first_mismatch(wide, small) == (
        "layers.0.weight should be (5, 6, 4, 4), found (5, 4, 4, 4)"
    )
