import pytest

from lussweep.models.generators.dcgan.memory import advice, state_bytes
from lussweep.models.generators.dcgan.networks import Discriminator, Generator
from lussweep.study.spec import GanSpec
from support.trainings import spec_of

GB = 10**9


def test_the_papers_networks_take_16_bytes_for_each_of_92_7_million_weights():
    assert state_bytes(GanSpec(), 256) / 16e6 == pytest.approx(92.7, abs=0.05)


@pytest.mark.parametrize("is_conditional", [False, True])
def test_the_state_is_that_of_the_networks_which_are_trained(is_conditional):
    n_classes = 2 if is_conditional else 0
    networks = (Generator(64, 6, 2, n_classes), Discriminator(64, 2, 0.0, n_classes))
    n_weights = sum(p.numel() for network in networks for p in network.parameters())
    assert state_bytes(spec_of(conditional=is_conditional), 64) == 16 * n_weights


def test_other_trainings_on_the_gpu_are_the_first_thing_to_lower():
    text = advice(GanSpec(), own_state=50 * GB, total=80 * GB, others=30 * GB)
    assert "80 GB, 30 GB of it others'" in text
    assert text.endswith("raise gan.gpus, so that fewer do")


def test_networks_that_nearly_fill_the_gpu_are_made_narrower():
    text = advice(GanSpec(), own_state=45 * GB, total=80 * GB, others=10 * GB)
    assert text.endswith("the networks take 45 GB: lower gan.ngf and gan.ndf")


def test_otherwise_the_batch_is_made_smaller():
    text = advice(GanSpec(batch_size=48), own_state=10 * GB, total=80 * GB, others=10 * GB)
    assert text.endswith("lower gan.batch_size, which is 48")


def test_the_advice_is_one_line():
    for own_state, others in ((50, 30), (45, 10), (10, 10)):
        text = advice(GanSpec(), own_state * GB, 80 * GB, others * GB)
        assert "\n" not in text and text.startswith("out of GPU memory")
