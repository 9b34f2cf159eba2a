"""The ImageNet ResNet-34, an embedder for the GAN scores, and its published weights."""

import contextlib
import hashlib
import re
import sys
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from lussweep.errors import InputError, first_line
from lussweep.metrics import features
from lussweep.models.training.weights import (
    first_mismatch,
    is_counter,
    read_safetensors,
    read_state,
)

RESNET34_URL = "https://download.pytorch.org/models/resnet34-b627a593.pth"
"""torchvision's IMAGENET1K_V1 weights. The name ends in the first digits of the file's sha256."""
PUBLISHED_DIGITS = 8
MAX_WEIGHTS_BYTES = 2**28
"""Three times the published file."""
_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Channels and blocks of each stage."""
_HASH_SUFFIX = re.compile(r"-([0-9a-f]{8,64})\.(?:pth|pt|safetensors)$")
_REMEDY = (
    "give torchvision's resnet34 weights with --weights FILE, "
    "or score without them: score.embedders: [detector]"
)


class ImageNetResNet34(nn.Module):
    """torchvision's ResNet-34 (He et al. 2015, table 1), built without torchvision.

    A new one has random weights, drawn without changing the global random state. `load_resnet34`
    returns a trained one.
    """

    def __init__(self) -> None:
        super().__init__()
        from monai.networks.nets.resnet import resnet34  # takes seconds to import

        with torch.random.fork_rng(devices=[]):
            self.net = resnet34(
                spatial_dims=2,
                n_input_channels=3,
                conv1_t_size=7,
                conv1_t_stride=2,
                shortcut_type="B",
                bias_downsample=False,
                num_classes=1000,
            )

    def embed(self, image_NHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embed uint8 frames (N, H, W): the global average pool (N, 512) and the logits (N, 1000).

        As in the reference, the input is three equal channels in [-1, 1], neither resized nor
        normalised by ImageNet's mean and standard deviation.
        """
        net, fc = self.net, self.net.fc
        assert fc is not None
        x_N1HW = image_NHW.to(fc.weight.dtype).div(127.5).sub(1).unsqueeze(1)
        x = net.maxpool(net.act(net.bn1(net.conv1(x_N1HW.expand(-1, 3, -1, -1)))))
        x = net.layer4(net.layer3(net.layer2(net.layer1(x))))
        conv_ND = net.avgpool(x).flatten(1)
        return conv_ND, fc(conv_ND)

    def forward(self, image_NHW: torch.Tensor) -> torch.Tensor:
        """The 1,000 ImageNet logits of `embed`."""
        return self.embed(image_NHW)[1]


def load_resnet34(weights: Path | None = None) -> ImageNetResNet34:
    """Load the network with trained weights, frozen, in evaluation mode, on the CPU.

    weights: a state dict with torchvision's names, as .safetensors or as a file that torch.load
    reads with weights_only. If the file's name ends in torchvision's hash (-xxxxxxxx.pth), its
    sha256 is checked. None takes the published file from torch.hub's cache, after a download if
    needed.

    Raises InputError, with the remedy, for a failed download, an unreadable file, a wrong hash, or
    tensors that do not fit a ResNet-34. The error names the first such tensor.
    """
    state = _download() if weights is None else _read(weights)
    where = "the downloaded weights" if weights is None else str(weights)
    if mismatch := first_mismatch(_layout(), state):
        raise InputError(f"{where} is not torchvision's resnet34: {mismatch}: {_REMEDY}")
    model = ImageNetResNet34()
    expected = model.net.state_dict()
    counters = {name: value for name, value in expected.items() if is_counter(name)}
    model.net.load_state_dict({**counters, **state})
    return model.eval().requires_grad_(False)


def embedder(weights: Path | None) -> features.Embed:
    """The embedder whose features are those of the network with these weights."""
    return features.embedder(load_resnet34(weights))


def _layout() -> dict[str, torch.Tensor]:
    """torchvision's tensors by name, without values (He et al. 2015, table 1).

    The network itself would give them, but building it imports a library, which takes seconds.
    """
    layout: dict[str, torch.Tensor] = {}

    def add(name: str, *shape: int) -> None:
        layout[name] = torch.empty(shape, device="meta")

    def add_pair(conv: str, norm: str, n_out: int, n_in: int, side: int) -> None:
        add(f"{conv}.weight", n_out, n_in, side, side)
        for part in ("weight", "bias", "running_mean", "running_var"):
            add(f"{norm}.{part}", n_out)
        add(f"{norm}.num_batches_tracked")

    add_pair("conv1", "bn1", 64, 3, 7)
    n_in = 64
    for stage, (n_out, n_blocks) in enumerate(_STAGES, 1):
        for block in range(n_blocks):
            name = f"layer{stage}.{block}"
            add_pair(f"{name}.conv1", f"{name}.bn1", n_out, n_in, 3)
            add_pair(f"{name}.conv2", f"{name}.bn2", n_out, n_out, 3)
            if n_in != n_out:
                add_pair(f"{name}.downsample.0", f"{name}.downsample.1", n_out, n_in, 1)
            n_in = n_out
    add("fc.weight", 1000, n_in)
    add("fc.bias", 1000)
    return layout


def weights_digest(weights: Path | None) -> str:
    """The first 8 hex digits of the file's sha256, which torchvision's file names end in.

    They stand for the weights in a step's key. None gives the digits of the published file.
    Raises InputError if the file cannot be read.
    """
    if weights is None:
        published = _HASH_SUFFIX.search(RESNET34_URL)
        assert published is not None
        return published[1]
    return _sha256(weights)[:PUBLISHED_DIGITS]


def _download() -> Any:
    try:
        with contextlib.redirect_stdout(sys.stderr):  # torch.hub announces itself on stdout
            return torch.hub.load_state_dict_from_url(
                RESNET34_URL, map_location="cpu", check_hash=True, weights_only=True
            )
    except (OSError, RuntimeError, EOFError, ValueError, UnpicklingError) as error:
        raise InputError(f"cannot get {RESNET34_URL} ({first_line(error)}): {_REMEDY}") from error


def _read(path: Path) -> Any:
    """Read a weights file after a check of its size and of the hash in its name."""
    if (n_bytes := _size(path)) > MAX_WEIGHTS_BYTES:
        raise InputError(
            f"{path} has {n_bytes >> 20} MiB, over {MAX_WEIGHTS_BYTES >> 20}: {_REMEDY}"
        )
    suffix = _HASH_SUFFIX.search(path.name)
    if suffix and not _sha256(path).startswith(suffix[1]):
        raise InputError(
            f"{path} has the sha256 {_sha256(path)[:8]}..., its name says {suffix[1]}: "
            "download it again, or rename it if the change is meant"
        )
    try:
        return read_safetensors(path) if path.suffix == ".safetensors" else read_state(path)
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot read weights from {path} ({first_line(error)}): {_REMEDY}"
        ) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
