"""Stacks of numpy, by levels and order against what was written."""

import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lussweep.data.readers.arrays import ARRAY
from lussweep.data.readers.decode import probe, read_frames
from lussweep.errors import InputError
from support.pictures import ramps
from support.refused import refusal_of

SAVERS = {"npy": np.save, "npz": np.savez, "packed.npz": np.savez_compressed}


def problem_of(path: Path) -> str:
    line = refusal_of(path)
    assert probe(path) == line
    return line.removeprefix(f"{path}: ")


def write(folder: Path, suffix: str, stack: np.ndarray) -> Path:
    path = folder / f"a.{suffix}"
    SAVERS[suffix](path, stack)
    return path


@pytest.mark.parametrize("suffix", SAVERS)
@pytest.mark.parametrize("stride", [1, 3])
def test_every_level_of_every_frame_in_order(tmp_path: Path, suffix: str, stride: int) -> None:
    for stack in (ramps(7), ramps(7)[..., None], np.repeat(ramps(7)[..., None], 3, axis=3)):
        found = read_frames(write(tmp_path, suffix, stack), stride)
        np.testing.assert_array_equal(found, ramps(7)[::stride])


@pytest.mark.parametrize("suffix", SAVERS)
def test_colour_is_its_bt601_luma(tmp_path: Path, suffix: str) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (2, 30, 40, 3)).astype(np.uint8)
    found = read_frames(write(tmp_path, suffix, rgb))
    np.testing.assert_allclose(found.astype(int), np.rint(rgb @ [0.299, 0.587, 0.114]), atol=1)


def test_a_stack_by_columns(tmp_path: Path) -> None:
    stack = np.asfortranarray(ramps(5))
    np.testing.assert_array_equal(read_frames(write(tmp_path, "npy", stack)), ramps(5))
    said = problem_of(write(tmp_path, "npz", stack))
    assert said == "is stored by columns: save it again in C order"


def test_the_array_called_frames_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", masks=ramps(2), frames=ramps(5))
    np.testing.assert_array_equal(read_frames(tmp_path / "a.npz"), ramps(5))
    np.savez(tmp_path / "a.npz", masks=ramps(2), images=ramps(5))
    said = "holds 2 arrays (masks, images): give it one, or call one frames"
    assert problem_of(tmp_path / "a.npz") == said


@pytest.mark.parametrize("suffix", SAVERS)
@pytest.mark.parametrize(
    "stack",
    [
        np.zeros((3, 20, 30), np.uint16), np.zeros((3, 20, 30)), np.zeros((3, 20, 30), bool),
        np.zeros((3, 20, 30), np.int8), np.zeros((20, 30), np.uint8),
        np.zeros((20, 30, 3), np.uint8), np.zeros((3, 20, 30, 4), np.uint8),
        np.zeros((5, 3, 20, 30), np.uint8), np.zeros(9, np.uint8),
        np.zeros((2, 2, 2, 2, 3), np.uint8),
    ],
    ids=lambda stack: f"{stack.dtype}{stack.shape}",
)  # fmt: skip
def test_other_levels_and_shapes_are_refused_with_the_remedy(
    tmp_path: Path, suffix: str, stack: np.ndarray
) -> None:
    said = problem_of(write(tmp_path, suffix, stack))
    assert said.startswith(
        f"holds {stack.dtype} of shape {stack.shape}: save uint8 levels of shape"
    )


@pytest.mark.parametrize("suffix", SAVERS)
def test_no_frames_and_too_large_frames(tmp_path: Path, suffix: str) -> None:
    assert "holds no frame" in problem_of(write(tmp_path, suffix, np.zeros((0, 9, 9), np.uint8)))
    wide = np.zeros((1, 1, 8193), np.uint8)
    assert "its header gives 8193 x 1 pixels" in problem_of(write(tmp_path, suffix, wide))


@pytest.mark.parametrize("suffix", SAVERS)
def test_objects_are_not_unpickled(tmp_path: Path, suffix: str) -> None:
    said = problem_of(write(tmp_path, suffix, np.array([{"a": 1}], dtype=object)))
    assert "save uint8 levels" in said


@pytest.mark.parametrize("suffix", SAVERS)
def test_a_cut_or_damaged_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, suffix, ramps(3))
    content = path.read_bytes()
    for n_bytes in range(8, len(content), len(content) // 30):
        path.write_bytes(content[:n_bytes])
        assert "save uint8 levels" in problem_of(path)
    if suffix != "npy":  # a zip has a checksum
        damaged = bytearray(content)
        damaged[len(content) // 2] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="is not a whole array of levels"):
            read_frames(path)


def test_an_archive_without_arrays(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("notes.txt", "no array")
    assert problem_of(tmp_path / "a.npz").startswith("holds 0 arrays")


def test_a_stack_of_four_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (2**16, 256, 256)}
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 2**32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read_frames(tmp_path / "a.npy", 2**14).shape == (4, 256, 256)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def test_a_lack_of_memory_is_not_taken_for_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "npy", ramps(2))
    monkeypatch.setattr(np, "load", fail)
    with pytest.raises(MemoryError):
        list(ARRAY.frames(path, 1))


def fail(*_: object, **__: object) -> None:
    raise MemoryError
