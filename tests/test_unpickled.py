"""Nothing that lies in a run folder, or comes from elsewhere, is run."""

from __future__ import annotations

import ast
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lussweep.errors import InputError
from lussweep.models.generators.checkpoint import Checkpoints
from lussweep.models.generators.dcgan.networks import Generator
from lussweep.models.generators.dcgan.sample import load_snapshot, save_snapshot
from lussweep.models.resnet import load_resnet34
from lussweep.models.training.weights import read_state, read_weights
from lussweep.store.arrays import read_array
from lussweep.study.spec import GanSpec
from support.commands import ROOT

PICKLERS = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


# --- the package ---------------------------------------------------------------------------


def unsafe(source: str) -> list[str]:
    """Every line of a module that could run what a file holds."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names}
            found += [f"{node.lineno}: import {name}" for name in names & PICKLERS]
        elif isinstance(node, ast.ImportFrom):
            taken = {alias.name for alias in node.names}
            if (node.module or "").partition(".")[0] in PICKLERS and taken != {"UnpicklingError"}:
                found.append(f"{node.lineno}: from {node.module}")
            if (node.module, "load") in {("torch", n) for n in taken} | {
                ("numpy", n) for n in taken
            }:
                found.append(f"{node.lineno}: load without its module's name")
        elif isinstance(node, ast.Attribute) and ast.unparse(node).startswith("yaml."):
            name = ast.unparse(node).split(".")[1]
            if name in ("load", "load_all", "full_load", "unsafe_load", "UnsafeLoader",
                        "FullLoader", "Loader", "CLoader", "UnsafeLoader"):  # fmt: skip
                found.append(f"{node.lineno}: yaml.{name}")
        elif isinstance(node, ast.Call):
            found += [f"{node.lineno}: {told}" for told in _unsafe_call(node)]
    return found


def _unsafe_call(call: ast.Call) -> list[str]:
    name = ast.unparse(call.func)
    given = {k.arg: ast.unparse(k.value) for k in call.keywords}
    told = []
    if name in ("eval", "exec", "compile", "__import__"):
        told.append(name)
    if name == "torch.load" or name.endswith("load_state_dict_from_url"):
        told += [name] if given.get("weights_only") != "True" else []
    if name.endswith(("np.load", "numpy.load")):
        told += [name] if given.get("allow_pickle") != "False" else []
    if name.endswith("read_pickle") or name == "torch.jit.load":
        told.append(name)
    return told


def test_no_module_of_the_package_runs_what_it_reads() -> None:
    modules = sorted((ROOT / "lussweep").rglob("*.py"))
    assert len(modules) > 80
    found = {str(m): lines for m in modules if (lines := unsafe(m.read_text()))}
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, joblib",
        "def f():\n    from cloudpickle import loads",
        "from pickle import UnpicklingError, loads",
        "import marshal as m",
        "import shelve",
        "torch.load(p)",
        "torch.load(p, weights_only=False)",
        "from torch import load",
        "torch.hub.load_state_dict_from_url(u)",
        "np.load(p)",
        "np.load(p, allow_pickle=True)",
        "yaml.load(t, yaml.SafeLoader)",
        "yaml.unsafe_load(t)",
        "eval('1')",
        "exec(t)",
        "pandas.read_pickle(p)",
    ],
)
def test_what_would_is_found(source: str) -> None:
    assert len(unsafe(source)) >= 1


def test_what_is_safe_is_not_found() -> None:
    assert unsafe(
        "from pickle import UnpicklingError\ntorch.load(p, weights_only=True)\nmodel.eval()\n"
        "np.load(p, allow_pickle=False)\nyaml.safe_load(t)\n"
    ) == []  # fmt: skip


# --- poison --------------------------------------------------------------------------------


class Poison:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (Path.write_text, (self.marker, "run"))


def as_pickle(poison: Any) -> bytes:
    return pickle.dumps(poison)


def as_torch(poison: Any) -> bytes:
    """Whole, checksums and all."""
    buffer = io.BytesIO()
    torch.save({"key": "k", "step": poison}, buffer)
    return buffer.getvalue()


def as_old_torch(poison: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save({"key": "k", "step": poison}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def as_array(poison: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([poison], object), allow_pickle=True)
    return buffer.getvalue()


def as_npz(poison: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([poison], object))
    return buffer.getvalue()


FORMS = [as_pickle, as_torch, as_old_torch, as_array, as_npz]


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "marker"


def test_the_poison_works(marker: Path) -> None:
    pickle.loads(as_pickle(Poison(marker)))
    assert marker.exists()


@pytest.mark.parametrize("form", FORMS)
def test_poison_in_place_of_a_checkpoint_is_passed_over(
    form: Callable[[Any], bytes], tmp_path: Path, marker: Path
) -> None:
    checkpoints = Checkpoints(tmp_path / "c", "k")
    checkpoints.save({"n": 1})
    checkpoints.save({"n": 2})
    (tmp_path / "c" / "checkpoint_00000002.pt").write_bytes(form(Poison(marker)))
    found = checkpoints.load()
    assert found is not None and found["n"] == 1
    with pytest.raises(InputError, match=r"checkpoint 2 in .* cannot be read"):
        checkpoints.load(2)
    assert not marker.exists()


@pytest.mark.parametrize("form", FORMS)
def test_poison_in_place_of_weights_is_refused(
    form: Callable[[Any], bytes], tmp_path: Path, marker: Path
) -> None:
    spec = GanSpec(n_epochs=1, ngf=2, ndf=2)
    content = form(Poison(marker))
    for name in ("w.pth", "w.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"cannot read weights from .*{name} .*--weights"):
            load_resnet34(tmp_path / name)
    path = tmp_path / "epoch_0001.safetensors"
    save_snapshot(Generator(64, spec.latent_size, 2), path)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"epoch_0001\.safetensors cannot be read: .*: delete the"):
        load_snapshot(path, spec, 64, torch.device("cpu"))
    with pytest.raises(InputError, match=r"w\.safetensors cannot be read: .*: delete the folder"):
        read_weights(tmp_path / "w.safetensors")
    assert not marker.exists()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mapped", [False, True])
def test_poison_in_place_of_an_array_is_refused(
    form: Callable[[Any], bytes], mapped: bool, tmp_path: Path, marker: Path
) -> None:
    path = tmp_path / "synthetic.npy"
    path.write_bytes(form(Poison(marker)))
    with pytest.raises(InputError, match=rf"{path} .*: delete the folder {tmp_path}, and it is"):
        read_array(path, np.uint8, mapped=mapped)
    assert not marker.exists()


# --- files of hostile shape ----------------------------------------------------------------


def test_an_array_is_of_its_kind_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((2, 4, 4), np.float64))
    with pytest.raises(InputError, match=r"holds float64 \(2, 4, 4\), not frames of uint8"):
        read_array(path, np.uint8)
    whole = np.arange(32, dtype=np.uint8).reshape(2, 4, 4)
    for frames in (whole, whole[:0], np.asfortranarray(whole)):
        np.save(path, frames)
        np.testing.assert_array_equal(read_array(path, np.uint8), frames)
    np.save(path, whole)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"(2, 4, 4), }", b"(10**9,4,4)}"))
    for claimed in (b"(9, 4, 4)", b"(2, 4,-4)", b"(2, 4, x)", b"(True,4)"):
        path.write_bytes(content.replace(b"(2, 4, 4)", claimed))
        with pytest.raises(InputError):
            read_array(path, np.uint8)


def test_a_state_that_would_unpack_to_more_than_its_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.pt"
    torch.save({"a": torch.ones(1).expand(10**6, 10**6)}, path)
    with pytest.raises(ValueError, match="a tensor of 4000000000000 bytes in a file of"):
        read_state(path)
    state = {"a": torch.zeros(100_000)}
    torch.save(state, path)
    assert read_state(path)["a"].shape == (100_000,)
    with zipfile.ZipFile(path) as archive:
        members = {m: archive.read(m) for m in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match="it unpacks to more than its size"):
        read_state(path)


def test_an_archive_of_too_many_members_is_not_listed(tmp_path: Path) -> None:
    path = tmp_path / "s.pt"
    torch.save({"a": torch.zeros(3)}, path)
    whole = path.read_bytes()
    read_state(path)
    path.write_bytes(whole + b"a comment")
    with pytest.raises(ValueError, match="it is cut, or has a comment"):
        read_state(path)
    at = len(whole) - 98 + 40 if whole[-98:-94] == b"PK\6\6" else len(whole) - 22 + 12
    n_bytes = 8 if at < len(whole) - 22 else 4
    path.write_bytes(whole[:at] + (2**31).to_bytes(n_bytes, "little") + whole[at + n_bytes :])
    with pytest.raises(ValueError, match="central directory"):
        read_state(path)
