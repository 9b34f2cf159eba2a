"""Still images, TIFFs of several pages and animations, by levels and order against what was
written."""

import itertools
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lussweep.data.readers.decode import probe, read_frames
from lussweep.data.readers.images import strictly
from lussweep.data.readers.series import IMAGE
from lussweep.errors import InputError
from support.pictures import HEIGHT, WIDTH, chunk, png, png_16, ramps, save, tiff
from support.refused import problem_of

LOSSLESS = {
    "a.png": {}, "a.bmp": {}, "a.gif": {}, "a.webp": {"lossless": True}, "raw.tif": {},
    "lzw.tiff": {"compression": "tiff_lzw"}, "zip.tif": {"compression": "tiff_adobe_deflate"},
    "bits.tif": {"compression": "packbits"},
}  # fmt: skip
SERIES = {name: options for name, options in LOSSLESS.items() if name != "a.bmp"}


def read_bytes(folder: Path, content: bytes, name: str = "a.png") -> np.ndarray:
    path = folder / name
    path.write_bytes(content)
    return read_frames(path)


def refusal(folder: Path, content: bytes, name: str = "a.png") -> str:
    (folder / name).write_bytes(content)
    return problem_of(folder / name)


# --- levels and order ---------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSLESS)
def test_every_level_of_every_lossless_format(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, ramps(1), **LOSSLESS[name])
    np.testing.assert_array_equal(read_frames(path), ramps(1))
    assert probe(path) is None


@pytest.mark.parametrize("name", SERIES)
@pytest.mark.parametrize("stride", [1, 3])
def test_every_page_in_its_order(tmp_path: Path, name: str, stride: int) -> None:
    path = save(tmp_path / name, ramps(12), **LOSSLESS[name])
    np.testing.assert_array_equal(read_frames(path, stride), ramps(12)[::stride])


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_lossy_formats_keep_the_ramp(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, ramps(1), quality=95)
    # WebP stores levels 16 to 235, so that two levels become one.
    np.testing.assert_allclose(read_frames(path).astype(int), ramps(1), atol=8)


def test_a_grey_jpeg_is_what_libjpeg_gives(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", ramps(1), quality=60)
    np.testing.assert_array_equal(read_frames(path)[0], np.asarray(Image.open(path)))


@pytest.mark.parametrize("names", [*itertools.permutations(["a.png", "raw.tif", "a.gif"], 2)])
def test_what_was_read_before_leaves_no_trace(tmp_path: Path, names: tuple[str, str]) -> None:
    first = save(tmp_path / names[0], ramps(3), **LOSSLESS[names[0]])
    other = save(tmp_path / f"b{names[1]}", 255 - ramps(5), **LOSSLESS[names[1]])
    before = read_frames(first)
    np.testing.assert_array_equal(read_frames(other), 255 - ramps(5))
    np.testing.assert_array_equal(read_frames(first), before)
    np.testing.assert_array_equal(before, ramps(3))


def test_an_animation_says_when_each_frame_is_shown(tmp_path: Path) -> None:
    path = save(tmp_path / "a.gif", ramps(3), duration=[40, 100, 60])
    assert [frame.seconds for frame in IMAGE.frames(path, 1)] == [0, 0.04, 0.14]
    path = save(tmp_path / "a.tif", ramps(3))
    assert [frame.seconds for frame in IMAGE.frames(path, 1)] == [None] * 3


def test_an_image_beside_the_animation_is_no_frame(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", ramps(4), default_image=True)
    np.testing.assert_array_equal(read_frames(path), ramps(4)[1:])


# --- modes --------------------------------------------------------------------------------


def test_few_bits_span_black_to_white(tmp_path: Path) -> None:
    for depth in (1, 2, 4):
        levels = np.arange(2**depth)
        packed = int("".join(f"{v:0{depth}b}" for v in levels).ljust(8, "0"), 2)
        row = packed.to_bytes(max(1, depth * 2**depth // 8), "big")
        found = read_bytes(tmp_path, png(len(levels), 1, [row], depth, 0))
        np.testing.assert_array_equal(found[0, 0], levels * 255 // (2**depth - 1))


def test_colour_is_its_bt601_luma(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    luma = np.rint(rgb @ [0.299, 0.587, 0.114])
    for name in ("a.png", "a.bmp", "a.tif", "a.webp"):
        options = {"lossless": True} if name == "a.webp" else {}
        found = read_frames(save(tmp_path / name, rgb[None], **options))
        np.testing.assert_allclose(found[0].astype(int), luma, atol=1)
    smooth = np.repeat(np.repeat(rgb[:3, :32], 8, axis=0), 8, axis=1)
    found = read_frames(save(tmp_path / "a.jpg", smooth[None], quality=100, subsampling=0))
    np.testing.assert_allclose(
        found[0].astype(int), np.rint(smooth @ [0.299, 0.587, 0.114]), atol=2
    )


def test_palettes(tmp_path: Path) -> None:
    image = Image.fromarray(ramps(1)[0])
    image.putpalette([v for i in range(256) for v in (255 - i,) * 3])
    for name in ("a.png", "a.gif", "a.bmp", "a.tif"):
        image.save(tmp_path / name)
        np.testing.assert_array_equal(read_frames(tmp_path / name)[0], 255 - ramps(1)[0])


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparent_parts_are_black_in_proportion(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(ramps(1)[0]).convert(mode)
    opacity = np.repeat(np.linspace(0, 255, HEIGHT).astype(np.uint8)[:, None], WIDTH, axis=1)
    image.putalpha(Image.fromarray(opacity))
    image.save(tmp_path / "a.png")
    found = read_frames(tmp_path / "a.png")[0]
    np.testing.assert_allclose(found, ramps(1)[0] * (opacity / 255.0), atol=0.51)
    assert (found[0] == 0).all() and (found[-1] == ramps(1)[0, -1]).all()


def test_a_transparent_level_or_colour_is_black(tmp_path: Path) -> None:
    grey = ramps(1)[0]
    for mode, key in (("L", 200), ("RGB", (200, 200, 200)), ("P", 200)):
        image = Image.fromarray(grey).convert("RGB" if mode == "RGB" else "L")
        if mode == "P":
            image.putpalette([v for i in range(256) for v in (i,) * 3])
        image.save(tmp_path / "a.png", transparency=key)
        np.testing.assert_array_equal(read_frames(tmp_path / "a.png")[0], grey * (grey != 200))
    wide = png_16(grey.astype(np.uint16) * 257, chunk(b"tRNS", struct.pack(">H", 200 * 257)))
    np.testing.assert_array_equal(read_bytes(tmp_path, wide)[0], grey * (grey != 200))


def test_a_transparent_level_of_few_bits_is_black(tmp_path: Path) -> None:
    """The file states it in those bits, and Pillow looks for it among levels of 8."""
    for depth, row, shown in (
        (1, b"\xf0", [0] * 8),
        (2, b"\x1b", [0, 85, 170, 0]),
        (4, b"\x0f\x5a", [0, 0, 85, 170]),
    ):
        hidden = chunk(b"tRNS", struct.pack(">H", 2**depth - 1))
        found = read_bytes(tmp_path, png(len(shown), 1, [row], depth, 0, hidden))
        assert found[0, 0].tolist() == shown


def refused_modes() -> dict[str, tuple[bytes, str]]:
    wide = ramps(1)[0].astype(np.uint16).tobytes()
    size = WIDTH, HEIGHT
    colour = [b"\x12\x34" * 3 * WIDTH] * HEIGHT
    return {
        "16-bit colour": (png(*size, colour, 16, 2), "a kind that is not read"),
        "16-bit grey with opacity": (
            png(*size, [row[: 4 * WIDTH] for row in colour], 16, 4), "a kind that is not read"),
        "float": (tiff([(bytes(4 * WIDTH * HEIGHT), {258: 32, 339: 3})], *size), "(mode F)"),
        "signed": (tiff([(wide, {258: 16, 339: 2})], *size), "a kind that is not read"),
        "signed, 8 bits": (tiff([(wide[:6144], {339: 2})], *size), "a kind that is not read"),
        "32 bits": (tiff([(wide * 2, {258: 32})], *size), "a kind that is not read"),
        "white is 0": (tiff([(wide, {258: 16, 262: 0})], *size), "save it with 0 as black"),
        "a mask": (tiff([(wide[:6144], {}), (wide[:6144], {254: 4})], *size), "thumbnail or mask"),
    }  # fmt: skip


@pytest.mark.parametrize("name", refused_modes())
def test_levels_without_a_range_are_refused(tmp_path: Path, name: str) -> None:
    content, message = refused_modes()[name]
    suffix = "png" if content[1:4] == b"PNG" else "tif"
    said = refusal(tmp_path, content, f"a.{suffix}")
    assert message in said and "save it" in said


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk_is_refused(tmp_path: Path, name: str) -> None:
    Image.new("CMYK", (16, 16)).save(tmp_path / name)
    assert "(mode CMYK): save it as unsigned grey levels" in problem_of(tmp_path / name)


def test_a_tiff_in_which_0_is_white(tmp_path: Path) -> None:
    content = tiff([(ramps(1).tobytes(), {262: 0})], WIDTH, HEIGHT)
    np.testing.assert_array_equal(read_bytes(tmp_path, content, "a.tif"), 255 - ramps(1))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "raw.tif", "lzw.tiff"])
def test_the_exif_orientation_is_honoured(tmp_path: Path, name: str) -> None:
    """The standard says which sides the first row and the first column are of."""
    upright = np.kron([[10, 60, 110], [160, 200, 250]], np.ones((16, 16))).astype(np.uint8)
    stored = {
        1: upright, 2: upright[:, ::-1], 3: np.rot90(upright, 2), 4: upright[::-1],
        5: upright.T, 6: np.rot90(upright), 7: np.rot90(upright, 2).T, 8: np.rot90(upright, -1),
    }  # fmt: skip
    for orientation, pixels in stored.items():
        exif = Image.Exif()
        exif[274] = orientation
        options = LOSSLESS.get(name, {"quality": 95})
        Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / name, exif=exif, **options)
        found = read_frames(tmp_path / name)[0]
        assert found.shape == upright.shape, orientation
        np.testing.assert_allclose(found.astype(int), upright, atol=3, err_msg=str(orientation))


# --- damage -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*LOSSLESS, "a.jpg"])
def test_a_cut_file_is_refused_wherever_it_is_cut(tmp_path: Path, name: str) -> None:
    frames = ramps(1 if name in ("a.bmp", "a.jpg") else 3)
    path = save(tmp_path / name, frames, **LOSSLESS.get(name, {}))
    content, whole = path.read_bytes(), read_frames(path)
    n_refused = 0
    for n_bytes in range(0, len(content), len(content) // 40):
        path.write_bytes(content[:n_bytes])
        try:
            found = read_frames(path)
        except InputError:
            n_refused += 1
        else:  # a TIFF may end with bytes that are no pixels
            assert path.suffix.startswith(".tif")
            np.testing.assert_array_equal(found, whole)
    assert n_refused >= 39


def test_a_jpeg_that_lacks_its_middle_is_refused(tmp_path: Path) -> None:
    """Pillow and OpenCV fill such an image with grey."""
    for options in ({}, {"progressive": True}):
        content = save(tmp_path / "a.jpg", ramps(1), **options).read_bytes()
        for end in (b"\xff\xd9", content[-40:]):
            said = refusal(tmp_path, content[: len(content) // 2] + end, "a.jpg")
            assert said == "the JPEG is truncated or damaged: replace it"


def test_every_byte_of_a_png_counts(tmp_path: Path) -> None:
    content = save(tmp_path / "a.png", ramps(1)).read_bytes()
    for at in range(8, len(content), 7):
        damaged = bytearray(content)
        damaged[at] ^= 4
        said = refusal(tmp_path, bytes(damaged))
        assert said.startswith(("the PNG is ", "is not a ", "has over ")), (at, said)


def test_pages_that_are_announced_and_missing(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", ramps(1), description="ImageJ=1.54\nimages=40\nslices=40\n")
    assert problem_of(path) == "1 of its 40 pages can be read: replace it"
    path = save(tmp_path / "a.tif", ramps(3), description="ImageJ=1.54\nimages=3\n")
    np.testing.assert_array_equal(read_frames(path), ramps(3))


def test_a_tiff_that_lacks_strips_is_refused(tmp_path: Path) -> None:
    """Pillow leaves the rows of missing strips black."""
    content = tiff([(ramps(1).tobytes(), {278: 6})], WIDTH, HEIGHT)  # four strips, one place
    assert refusal(tmp_path, content, "a.tif") == "lacks a part of a page: replace it"
    packed = zlib.compress(ramps(1)[0, :6].tobytes())
    content = tiff([(packed, {259: 8, 278: 6})], WIDTH, HEIGHT)
    assert "replace it" in refusal(tmp_path, content, "a.tif")
    np.testing.assert_array_equal(
        read_bytes(tmp_path, tiff([(packed, {259: 8, 278: 6})], WIDTH, 6), "a.tif")[0],
        ramps(1)[0, :6],
    )


def test_a_png_of_too_many_chunks_is_refused_at_once(tmp_path: Path) -> None:
    content = save(tmp_path / "a.png", ramps(1)).read_bytes()
    content = content[:33] + chunk(b"tEXt", b"") * 200_000 + content[33:]
    assert refusal(tmp_path, content) == "the PNG has over 100000 chunks: save it again"


def test_other_things_under_the_name_of_an_image(tmp_path: Path) -> None:
    folder = tmp_path / "loop"
    folder.mkdir()
    for content, message in (
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n",
            "a Git LFS pointer",
        ),
        (b"\n<!DOCTYPE html>\n<html></html>", "an HTML page"),
        (bytes(128) + b"DICM" + bytes(99), "a DICOM file"),
        (b"not an image", "is not a PNG, JPEG, TIFF, BMP, WEBP, GIF image"),
        (b"", "the file is empty"),
    ):
        (folder / "a.png").write_bytes(content)
        said = problem_of(folder)
        assert said.startswith("a.png: ") and message in said and ": " in said[7:]
        assert probe(folder) == f"{folder}: {said}"


def test_a_file_that_would_fill_the_memory_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(2**40)
    assert problem_of(tmp_path / "a.png") == "has over 512 MiB: cut it into parts"


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.gif"])
@pytest.mark.parametrize("disposal", [0, 1, 2])
def test_what_an_animation_clears_or_keeps(tmp_path: Path, name: str, disposal: int) -> None:
    """A square wanders over a transparent ground. Cleared, it leaves no trace."""
    squares = np.zeros((5, 40, 60), np.uint8)
    for i, frame in enumerate(squares):
        frame[10:20, 10 * i : 10 * i + 10] = 100 + 20 * i
    images = [Image.fromarray(frame).convert("RGBA") for frame in squares]
    for image, frame in zip(images, squares, strict=True):
        image.putalpha(Image.fromarray(((frame > 0) * 255).astype(np.uint8)))
    options: dict[str, Any] = {"lossless": True} if name == "a.webp" else {}
    if name == "a.png":
        options = {"disposal": disposal, "blend": 0}
    if name == "a.gif":
        options = {"disposal": disposal, "optimize": False}
    images[0].save(tmp_path / name, save_all=True, append_images=images[1:], **options)
    found = read_frames(tmp_path / name)
    expected = np.maximum.accumulate(squares) if name == "a.gif" and disposal < 2 else squares
    np.testing.assert_array_equal(found, expected)


def test_a_lack_of_memory_is_not_taken_for_damage() -> None:
    with pytest.raises(MemoryError), strictly():
        raise MemoryError
