import hashlib
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import lussweep.models.resnet as module
from lussweep.errors import InputError
from lussweep.metrics.features import embed
from lussweep.models.resnet import (
    RESNET34_URL,
    ImageNetResNet34,
    load_resnet34,
    weights_digest,
)

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.any_processor]
STAGES = ((1, 64, 3), (2, 128, 4), (3, 256, 6), (4, 512, 3))


def published_shapes():
    """Names and shapes of torchvision's resnet34, in its order, written down from its layout."""
    shapes = {}

    def conv(name, n_out, n_in, size):
        shapes[f"{name}.weight"] = (n_out, n_in, size, size)

    def norm(name, n):
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (n,)
        shapes[f"{name}.num_batches_tracked"] = ()

    conv("conv1", 64, 3, 7)
    norm("bn1", 64)
    n_in = 64
    for stage, n_out, n_blocks in STAGES:
        for block in range(n_blocks):
            name = f"layer{stage}.{block}"
            conv(f"{name}.conv1", n_out, n_in, 3)
            norm(f"{name}.bn1", n_out)
            conv(f"{name}.conv2", n_out, n_out, 3)
            norm(f"{name}.bn2", n_out)
            if n_in != n_out:
                conv(f"{name}.downsample.0", n_out, n_in, 1)
                norm(f"{name}.downsample.1", n_out)
            n_in = n_out
    shapes["fc.weight"] = (1000, 512)
    shapes["fc.bias"] = (1000,)
    return shapes


def random_state(seed=0):
    """Random weights of every tensor, running statistics too, sized to keep signals near 1."""
    rng = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in published_shapes().items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            state[name] = torch.rand(shape, generator=rng) + 0.5
        elif len(shape) == 4:
            fan_in = shape[1] * shape[2] * shape[3]
            state[name] = torch.randn(shape, generator=rng) * (2 / fan_in) ** 0.5
        elif "bn" in name or "downsample.1" in name:
            offset = 1.0 if name.endswith("weight") else 0.0
            state[name] = offset * 0.8 + 0.2 * torch.randn(shape, generator=rng)
        else:
            state[name] = 0.05 * torch.randn(shape, generator=rng)
    return state


def published_forward(state, image_NHW):
    """torchvision's resnet34 in evaluation mode, from its definition."""

    def norm(x, name):
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        scale = weight / torch.sqrt(var + 1e-5)
        return x * scale[:, None, None] + (bias - mean * scale)[:, None, None]

    x = image_NHW.double() / 127.5 - 1
    x = torch.stack([x, x, x], dim=1)
    x = F.relu(norm(F.conv2d(x, state["conv1.weight"], stride=2, padding=3), "bn1"))
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    for stage, _, n_blocks in STAGES:
        for block in range(n_blocks):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = F.conv2d(x, state[f"{name}.conv1.weight"], stride=stride, padding=1)
            y = F.relu(norm(y, f"{name}.bn1"))
            y = norm(F.conv2d(y, state[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
            if f"{name}.downsample.0.weight" in state:
                x = F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride)
                x = norm(x, f"{name}.downsample.1")
            x = F.relu(x + y)
    conv_ND = x.mean(dim=(2, 3))
    return conv_ND, conv_ND @ state["fc.weight"].T + state["fc.bias"]


@pytest.fixture(scope="module")
def state():
    return random_state()


@pytest.fixture(scope="module")
def weights(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet34.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def trunk(weights):
    return load_resnet34(weights)


@pytest.fixture
def images():
    image_NHW = np.random.default_rng(0).integers(256, size=(3, 48, 64), dtype=np.uint8)
    return torch.from_numpy(image_NHW)


def test_names_and_shapes_are_the_published_ones():
    found = {k: tuple(v.shape) for k, v in ImageNetResNet34().net.state_dict().items()}
    assert found == published_shapes()
    assert found == {name: tuple(v.shape) for name, v in module._layout().items()}
    assert len(found) == 218


def test_outputs_are_those_of_the_published_network(trunk, state, images):
    exact = {name: value.double() for name, value in state.items()}
    with torch.no_grad():
        conv_ND, logit_NK = trunk.embed(images)
    expected_conv, expected_logit = published_forward(exact, images)
    assert expected_conv.std() > 0.1  # signals did not die on the way
    for found, expected in ((conv_ND, expected_conv), (logit_NK, expected_logit)):
        error = (found.double() - expected).abs().max() / expected.abs().max()
        assert error < 1e-5
    with torch.no_grad():
        assert torch.equal(trunk(images), logit_NK)


def test_a_loaded_trunk_is_frozen_in_evaluation_mode_and_deterministic(trunk, images):
    assert not trunk.training
    assert not any(p.requires_grad for p in trunk.parameters())
    assert torch.equal(trunk.embed(images)[0], trunk.embed(images)[0])


def test_making_one_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    ImageNetResNet34()
    assert torch.equal(torch.get_rng_state(), before)


def test_features_do_not_depend_on_the_batch(trunk, images):
    one = embed(images.numpy(), trunk, batch_size=1, device="cpu")
    all_ = embed(images.numpy(), trunk, batch_size=3, device="cpu")
    assert one["conv"].shape == (3, 512)
    assert one["softmax"].shape == (3, 1000)
    for space in one:
        np.testing.assert_allclose(one[space], all_[space], atol=1e-5, rtol=1e-4)


def without_counters(state):
    return {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}


def test_safetensors_and_files_without_batch_counters_load(state, trunk, images, tmp_path):
    path = tmp_path / "w.safetensors"
    save_file(without_counters(state), path)
    assert torch.equal(load_resnet34(path).embed(images)[1], trunk.embed(images)[1])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({}, r"conv1\.weight should be \(64, 3, 7, 7\), found nothing"),
        (
            {"conv1.weight": torch.zeros(64, 1, 7, 7)},
            r"conv1\.weight should be \(64, 3, 7, 7\), found \(64, 1, 7, 7\)",
        ),
        ({"conv1.weight": "text"}, r"conv1\.weight should be .*, found a str"),
        (
            {"conv1.weight": torch.zeros(64, 3, 7, 7), "bn1.weight": torch.zeros(3)},
            r"bn1\.weight should be \(64,\), found \(3,\)",
        ),
        ([1, 2], r"conv1\.weight should be .*, found nothing"),
    ],
)
def test_the_first_wrong_tensor_is_named(broken, message, tmp_path):
    torch.save(broken, tmp_path / "w.pth")
    with pytest.raises(InputError, match=message) as caught:
        load_resnet34(tmp_path / "w.pth")
    assert len(caught.value.problems) == 1
    assert str(tmp_path / "w.pth") in str(caught.value)


def test_a_tensor_too_many_is_named(state, tmp_path):
    torch.save({**state, "layer5.0.conv1.weight": torch.zeros(2)}, tmp_path / "w.pth")
    message = r"layer5\.0\.conv1\.weight should be absent, found \(2,\)"
    with pytest.raises(InputError, match=message):
        load_resnet34(tmp_path / "w.pth")


class Unsafe:
    def __reduce__(self):
        return (Path, ("never made",))


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights", b"\x80\x02garbage", b"PK\x03\x04" * 40])
def test_a_file_that_holds_no_weights_is_one_clear_line(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"cannot read weights from .*--weights FILE") as caught:
        load_resnet34(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_pickle_of_objects_is_refused(tmp_path):
    torch.save({"conv1.weight": Unsafe()}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="cannot read weights"):
        load_resnet34(tmp_path / "w.pth")


def test_a_file_of_another_size_is_not_read(tmp_path):
    with (tmp_path / "w.pth").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InputError, match=r"w\.pth has 1048576 MiB, over 256: .*--weights FILE"):
        load_resnet34(tmp_path / "w.pth")


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        load_resnet34(tmp_path / "none.pth")
    with pytest.raises(InputError, match="cannot read"):
        weights_digest(tmp_path / "none.pth")


def test_the_hash_in_a_name_is_checked(weights, tmp_path):
    right = tmp_path / f"resnet34-{hashlib.sha256(weights.read_bytes()).hexdigest()[:8]}.pth"
    right.symlink_to(weights)
    assert isinstance(load_resnet34(right), ImageNetResNet34)
    wrong = tmp_path / "resnet34-b627a593.pth"
    wrong.symlink_to(weights)
    with pytest.raises(InputError, match="its name says b627a593"):
        load_resnet34(wrong)


def test_digest_is_the_start_of_the_sha256(tmp_path):
    (tmp_path / "w").write_bytes(b"abc")
    assert weights_digest(tmp_path / "w") == "ba7816bf"
    assert weights_digest(None) == "b627a593"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """torch.hub with an empty cache; the test sets what a download does."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))

    def set_download(function):
        monkeypatch.setattr(torch.hub, "download_url_to_file", function)

    return set_download


def test_without_a_file_the_published_weights_are_fetched_and_their_hash_asked(
    hub, weights, trunk, images, capsys
):
    calls = []

    def download(url, destination, hash_prefix=None, progress=True):
        calls.append((url, hash_prefix))
        Path(destination).write_bytes(weights.read_bytes())

    hub(download)
    loaded = load_resnet34(None)
    assert calls == [(RESNET34_URL, "b627a593")]
    assert torch.equal(loaded.embed(images)[1], trunk.embed(images)[1])
    assert capsys.readouterr().out == ""
    load_resnet34(None)
    assert len(calls) == 1, "the cached file was not used"


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("no route"),
        urllib.error.HTTPError(RESNET34_URL, 503, "unavailable", None, None),  # type: ignore
        TimeoutError("timed out"),
        RuntimeError('invalid hash value (expected "b627a593", got "00")'),
    ],
)
def test_a_failed_download_names_the_remedies_in_one_line(hub, error):
    def download(*args, **kwargs):
        raise error

    hub(download)
    with pytest.raises(InputError) as caught:
        load_resnet34()
    (line,) = caught.value.problems
    assert "\n" not in line
    assert "--weights FILE" in line
    assert "embedders: [detector]" in line


def test_a_broken_cached_file_is_an_input_error(hub):
    def download(url, destination, hash_prefix=None, progress=True):
        Path(destination).write_bytes(b"garbage")

    hub(download)
    with pytest.raises(InputError, match="--weights FILE"):
        load_resnet34()
