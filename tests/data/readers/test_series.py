"""Folders of images as videos: what is in them, in which order, and how deep their levels are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lussweep.data.readers.decode import probe, read_frames
from lussweep.data.readers.series import image_files
from lussweep.errors import InputError
from support.commands import ROOT
from support.pictures import HEIGHT, WIDTH, chunk, png_16, ramps, save, save_all, tiff
from support.refused import problem_of

MEDIA = ROOT.parent / "shared" / "cases" / "media"
needs_cases = pytest.mark.skipif(not MEDIA.is_dir(), reason=f"the example files are not at {MEDIA}")


# --- what a folder holds ------------------------------------------------------------------


def test_frame_2_comes_before_frame_10(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_frames(save_all(tmp_path, ramps(12))), ramps(12))
    np.testing.assert_array_equal(read_frames(tmp_path, 5), ramps(12)[::5])


def test_formats_by_turns_are_read_in_order(tmp_path: Path) -> None:
    for i, frame in enumerate(ramps(8)):
        suffix = ("png", "tif", "bmp", "WEBP")[i % 4]
        options = {"lossless": True} if suffix == "WEBP" else {}
        save(tmp_path / f"f{i}.{suffix}", frame[None], **options)
    np.testing.assert_array_equal(read_frames(tmp_path), ramps(8))


def test_hidden_files_and_notes_are_no_frames(tmp_path: Path) -> None:
    save_all(tmp_path, ramps(3))
    for name in ("._frame0.png", ".DS_Store", "Thumbs.db", "desktop.ini", "notes.txt", "a.csv"):
        (tmp_path / name).write_bytes(b"no image")
    (tmp_path / "@eaDir").mkdir()
    np.testing.assert_array_equal(read_frames(tmp_path), ramps(3))
    assert [file.name for file in image_files(tmp_path)] == [f"frame{i}.png" for i in range(3)]


@pytest.mark.parametrize(
    "name", ["f1.heic", "f1.jp2", "f1.dcm", "f1.gif", "f1", "f1.mp4", "f1.npy", "more/"]
)
def test_a_file_that_is_not_read_is_named(tmp_path: Path, name: str) -> None:
    save_all(tmp_path, ramps(3))
    path = tmp_path / name
    path.mkdir() if name.endswith("/") else path.write_bytes(b"no image")
    said = f"{path.name} beside its images is not read: convert it to PNG or take it out"
    assert problem_of(tmp_path) == said
    assert probe(tmp_path) == f"{tmp_path}: {said}"


def test_only_a_few_of_many_are_named(tmp_path: Path) -> None:
    save_all(tmp_path, ramps(1))
    for i in range(9):
        (tmp_path / f"f{i}.heic").touch()
    assert problem_of(tmp_path).startswith("f0.heic, f1.heic, f2.heic and 6 more beside")


@pytest.mark.parametrize("other", ["frame1.jpg", "FRAME1.tif"])
def test_two_images_of_one_name_are_refused(tmp_path: Path, other: str) -> None:
    save_all(tmp_path, ramps(3))
    save(tmp_path / other, ramps(1))
    said = problem_of(tmp_path)
    assert "frame1.png" in said and other in said and "have one name: take out" in said


def test_images_of_other_sizes_are_refused(tmp_path: Path) -> None:
    save_all(tmp_path, ramps(2))
    save(tmp_path / "frame2.png", ramps(1)[:, :, :-1])
    assert (
        problem_of(tmp_path)
        == "frame sizes differ (256 x 24 and 255 x 24): give frames of one size"
    )


def test_a_stack_is_a_folder_of_its_own(tmp_path: Path) -> None:
    save(tmp_path / "stack.tif", ramps(5))
    np.testing.assert_array_equal(read_frames(tmp_path, 2), ramps(5)[::2])
    save(tmp_path / "frame.png", ramps(1))
    assert problem_of(tmp_path).startswith("stack.tif: holds several pages beside other images: ")


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    save_all(tmp_path, ramps(3), "jpg")
    path = tmp_path / "frame1.jpg"
    path.write_bytes(path.read_bytes()[:-30])
    assert problem_of(tmp_path).startswith("frame1.jpg: ")
    with pytest.raises(InputError, match=r"frame1\.jpg: "):  # though the stride drops it
        read_frames(tmp_path, 2)


# --- depth --------------------------------------------------------------------------------

N_BITS = (10, 12, 14, 16)


def deep(n_bits: int, n: int = 2) -> np.ndarray:
    """Frames uint16 (n, HEIGHT, WIDTH): the ramps, in levels up to 2^n_bits - 1."""
    return np.rint(ramps(n) * ((2**n_bits - 1) / 255)).astype(np.uint16)


def write_16(folder: Path, frames: np.ndarray, *chunks: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    for i, frame in enumerate(frames):
        (folder / f"f{i}.png").write_bytes(png_16(frame, *chunks))
    return folder


def significant(n_bits: int) -> bytes:
    return chunk(b"sBIT", bytes([n_bits]))


@pytest.mark.parametrize("n_bits", [8, *N_BITS])
@pytest.mark.parametrize("stride", [1, 2])
def test_levels_are_scaled_by_the_depth_of_the_whole_folder(
    tmp_path: Path, n_bits: int, stride: int
) -> None:
    frames = deep(n_bits, 3)
    frames[0] //= 16  # a dark frame is not stretched
    expected = np.rint(frames * (255 / (2**n_bits - 1)))
    found = read_frames(write_16(tmp_path, frames), stride)
    np.testing.assert_allclose(found, expected[::stride], atol=0.501)
    assert found[0].max() <= 16


@pytest.mark.parametrize("stored", ["pages", "files"])
def test_the_bright_frame_that_tells_the_depth_may_be_left_out_by_the_stride(
    tmp_path: Path, stored: str
) -> None:
    frames = np.stack([deep(12)[0] // 5, deep(12)[0], deep(12)[0] // 5])
    if stored == "pages":
        path = save(tmp_path / "a.tif", frames)
    else:
        path = write_16(tmp_path / "a", frames)
    np.testing.assert_array_equal(read_frames(path, 2), read_frames(path)[::2])
    assert read_frames(path, 2).max() == 51


@pytest.mark.parametrize("brightest", [100, 300, 1500, 6000, 20_000])
def test_a_depth_that_nothing_tells_is_refused(tmp_path: Path, brightest: int) -> None:
    frames = np.full((2, HEIGHT, WIDTH), brightest, np.uint16)
    said = problem_of(write_16(tmp_path, frames))
    assert f"their brightest level {brightest} does not tell it: scale them to 8 bits" in said


def test_black_images_of_16_bits_are_black(tmp_path: Path) -> None:
    assert not read_frames(write_16(tmp_path, np.zeros((2, HEIGHT, WIDTH), np.uint16))).any()


@pytest.mark.parametrize("n_bits", N_BITS)
def test_sbit_states_the_depth_of_levels_that_were_not_scaled(tmp_path: Path, n_bits: int) -> None:
    frames = deep(n_bits) // 4
    found = read_frames(write_16(tmp_path, frames, significant(n_bits)))
    np.testing.assert_allclose(found, frames * (255 / (2**n_bits - 1)), atol=0.501)


def test_sbit_of_levels_that_were_scaled_to_16_bits_as_its_standard_asks(tmp_path: Path) -> None:
    found = read_frames(write_16(tmp_path, deep(12) << 4, significant(12)))
    np.testing.assert_allclose(found.astype(int), ramps(2), atol=1)


def test_a_tiff_states_its_depth(tmp_path: Path) -> None:
    size = WIDTH, HEIGHT
    for tag in (341, 281):
        pages = [((f // 4).tobytes(), {258: 16, tag: 4095}) for f in deep(12)]
        (tmp_path / "a.tif").write_bytes(tiff(pages, *size))
        expected = deep(12) // 4 * (255 / 4095)
        np.testing.assert_allclose(read_frames(tmp_path / "a.tif"), expected, atol=0.501)
    # The brightest level of one page is no depth.
    pages = [(f.tobytes(), {258: 16, 281: int(f.max()) - 1}) for f in deep(12)]
    (tmp_path / "a.tif").write_bytes(tiff(pages, *size))
    np.testing.assert_array_equal(read_frames(tmp_path / "a.tif"), ramps(2))


def test_a_tiff_of_12_bits(tmp_path: Path) -> None:
    """Two levels lie in three bytes."""
    pages = []
    for frame in deep(12) // 2:
        text = "".join(f"{level:012b}" for level in frame.ravel())
        pages.append((int(text, 2).to_bytes(len(text) // 8, "big"), {258: 12}))
    (tmp_path / "a.tif").write_bytes(tiff(pages, WIDTH, HEIGHT))
    expected = deep(12) // 2 * (255 / 4095)
    np.testing.assert_allclose(read_frames(tmp_path / "a.tif"), expected, atol=0.501)


def test_what_contradicts_itself_is_refused(tmp_path: Path) -> None:
    write_16(tmp_path / "a", deep(12)[:1], significant(12))
    (tmp_path / "a" / "f1.png").write_bytes(png_16(deep(12)[1], significant(10)))
    assert "state different depths (10, 12): scale them" in problem_of(tmp_path / "a")
    (tmp_path / "a" / "f1.png").write_bytes(png_16(deep(12)[1]))
    assert "state different depths (12, none)" in problem_of(tmp_path / "a")
    pages = [(f.tobytes(), {258: 16, 341: 1023}) for f in deep(12)]
    (tmp_path / "a.tif").write_bytes(tiff(pages, WIDTH, HEIGHT))
    assert "state 10 bits, but hold the level 4095" in problem_of(tmp_path / "a.tif")


@pytest.mark.parametrize("first", [8, 16])
def test_8_and_16_bits_in_one_folder_are_refused(tmp_path: Path, first: int) -> None:
    save_all(tmp_path, ramps(2))
    name = "frame0.png" if first == 16 else "frame1.png"
    (tmp_path / name).write_bytes(png_16(deep(16)[0]))
    assert problem_of(tmp_path).startswith("holds images of 8 and of 16 bits: scale them to 8")


# --- files from reports -------------------------------------------------------------------


@needs_cases
@pytest.mark.parametrize("name", ["f_alpha", "g_transparent.gif"])
def test_nothing_hidden_reappears(name: str) -> None:
    path = MEDIA / name
    frames = read_frames(path)
    for number, frame in enumerate(frames):
        with Image.open(path if path.is_file() else path / f"{number}.png") as image:
            image.seek(number if path.is_file() else 0)
            opacity = np.asarray(image.convert("RGBA"))[..., 3]
        assert (opacity == 0).any() and not frame[opacity == 0].any()
    assert frames.max() > 80


@needs_cases
def test_12_bits_in_16_span_black_to_white() -> None:
    frames = read_frames(MEDIA / "f_png12")
    with Image.open(MEDIA / "f_png12" / "0.png") as image:
        levels = np.asarray(image)
    assert levels.max() == 4095
    np.testing.assert_array_equal(frames[0], np.rint(levels * (255 / 4095)))
    assert len(frames) == 5 and frames.min() == 0 and frames.max() == 255


@needs_cases
def test_a_tiff_of_40_pages_gives_40_frames() -> None:
    frames = read_frames(MEDIA / "f_tifmulti")
    np.testing.assert_array_equal(frames, read_frames(MEDIA / "f_tifmulti" / "stack.tif"))
    assert len(frames) == 40 and len(np.unique(frames, axis=0)) == 40


@needs_cases
def test_half_a_jpeg_is_refused() -> None:
    assert problem_of(MEDIA / "f_jpeg_trunc").startswith("3.jpg: ")


@needs_cases
def test_webp_by_turns_is_read_in_order() -> None:
    means = read_frames(MEDIA / "f_mixwebp").mean(axis=(1, 2))
    assert len(means) == 6 and (np.diff(means) > 2).all()


@needs_cases
def test_appledouble_files_are_no_images() -> None:
    frames = read_frames(MEDIA / "f_appledouble")
    assert len(frames) == 5
    with Image.open(MEDIA / "f_appledouble" / "f4.png") as image:
        np.testing.assert_array_equal(frames[4], np.asarray(image))
