"""The ImageNet ResNet-34, an embedder for the GAN scores, and its published weights."""

import re
from pathlib import Path
from typing import IO

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from lussweep.errors import InputError, first_line
from lussweep.metrics import features
from lussweep.models.training.archive import check_archive, is_archive
from lussweep.models.training.weights import (
    first_mismatch,
    is_counter,
    load_state,
    read_safetensors,
)
from lussweep.store import child
from lussweep.store.child_process import Limits
from lussweep.store.files import sha256_of

RESNET34_URL = "https://download.pytorch.org/models/resnet34-b627a593.pth"
"""torchvision's IMAGENET1K_V1 weights. The name ends in the first digits of the file's sha256."""
PUBLISHED_DIGITS = 8
MAX_WEIGHTS_BYTES = 2**28
"""Three times the published file."""
LIMITS = Limits(memory_bytes=2**32)
"""Limits of the child process, in which PyTorch itself takes several hundred megabytes."""
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
    if weights is None:
        state = _read(_published())
    else:
        _check_file(weights)
        state = _read(weights)
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
    try:
        return sha256_of(weights)[:PUBLISHED_DIGITS]
    except OSError as error:
        raise _unreadable(weights, error) from None


def _published() -> Path:
    """The published file in torch.hub's cache, after a download if needed."""
    path = Path(torch.hub.get_dir(), "checkpoints", RESNET34_URL.rpartition("/")[2])
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(
                RESNET34_URL, str(path), hash_prefix=weights_digest(None)
            )
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(f"cannot get {RESNET34_URL} ({first_line(error)}): {_REMEDY}") from error
    return path


def _check_file(path: Path) -> None:
    """Checks the size of a file that a user gives, and the hash in its name."""
    try:
        n_bytes, suffix = path.stat().st_size, _HASH_SUFFIX.search(path.name)
        if n_bytes > MAX_WEIGHTS_BYTES:
            raise InputError(
                f"{path} has {n_bytes >> 20} MiB, over {MAX_WEIGHTS_BYTES >> 20}: {_REMEDY}"
            )
        if suffix and not (sha256 := sha256_of(path)).startswith(suffix[1]):
            raise InputError(
                f"{path} has the sha256 {sha256[:8]}..., its name says {suffix[1]}: "
                "download it again, or rename it if the change is meant"
            )
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot read {path}: {error.strerror or error}")


def _read(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a weights file in a child process, which writes them as safetensors."""
    try:
        with child.scratch() as out:
            mismatch = child.call(
                path, _write_tensors, path, out=out, limits=LIMITS, remedy=_REMEDY
            )
            out.seek(0)
            state = {} if mismatch else safetensors.torch.load(out.read())
    except InputError:
        raise
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(
            f"cannot read weights from {path} ({first_line(error)}): {_REMEDY}"
        ) from error
    if mismatch := mismatch or first_mismatch(_layout(), state):
        raise InputError(f"{path} is not torchvision's resnet34: {mismatch}: {_REMEDY}")
    return state


# --- in the child -------------------------------------------------------------------------


def _write_tensors(path: Path, out: IO[bytes]) -> str | None:
    """Writes the tensors of a file as safetensors, or says which of them does not fit."""
    if path.suffix == ".safetensors":
        state = read_safetensors(path)
    else:
        if is_archive(path):
            check_archive(path)
        state = load_state(path)
    if mismatch := first_mismatch(_layout(), state):
        return mismatch
    plain = {name: torch.clone(tensor, memory_format=torch.contiguous_format)
             for name, tensor in state.items()}  # fmt: skip
    out.write(safetensors.torch.save(plain))
    return None
