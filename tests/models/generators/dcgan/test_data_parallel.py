"""Two processes that share a batch: what one process would do, in float64 to rounding."""

import pytest
import torch

from lussweep.study.keys import derive_seed
from support.gang import (
    of_two_ranks,
    sharded_steps,
    trainings_again,
    trainings_to_compare,
    watched_training,
)
from support.trainings import EVERYTHING, equal, random_frames, spec_of, without_seconds

pytestmark = [pytest.mark.any_processor, pytest.mark.unhurried]


@pytest.mark.parametrize(
    "changes",
    [{}, {"loss": "hinge", "r1_gamma": 0.7}],
    ids=["the paper", "hinge and R1"],
)
def test_shares_of_a_batch_add_up_to_the_step_of_one_process(changes, tmp_path):
    spec = spec_of(dropout=0.0, lr_generator=1e-4, lr_discriminator=1e-4, **changes)
    sizes = [4, 4, 3, 4, 2] * 4
    expected_gradients, expected_sums = sharded_steps(0, spec, sizes, world_size=1)
    assert len(expected_gradients) == 20
    for gradients, sums in of_two_ranks(sharded_steps, tmp_path / "ranks", spec, sizes):
        assert torch.allclose(sums, expected_sums, rtol=1e-9, atol=0)
        for found, expected in zip(gradients, expected_gradients, strict=True):
            assert torch.allclose(found, expected, rtol=0, atol=1e-9)
            assert expected.abs().max() > 1e-3


@pytest.mark.parametrize("n_frames", [10, 9])
def test_ranks_share_the_permutation_and_the_latents_of_one_process(n_frames, tmp_path):
    spec = spec_of(n_epochs=2, n_workers=2)
    frames = random_frames(n_frames)[:, :16, :16]
    ranks = of_two_ranks(watched_training, tmp_path / "ranks", frames, spec)
    rng = torch.Generator().manual_seed(derive_seed(1, "order and latents"))
    batches = [slice(0, 4), slice(4, 8), slice(8, 10)][: 3 if n_frames == 10 else 2]
    n_used = n_frames if n_frames == 10 else 8  # a last batch of one frame is left out
    for epoch in range(2):
        order = torch.randperm(n_frames, generator=rng)
        z = torch.randn(n_frames, spec.latent_size, generator=rng)
        mine = slice(epoch * len(batches), (epoch + 1) * len(batches))
        took = [torch.cat(rank[2][mine]) for rank in ranks]
        both = torch.cat(took).tolist()
        assert len(set(both)) == len(both) == n_used, "no frame comes twice"
        assert set(both) == set(order[:n_used].tolist())
        for rank, (_, _, indices, latents, _) in enumerate(ranks):
            for k, batch in enumerate(batches):
                place = epoch * len(batches) + k
                assert (indices[place] == order[batch][rank::2]).all()
                assert (latents[place] == z[batch][rank::2]).all()
    first, second = ranks
    assert all((first[1][name] == second[1][name]).all() for name in first[1])
    assert first[1].keys() == second[1].keys()
    assert without_seconds(first[0]) == without_seconds(second[0]), "both see all ranks' losses"
    assert [row.n_images_seen for row in first[0]] == [n_used, 2 * n_used]
    for mine, other in zip(first[4], second[4], strict=True):
        assert (mine != other).any(), "each rank has dropout of its own"


@pytest.mark.parametrize("changes", [{}, EVERYTHING], ids=["the paper", "everything"])
def test_two_ranks_that_were_killed_end_with_the_weights_of_two_that_were_not(changes, tmp_path):
    spec = spec_of(n_epochs=2, n_workers=2, lr_generator=1e-3, lr_discriminator=1e-3, **changes)
    assert spec.dropout > 0, "so that the random state of each rank matters"
    frames = random_frames(10)[:, :16, :16]
    places = [2, 3, 4, 5]  # of three steps an epoch
    first = of_two_ranks(
        trainings_to_compare, tmp_path / "first", frames, spec, tmp_path / "work", places
    )
    again = of_two_ranks(
        trainings_again, tmp_path / "again", frames, spec, tmp_path / "work", places
    )
    for (whole, died), resumed in zip(first, again, strict=True):
        assert died == [None] * len(places)
        rows, snapshots = whole
        for resumed_rows, resumed_snapshots in resumed:
            assert without_seconds(resumed_rows) == without_seconds(rows)
            assert resumed_snapshots
            for epoch, weights in resumed_snapshots.items():
                assert equal(weights, snapshots[epoch])
        assert 2 in resumed[0][1]
    assert equal(first[0][0][1][2], first[1][0][1][2])
