import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lussweep.classifier.search_space import TrialConfig, search_list
from lussweep.spec import SearchSpec

ALL = SearchSpec(n_trials=45)
SPACE = {
    TrialConfig(*values)
    for values in itertools.product(ALL.learning_rates, ALL.channels, ALL.dropouts)
}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**63 - 1), st.integers(1, 45))
def test_a_list_has_different_configurations_of_the_space(seed, n_trials):
    configs = search_list(SearchSpec(n_trials=n_trials), seed)
    assert len(configs) == len(set(configs)) == n_trials
    assert set(configs) <= SPACE


def test_the_longest_list_is_the_whole_space():
    assert set(search_list(ALL, 1)) == SPACE
    assert len(SPACE) == 45


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_a_longer_list_begins_with_the_shorter_one(seed):
    whole = search_list(ALL, seed)
    for n_trials in (1, 2, 12, 44):
        assert search_list(SearchSpec(n_trials=n_trials), seed) == whole[:n_trials]


def test_one_seed_gives_one_list_and_another_seed_another():
    search = SearchSpec()
    assert search_list(search, 5) == search_list(search, 5)
    assert len({tuple(search_list(search, seed)) for seed in range(10)}) == 10


def test_every_configuration_comes_first_about_equally_often():
    space = SearchSpec(n_trials=1, learning_rates=(0.1, 0.2), channels=(1, 2), dropouts=(0.0,))
    first = [search_list(space, seed)[0] for seed in range(160)]
    counts = [first.count(config) for config in set(first)]
    assert len(counts) == 4
    assert all(15 <= count <= 65 for count in counts), counts  # 4.6 standard deviations


def test_a_space_of_one_configuration_is_a_list_of_it():
    search = SearchSpec(n_trials=1, learning_rates=(0.01,), channels=(2,), dropouts=(0.1,))
    assert search_list(search, 0) == [TrialConfig(0.01, 2, 0.1)]
