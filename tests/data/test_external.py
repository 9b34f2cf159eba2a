import io
import os
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lussweep.data import declaration as declarations
from lussweep.data import external_images as module
from lussweep.data.declaration import check_declaration, read_patients
from lussweep.data.external import (
    ExternalImages,
    describe,
    load_images,
    pixel_digest,
    resolve,
)
from lussweep.data.readers.seam import UnreadableError
from lussweep.errors import InputError, LeakageError
from lussweep.study.keys import hashed_id

SIZE = 16
FRAMES = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE)).astype(np.uint8)
NO_IMAGE = "is not a PNG, JPEG, TIFF, BMP image"
LOSSLESS = ["png", "tif", "tiff", "bmp", "PNG"]
PATIENTS = st.text(min_size=1, max_size=4)


def encode(frame: np.ndarray | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = frame if isinstance(frame, Image.Image) else Image.fromarray(frame)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def write_folder(folder: Path, frames: np.ndarray = FRAMES, suffix: str = "png") -> Path:
    folder.mkdir()
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"sample{i:03}.{suffix}")
    return folder


def write_parquet(path: Path, cells: list, kind: pa.DataType | None = None, **others: list) -> Path:
    pq.write_table(pa.table({"image": pa.array(cells, kind or pa.binary()), **others}), path)
    return path


@pytest.fixture
def declaration(tmp_path: Path) -> Path:
    path = tmp_path / "patients.csv"
    path.write_text("patient_id\nP2\nP1\nP2\n")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "images")


def problems_of(path: Path, declaration: Path) -> list[str]:
    """What describe says, in seconds and in lines that begin with the path."""
    started = time.process_time()
    with pytest.raises(InputError) as caught:
        describe(path, declaration, SIZE)
    assert time.process_time() - started < 5
    assert all(str(path) in line and "\n" not in line for line in caught.value.problems)
    return list(caught.value.problems)


def problem_of(path: Path, declaration: Path) -> str:
    (line,) = problems_of(path, declaration)
    return line


def problem_of_image(content: bytes, declaration: Path, name: str = "bad.png") -> str:
    """What is said of one image, which must be the same from a folder and from Parquet."""
    folder = declaration.parent / "one"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    said = problem_of(folder, declaration).removeprefix(f"{folder / name}: ")
    table = write_parquet(declaration.parent / "one.parquet", [content])
    assert problem_of(table, declaration) == f"{table}: row 1: {said}"
    (folder / name).unlink()
    return said


# --- sets that can take part --------------------------------------------------------------


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_a_folder_of_each_format_gives_its_frames_in_order_of_names(
    tmp_path: Path, declaration: Path, suffix: str
) -> None:
    found = describe(write_folder(tmp_path / "images", suffix=suffix), declaration, SIZE)
    assert found == ExternalImages(tmp_path / "images", pixel_digest(FRAMES), 5, ("P1", "P2"))
    np.testing.assert_array_equal(load_images(found, SIZE), FRAMES)


def test_jpeg_gives_what_its_decoder_gives(tmp_path: Path, declaration: Path) -> None:
    folder = write_folder(tmp_path / "images", suffix="jpg")
    decoded = [np.asarray(Image.open(file)) for file in sorted(folder.iterdir())]
    found = describe(folder, declaration, SIZE)
    np.testing.assert_array_equal(load_images(found, SIZE), decoded)


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.binary_view()], ids=lambda kind: str(kind)
)
def test_parquet_has_the_digest_of_a_folder_of_the_same_images(
    tmp_path: Path, folder: Path, declaration: Path, kind: pa.DataType
) -> None:
    cells = [encode(frame, "TIFF") for frame in FRAMES]
    table = write_parquet(tmp_path / "t.parquet", cells, kind, seed=list(range(5)))
    found = describe(table, declaration, SIZE)
    assert found.sha256 == describe(folder, declaration, SIZE).sha256
    np.testing.assert_array_equal(load_images(found, SIZE), FRAMES)


def test_parquet_of_structs_as_hugging_face_writes_them(tmp_path: Path, declaration: Path) -> None:
    cells = [{"bytes": encode(frame), "path": f"{i}.png"} for i, frame in enumerate(FRAMES)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    found = describe(write_parquet(tmp_path / "t.parquet", cells, kind), declaration, SIZE)
    np.testing.assert_array_equal(load_images(found, SIZE), FRAMES)


def test_the_digest_depends_on_pixels_and_order_alone(
    tmp_path: Path, folder: Path, declaration: Path
) -> None:
    digest = describe(folder, declaration, SIZE).sha256
    for i, file in enumerate(sorted(folder.iterdir())):
        file.rename(folder / f"other{i}.png")
    (folder / ".DS_Store").write_bytes(b"hidden files are ignored")
    assert describe(folder, declaration, SIZE).sha256 == digest
    turned = write_folder(tmp_path / "turned", FRAMES[::-1])
    assert describe(turned, declaration, SIZE).sha256 != digest
    changed = FRAMES.copy()
    changed[4, -1, -1] ^= 1
    assert pixel_digest(changed) != digest
    assert pixel_digest(FRAMES[:4].reshape(1, 2 * SIZE, 2 * SIZE)) != pixel_digest(FRAMES[:4])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_equal_channels_are_grey(tmp_path: Path, declaration: Path, mode: str) -> None:
    image = Image.fromarray(FRAMES[0]).convert(mode)
    table = write_parquet(tmp_path / "t.parquet", [encode(image)])
    found = describe(table, declaration, SIZE)
    assert found.sha256 == pixel_digest(FRAMES[:1])


# --- images that cannot -------------------------------------------------------------------


def test_colour_is_refused(declaration: Path) -> None:
    colour = np.repeat(FRAMES[0][..., None], 3, axis=2)
    colour[3, 3, 1] ^= 1
    said = problem_of_image(encode(colour), declaration)
    assert said == "is in colour: save it as 8-bit grey levels"


def test_transparency_is_refused(declaration: Path) -> None:
    image = Image.fromarray(FRAMES[0]).convert("LA")
    image.putpixel((0, 0), (9, 254))
    said = "is transparent in places: save it without transparency"
    assert problem_of_image(encode(image), declaration) == said
    marked = encode(FRAMES[0], transparency=int(FRAMES[0, 0, 0]))
    assert problem_of_image(marked, declaration) == said


def test_a_turned_image_is_turned_upright(tmp_path: Path, declaration: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    stored = encode(np.ascontiguousarray(np.rot90(FRAMES[0])), exif=exif)
    found = describe(write_parquet(tmp_path / "t.parquet", [stored]), declaration, SIZE)
    assert found.sha256 == pixel_digest(FRAMES[:1])


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_refused(declaration: Path, kind: str) -> None:
    content = encode(FRAMES[0].astype(np.uint16) << 8, kind)
    said = problem_of_image(content, declaration)
    assert said.startswith("is not an 8-bit image")
    assert said.endswith("save it as 8-bit grey levels")


def test_sixteen_bit_colour_is_refused_although_pillow_reads_it_as_eight(
    declaration: Path,
) -> None:
    rows = b"".join(b"\0" + b"\x12\x34" * 3 * SIZE for _ in range(SIZE))
    said = problem_of_image(png(SIZE, SIZE, rows, depth=16, colour=2), declaration)
    assert said.startswith("is not an 8-bit image")


def test_float_and_cmyk_are_refused(declaration: Path) -> None:
    for image in (Image.fromarray(FRAMES[0].astype(np.float32)), Image.new("CMYK", (SIZE, SIZE))):
        said = problem_of_image(encode(image, "TIFF"), declaration)
        assert said.startswith(f"is not an 8-bit image (mode {image.mode})")


def test_several_images_in_a_file_are_refused(declaration: Path) -> None:
    pages = [Image.fromarray(frame) for frame in FRAMES]
    for kind in ("TIFF", "PNG"):
        content = encode(pages[0], kind, save_all=True, append_images=pages[1:])
        said = problem_of_image(content, declaration)
        assert said == "holds several images: give each a file of its own"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF"])
def test_a_truncated_image_is_refused(declaration: Path, kind: str) -> None:
    content = encode(FRAMES[0], kind)
    for n_bytes in (0, 1, 8, 20, len(content) // 2, len(content) - 40):
        said = problem_of_image(content[:n_bytes], declaration)
        cut = ("is not a whole PNG", f"{NO_IMAGE}, or is cut", f"the {kind} is truncated")
        assert said.startswith(cut), (n_bytes, said)


def test_another_format_under_a_known_name_is_refused(declaration: Path) -> None:
    said = problem_of_image(encode(FRAMES[0], "GIF"), declaration)
    assert said == f"{NO_IMAGE}, or is cut within its header: replace it"


def test_every_problem_of_images_and_declaration_is_named_at_once(
    tmp_path: Path, folder: Path
) -> None:
    Image.fromarray(FRAMES[0][:, :9]).save(folder / "narrow.png")
    (folder / "notes.txt").write_text("no image")
    (folder / "deeper").mkdir()
    os.mkfifo(folder / "pipe.png")
    with pytest.raises(InputError) as caught:
        describe(folder, tmp_path / "nobody.csv", SIZE)
    first, *others = caught.value.problems
    assert first.startswith(f"the declaration {tmp_path / 'nobody.csv'} does not exist")
    no_image = "is not a PNG, JPEG, TIFF, BMP file: take it out of the folder"
    assert others == [
        f"{folder / 'deeper'}: {no_image}",
        f"{folder / 'narrow.png'}: is 9 x 16 pixels, not 16 x 16: scale it",
        f"{folder / 'notes.txt'}: {no_image}",
        f"{folder / 'pipe.png'}: {no_image}",
    ]


def test_after_twenty_problems_it_looks_no_further(tmp_path: Path, declaration: Path) -> None:
    folder = write_folder(tmp_path / "images", np.zeros((50, 4, 4), np.uint8))
    problems = problems_of(folder, declaration)
    assert len(problems) == module.MAX_PROBLEMS + 1
    assert problems[-1] == f"({folder}: images after sample019.png were not checked)"


def test_nothing_and_no_set_are_refused(tmp_path: Path, declaration: Path) -> None:
    assert "does not exist" in problem_of(tmp_path / "gone", declaration)
    assert "is neither a .parquet file nor a folder" in problem_of(declaration, declaration)
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / ".hidden.png").write_bytes(encode(FRAMES[0]))
    assert "holds no image" in problem_of(empty, declaration)
    assert "holds no image" in problem_of(write_parquet(tmp_path / "e.parquet", []), declaration)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"picture": [b"x"]}, "no single column image (its columns: picture)"),
        ({"image": ["x"]}, "its column image holds string, not the bytes of image files"),
        ({"image": [[1, 2]]}, "its column image holds list<"),
        ({"image": [{"path": "x.png"}]}, "its column image holds struct<path: string>"),
        ({"image": [{"bytes": "x"}]}, "its column image holds string"),
        ({"image": [None, b""]}, "its column image"),
    ],
)
def test_parquet_of_another_schema_is_refused(
    tmp_path: Path, declaration: Path, columns: dict, said: str
) -> None:
    path = tmp_path / "t.parquet"
    if columns == {"image": [None, b""]}:
        columns = {"image": pa.nulls(2)}
    pq.write_table(pa.table(columns), path)
    assert said in problem_of(path, declaration)


def test_a_row_without_an_image_is_refused(tmp_path: Path, declaration: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", [encode(FRAMES[0]), None])
    assert problem_of(path, declaration) == f"{path}: row 2: holds no image: fill it or take it out"
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [None, {"bytes": None, "path": "elsewhere.png"}]
    path = write_parquet(path, cells, kind)
    assert [line.split(": ")[1] for line in problems_of(path, declaration)] == ["row 1", "row 2"]


# --- hostile input ------------------------------------------------------------------------


def png(width: int, height: int, rows: bytes, depth: int = 8, colour: int = 0) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_the_header_of_ten_gigapixels_is_refused_undecoded(
    declaration: Path, recwarn: pytest.WarningsRecorder
) -> None:
    said = problem_of_image(png(100_000, 100_000, b"\0"), declaration)
    assert said == "has over 8192 pixels a side: scale it"
    said = problem_of_image(png(10_000, 10_000, b"\0"), declaration)  # Pillow only warns of these
    assert said == "has over 8192 pixels a side: scale it"
    bmp = bytearray(encode(FRAMES[0], "BMP"))
    bmp[18:26] = struct.pack("<ii", 2**31 - 1, 2**31 - 1)
    assert "over 8192 pixels" in problem_of_image(bytes(bmp), declaration)
    assert not recwarn.list


def test_a_huge_file_is_refused_unread(tmp_path: Path, declaration: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    with (folder / "huge.png").open("wb") as file:
        file.truncate(2**40)
    assert problem_of(folder, declaration).endswith("huge.png: has over 16 MiB: save it as PNG")


def test_parquet_that_unpacks_into_huge_images_is_refused(
    tmp_path: Path, declaration: Path
) -> None:
    path, zeros = tmp_path / "t.parquet", bytes(100_000_000)
    options: dict[str, Any] = {"compression": "zstd", "store_schema": False}
    pq.write_table(pa.table({"image": [zeros]}), path, **options)
    assert path.stat().st_size < 100_000
    assert "row 1 has over 16 MiB" in problem_of(path, declaration)
    same = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10_000, np.int32)), pa.array([zeros]))
    pq.write_table(pa.table({"image": same}), path, dictionary_pagesize_limit=2**30, **options)
    assert path.stat().st_size < 100_000  # a terabyte, if all rows were read
    assert "row 1 has over 16 MiB" in problem_of(path, declaration)


def test_parquet_of_too_many_rows_is_refused_unread(tmp_path: Path, declaration: Path) -> None:
    n_rows = module.MAX_DECODED_BYTES // SIZE**2 + 1
    cells = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(n_rows, np.int8)), pa.array([encode(FRAMES[0])])
    )
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"image": cells}), path, store_schema=False)
    assert f"holds {n_rows} images, over {n_rows - 1}: give fewer" in problem_of(path, declaration)


def test_a_broken_parquet_file_is_refused(tmp_path: Path, declaration: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", [encode(frame) for frame in FRAMES])
    whole = path.read_bytes()
    for content in (b"", b"PAR1", whole[:-1], whole[100:], b"\0" * 1000 + b"PAR1"):
        path.write_bytes(content)
        assert "is not a whole Parquet file" in problem_of(path, declaration)
    path.write_bytes(whole.replace(b"image", b"imag\xff"))
    assert "is not a whole Parquet file" in problem_of(path, declaration)
    path.write_bytes(whole[:40] + bytes(600) + whole[640:])  # pages, with the footer whole
    assert problems_of(path, declaration)


@given(st.data())
def test_damaged_bytes_are_an_input_error_or_an_image(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "BMP", "TIFF"]))
    content = bytearray(encode(FRAMES[0], kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        frame = module._decode(bytes(content), SIZE)
    except UnreadableError:
        return
    assert frame.shape == (SIZE, SIZE) and frame.dtype == np.uint8


# --- loading ------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["pixels", "fewer", "more", "order"])
def test_images_that_changed_since_are_refused(
    folder: Path, declaration: Path, change: str
) -> None:
    found = describe(folder, declaration, SIZE)
    if change == "pixels":
        Image.fromarray(FRAMES[0]).save(folder / "sample001.png")
    elif change == "fewer":
        (folder / "sample004.png").unlink()
    elif change == "more":
        Image.fromarray(FRAMES[0]).save(folder / "sample005.png")
    else:
        (folder / "sample004.png").rename(folder / "sample.png")
    with pytest.raises(InputError, match="has changed since the study was planned: restore"):
        load_images(found, SIZE)


def test_images_that_are_gone_are_refused(folder: Path, declaration: Path) -> None:
    found = describe(folder, declaration, SIZE)
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(InputError, match="does not exist"):
        load_images(found, SIZE)


# --- where a set lies ---------------------------------------------------------------------


def test_a_template_is_filled_relative_to_its_base() -> None:
    template = "made/n{n_patients}/r{replicate}/{class}.parquet"
    found = resolve(template, Path("/base"), 6, 2, "pos")
    assert found == Path("/base/made/n6/r2/pos.parquet")
    for template, expected in (("/x/{class}/{class}", "/x/neg/neg"), ("../x", "/x")):
        assert resolve(template, Path("/base"), 6, 2, "neg", allow_absolute=True) == Path(expected)
        with pytest.raises(InputError, match=r"^external: the path .*/base, or give --allow-abs"):
            resolve(template, Path("/base"), 6, 2, "neg")


def test_a_set_that_links_elsewhere_is_refused(tmp_path: Path, folder: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "pos").symlink_to(folder, target_is_directory=True)
    (base / "neg").mkdir()
    (base / "neg" / "a.png").symlink_to(folder / "sample000.png")
    for label, link in (("pos", ""), ("neg", " (a.png in it)")):
        with pytest.raises(InputError) as caught:
            resolve("{class}", base, 6, 1, label)
        assert f"{label} leaves its folder by a symbolic link{link}: " in str(caught.value)


@pytest.mark.parametrize(
    "placeholder", ["{n}", "{}", "{class.__class__}", "{n_patients:99}", "{", "}", "{ class }"]
)
def test_any_other_placeholder_is_refused(placeholder: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(f"a/{{class}}/{placeholder}", Path(), 6, 1, "pos")
    known = "known are {n_patients}, {replicate}, {class}"
    expected = f"a/{{class}}/{placeholder}: unknown placeholder {placeholder}; {known}"
    assert caught.value.problems == (expected,)


def test_nested_braces_and_empty_templates_are_refused() -> None:
    for template in ("{{class}}", "{class", "", " "):
        with pytest.raises(InputError):
            resolve(template, Path(), 6, 1, "pos")


# --- declarations -------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".pq", ".txt", ".CSV"])
def test_every_form_of_declaration_reads_alike(tmp_path: Path, suffix: str) -> None:
    path, ids = tmp_path / f"patients{suffix}", ["P2", hashed_id("P3"), "P1", "P2"]
    if suffix == ".txt":
        path.write_text("\ufeff" + "\n".join(ids) + "\n\n")
    elif suffix.lower() == ".csv":
        path.write_text("\ufeffsite,patient_id\n" + "".join(f"x, {i} \n" for i in ids))
    else:
        pq.write_table(pa.table({"site": [0] * 4, "patient_id": ids}), path)
    assert read_patients(path) == tuple(sorted({"P1", "P2", hashed_id("P3")}))


def test_whole_numbers_are_ids(tmp_path: Path) -> None:
    pq.write_table(pa.table({"patient_id": [11, 2]}), tmp_path / "p.parquet")
    assert read_patients(tmp_path / "p.parquet") == ("11", "2")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.csv", b"", "has no single column patient_id"),
        ("p.csv", b"patient\nP1\n", "has no single column patient_id"),
        ("p.csv", b"patient_id,patient_id\nP1,P2\n", "has no single column patient_id"),
        ("p.csv", b"patient_id\n", "names no patient"),
        ("p.csv", b"a,patient_id\nx,P1\nx,\n", "has no patient_id in row 2"),
        ("p.csv", b"a,patient_id\nx\n", "has no patient_id in row 1"),
        ("p.csv", b"patient_id\n\xff\xfe\n", "cannot be read"),
        ("p.csv", b'patient_id\n"P1\n', "cannot be read"),
        ("p.txt", b"\n \n", "names no patient"),
        ("p.txt", b"\xff", "cannot be read"),
        ("p.json", b"[]", "is not a .csv, .parquet or .txt file"),
        ("p.parquet", b"PAR1", "cannot be read"),
    ],
)
def test_a_declaration_that_declares_nothing_is_refused(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_patients(tmp_path / name)
    (line,) = caught.value.problems
    assert line.startswith(f"the declaration {tmp_path / name} {said}") and "\n" not in line
    assert "must list every patient whose frames its generator saw, a column patient_id" in line


def test_a_parquet_declaration_of_other_values_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    for column, said in (
        ({"patient_id": [1.5]}, "holds double as patient_id"),
        ({"patient_id": [["P1"]]}, "holds list<"),
        ({"id": ["P1"]}, "has no single column"),
        ({"patient_id": ["P1", None]}, "has no patient_id in row 2"),
        ({"patient_id": pa.array([], pa.string())}, "names no patient"),
    ):
        pq.write_table(pa.table(column), path)
        with pytest.raises(InputError, match=said):
            read_patients(path)


def test_a_huge_declaration_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "p.txt").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InputError, match="has over 16 MiB"):
        read_patients(tmp_path / "p.txt")
    with pytest.raises(InputError, match="does not exist"):
        read_patients(tmp_path)


COHORT, FORBIDDEN = ["P1", "P2", "P3"], ["H1", "V1"]


@pytest.mark.parametrize("name", [str, hashed_id], ids=["plain", "hashed"])
def test_the_cohort_and_any_part_of_it_pass(name: Any) -> None:
    check_declaration([name(patient) for patient in COHORT], COHORT, FORBIDDEN, "set")
    check_declaration([name("P2")], COHORT, FORBIDDEN, "set")
    check_declaration([name("P1"), "P2", hashed_id("P3")], COHORT, FORBIDDEN, "set")


@pytest.mark.parametrize("name", [str, hashed_id], ids=["plain", "hashed"])
def test_forbidden_patients_are_named_as_they_are(name: Any) -> None:
    with pytest.raises(LeakageError) as caught:
        check_declaration([name("V1"), name("P1"), name("H1")], COHORT, FORBIDDEN, "n6/pos")
    assert caught.value.problems == (
        "n6/pos: its generator saw patients of validation or holdout: H1, V1; "
        "train it without them",
    )


@pytest.mark.parametrize("name", [str, hashed_id], ids=["plain", "hashed"])
def test_patients_outside_the_cohort_known_or_not_are_named(name: Any) -> None:
    with pytest.raises(LeakageError) as caught:
        check_declaration([name("T9"), "P1"], COHORT, FORBIDDEN, "n6/pos")
    assert caught.value.problems == (
        f"n6/pos: its generator saw patients outside the cohort: {name('T9')}; "
        "train it on the patients of the cohort only",
    )


def test_both_leaks_are_told_at_once_and_no_patients_are_no_declaration() -> None:
    with pytest.raises(LeakageError) as caught:
        check_declaration(["H1", "T9"], COHORT, FORBIDDEN, "set")
    assert len(caught.value.problems) == 2
    with pytest.raises(InputError, match="no patients are declared"):
        check_declaration([], COHORT, FORBIDDEN, "set")


def test_a_hash_that_fits_two_patients_counts_for_the_forbidden_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(declarations, "hashed_id", lambda patient: "#00000000")
    with pytest.raises(LeakageError, match="H1, V1"):
        check_declaration(["#00000000"], COHORT, FORBIDDEN, "set")


@given(
    declared=st.sets(PATIENTS, min_size=1),
    hashed=st.booleans(),
    allowed=st.sets(PATIENTS),
    forbidden=st.sets(PATIENTS),
)
def test_only_a_part_of_the_cohort_without_forbidden_patients_passes(
    declared: set[str], hashed: bool, allowed: set[str], forbidden: set[str]
) -> None:
    entries = {hashed_id(patient) if hashed else patient for patient in declared}
    if declared <= allowed - forbidden:
        check_declaration(entries, allowed, forbidden, "set")
    else:
        with pytest.raises(LeakageError):
            check_declaration(entries, allowed, forbidden, "set")


def test_a_lack_of_memory_is_a_problem_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(module, "_grey", fail)
    with pytest.raises(UnreadableError, match="takes more memory than there is"):
        module._decode(encode(FRAMES[0]), SIZE)
