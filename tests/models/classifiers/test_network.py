import pytest
import torch
from torch import nn

from lussweep.models.classifiers.network import Network, build_network, set_batchnorm_momentum
from lussweep.models.classifiers.vgg import ReducedVGG
from lussweep.study.spec import CLASSIFIERS, ClassifierKind, SearchSpec


class Means(Network):
    """The mean grey level as the only feature."""

    def embed(self, images_NSS):
        mean_N1 = images_NSS.double().mean(dim=(1, 2))[:, None]
        return mean_N1, torch.cat([-mean_N1, mean_N1], dim=1)


def test_the_logits_are_those_of_the_embedding():
    images = torch.arange(2 * 9).reshape(2, 3, 3).to(torch.uint8)
    assert Means()(images).tolist() == [[-4.0, 4.0], [-13.0, 13.0]]


def test_a_network_without_an_embedding_cannot_be_made():
    class Without(Network):
        pass

    with pytest.raises(TypeError, match="embed"):
        Without()


def test_a_network_is_built_by_the_name_of_its_kind(monkeypatch):
    built = build_network("vgg", {"channels": 2, "dropout": 0.5}, 64)
    assert isinstance(built, ReducedVGG)
    assert built.head.in_features == 64 * 2
    assert built.dropout.p == 0.5
    monkeypatch.setitem(
        CLASSIFIERS, "means", ClassifierKind(SearchSpec, lambda given, size: Means())
    )
    assert isinstance(build_network("means", {}, 64), Means)


def test_what_is_not_a_network_is_refused(monkeypatch):
    kind = ClassifierKind(SearchSpec, lambda given, size: nn.Linear(size, 2))
    monkeypatch.setitem(CLASSIFIERS, "bare", kind)
    with pytest.raises(TypeError, match="the classifier bare builds a Linear, not a Network"):
        build_network("bare", {}, 64)


def test_the_momentum_is_set_in_every_batchnorm_and_nowhere_else():
    network = ReducedVGG(64, 1, 0.25)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    set_batchnorm_momentum(network, 0.125)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 10
    assert {norm.momentum for norm in norms} == {0.125}
    assert all((value == before[name]).all() for name, value in network.state_dict().items())
