import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lussweep.models.classifiers.search_space import (
    KnownTrial,
    TrialConfig,
    propose,
    pruner,
    search_list,
)
from lussweep.study.spec import SearchSpec, VggSearchSpec

ALL = VggSearchSpec(n_trials=45)
SPACE = {
    TrialConfig(rate, {"channels": channels, "dropout": dropout})
    for rate, channels, dropout in itertools.product(ALL.learning_rates, ALL.channels, ALL.dropouts)
}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**63 - 1), st.integers(1, 45))
def test_a_list_has_different_configurations_of_the_space(seed, n_trials):
    configs = search_list(VggSearchSpec(n_trials=n_trials), seed)
    assert len(configs) == len(set(configs)) == n_trials
    assert set(configs) <= SPACE


def test_the_longest_list_is_the_whole_space():
    assert set(search_list(ALL, 1)) == SPACE
    assert len(SPACE) == 45


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_a_longer_list_begins_with_the_shorter_one(seed):
    whole = search_list(ALL, seed)
    for n_trials in (1, 2, 12, 44):
        assert search_list(VggSearchSpec(n_trials=n_trials), seed) == whole[:n_trials]


def test_one_seed_gives_one_list_and_another_seed_another():
    search = VggSearchSpec()
    assert search_list(search, 5) == search_list(search, 5)
    assert len({tuple(search_list(search, seed)) for seed in range(10)}) == 10


def test_every_configuration_comes_first_about_equally_often():
    space = VggSearchSpec(n_trials=1, learning_rates=(0.1, 0.2), channels=(1, 2), dropouts=(0.0,))
    first = [search_list(space, seed)[0] for seed in range(160)]
    counts = [first.count(config) for config in set(first)]
    assert len(counts) == 4
    assert all(15 <= count <= 65 for count in counts), counts  # 4.6 standard deviations


def test_a_space_of_one_configuration_is_a_list_of_it():
    search = VggSearchSpec(n_trials=1, learning_rates=(0.01,), channels=(2,), dropouts=(0.1,))
    assert search_list(search, 0) == [TrialConfig(0.01, {"channels": 2, "dropout": 0.1})]


def test_all_combinations_can_be_asked_for_by_word():
    assert set(search_list(VggSearchSpec(n_trials="all"), 1)) == SPACE


# --- learning from earlier trials -------------------------------------------------------------


def finished(config, *merits, pruned=False):
    return KnownTrial(config, merits, pruned)


def test_the_random_sampler_learns_nothing():
    search = VggSearchSpec(n_trials=3)
    known = [finished(config, 0.9) for config in search_list(search, 1)[:2]]
    assert propose(search, 1, known) == propose(search, 1, []) == search_list(search, 1)[2]


def tpe(n_trials, **changes):
    return VggSearchSpec(n_trials=n_trials, sampler="tpe", **changes)


def test_tpe_begins_with_the_random_list():
    first = [propose(tpe(n), 5, []) for n in (1, 2, 3, 4)]
    assert first == search_list(VggSearchSpec(n_trials=4), 5)


class WidthsSearch(SearchSpec):
    widths: tuple[tuple[int, ...], ...] = ((4,), (4, 4), (8,))


@pytest.mark.filterwarnings("ignore:.*persistent storage:UserWarning")
def test_tpe_knows_a_tuple_again_that_a_record_holds_as_a_list():
    first = search_list(WidthsSearch(n_trials=2), 5)
    recorded = [TrialConfig.of(json.loads(json.dumps(config.values()))) for config in first]
    assert recorded == first
    search = WidthsSearch(n_trials=3, sampler="tpe")
    proposed = propose(search, 5, [finished(config, 0.5) for config in recorded])
    assert proposed.hyperparameters["widths"] in search.widths


def merit_of(config):
    """Best at learning rate 0.001, c = 5, dropout 0.25."""
    return (
        0.5
        + 0.3 * (config.learning_rate == 0.001)
        + 0.1 * (config.hyperparameters["channels"] == 5)
        + 0.05 * (config.hyperparameters["dropout"] == 0.25)
    )


def searched(search_of, n_trials, seed):
    known = []
    for n in range(1, n_trials + 1):
        config = propose(search_of(n), seed, known[: max(0, n - 4)])
        known.append(finished(config, merit_of(config)))
    return known


def test_tpe_finds_more_good_configurations_than_chance_does():
    def mean_merit(search_of):
        trials = [t for seed in range(5) for t in searched(search_of, 30, seed)[15:]]
        return sum(t.merits[0] for t in trials) / len(trials)

    by_chance = sum(map(merit_of, SPACE)) / len(SPACE)
    assert mean_merit(lambda n: VggSearchSpec(n_trials=n)) == pytest.approx(by_chance, abs=0.05)
    assert mean_merit(tpe) > by_chance + 0.15


def test_a_proposal_depends_on_seed_and_known_trials_alone():
    known = searched(tpe, 12, 3)
    assert propose(tpe(13), 3, known) == propose(tpe(13), 3, known)
    proposals = {propose(tpe(13), seed, known) for seed in range(12)}
    assert len(proposals) > 1


def test_trials_without_a_finite_merit_are_stood():
    configs = search_list(VggSearchSpec(n_trials=3), 1)
    known = [
        finished(configs[0], None, None),
        finished(configs[1], 0.4, None, pruned=True),
        finished(configs[2], 0.7),
    ]
    assert propose(tpe(4), 1, known) in SPACE
    assert propose(tpe(4), 1, known[:1]) in SPACE


# --- giving trials up ---------------------------------------------------------------------------


def asha(**changes):
    return VggSearchSpec(pruner="asha", reduction_factor=2, **changes)


def ends_at(search, known, merits):
    """The epoch at which a trial with these merits is given up; None where it is not."""
    is_hopeless = pruner(search, known)
    for epoch, merit in enumerate(merits, start=1):
        if is_hopeless(epoch, merit):
            return epoch
    return None


CONFIG = next(iter(SPACE))
KNOWN = [
    finished(CONFIG, 0.5, pruned=True),
    finished(CONFIG, 0.6, 0.7, 0.7, 0.7),
    finished(CONFIG, 0.7, 0.8, pruned=True),
]


def test_without_a_pruner_no_trial_is_given_up():
    assert ends_at(VggSearchSpec(), KNOWN, [0.0, 0.0, 0.0]) is None


def test_the_first_trial_is_never_given_up():
    assert ends_at(asha(), [], [0.1] * 8) is None


@pytest.mark.parametrize(
    ("merits", "epoch"),
    [
        ([0.55, 0.9], 1),  # third of four at the first rung
        ([0.65, 0.6, 0.9], 2),  # second of four there, last of three at the second rung
        ([0.65, 0.9, 0.1, 0.1], 4),  # between rungs nothing ends; at epoch 4 it is last of two
        ([0.65, 0.9, 0.1, 0.8], None),
        ([0.9, None], 2),
    ],
)
def test_a_trial_ends_at_a_rung_where_it_is_not_in_the_better_half(merits, epoch):
    assert ends_at(asha(), KNOWN, merits) == epoch


def test_the_first_rung_is_at_min_epochs():
    assert ends_at(asha(min_epochs=3), KNOWN, [0.0, 0.0, 0.1]) == 3
    assert ends_at(asha(min_epochs=3), KNOWN, [0.0, 0.0, 0.9]) is None
