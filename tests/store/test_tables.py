from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lussweep.errors import InputError
from lussweep.report.sections import SECTIONS
from lussweep.report.sections.results import RESULTS
from lussweep.store import tables
from support.big_store import index_of

SCHEMAS = {
    **{name: value for name, value in vars(tables).items() if isinstance(value, pa.Schema)},
    **{name: section.schema for name, section in SECTIONS.items()},
}
LOSS = {"class": "pos", "epoch": 1, "name": "loss_g", "value": 0.7}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "losses.parquet"


# --- writing ------------------------------------------------------------------------------


def test_rows_come_back_in_their_order_and_a_missing_field_is_null(path):
    written = tables.write(path, [LOSS, {"epoch": 2}], tables.GAN_LOSSES)
    assert written.equals(tables.read(path, tables.GAN_LOSSES))
    rows = tables.read(path, tables.GAN_LOSSES).to_pylist()
    everything = dict.fromkeys(tables.GAN_LOSSES.names)
    assert rows == [{**everything, **LOSS}, {**everything, "epoch": 2}]


def test_an_unknown_field_is_refused_by_name_and_writes_nothing(path):
    with pytest.raises(AssertionError, match="loss_gg"):
        tables.write(path, [LOSS, {"loss_gg": 1.0}], tables.GAN_LOSSES)
    assert not path.exists()


def test_an_unknown_column_of_a_table_is_refused_by_name(path):
    table = tables.GAN_LOSSES.empty_table().append_column("loss_gg", pa.array([], pa.float64()))
    with pytest.raises(AssertionError, match="loss_gg"):
        tables.write(path, table, tables.GAN_LOSSES)


def test_a_missing_column_of_a_table_is_null(path):
    tables.write(path, pa.table({"epoch": pa.array([3], pa.int32())}), tables.GAN_LOSSES)
    assert tables.read(path, tables.GAN_LOSSES).to_pylist() == [
        {**dict.fromkeys(tables.GAN_LOSSES.names), "epoch": 3}
    ]


def test_a_value_of_another_type_is_refused(path):
    with pytest.raises(pa.ArrowInvalid):
        tables.write(path, [{"epoch": "first"}], tables.GAN_LOSSES)
    with pytest.raises(pa.ArrowInvalid):
        tables.write(path, [{"epoch": 2**40}], tables.GAN_LOSSES)


def test_a_failed_write_leaves_the_earlier_table_whole(path):
    tables.write(path, [LOSS], tables.GAN_LOSSES)
    before = path.read_bytes()
    with pytest.raises(pa.ArrowInvalid):
        tables.write(path, [{"epoch": "first"}], tables.GAN_LOSSES)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_same_rows_are_the_same_bytes(path):
    tables.write(path, [LOSS], tables.GAN_LOSSES)
    before = path.read_bytes()
    tables.write(path, [dict(reversed(LOSS.items()))], tables.GAN_LOSSES)
    assert path.read_bytes() == before


# --- reading ------------------------------------------------------------------------------


def test_a_table_of_another_schema_is_an_input_error_that_names_the_file(path):
    tables.write(path, [LOSS], tables.GAN_LOSSES)
    with pytest.raises(InputError, match=r"losses\.parquet has other columns"):
        tables.read(path, tables.TRIALS)


def test_a_column_of_another_type_is_an_input_error(path):
    wider = pa.schema(
        [f.with_type(pa.int64()) if f.name == "epoch" else f for f in SCHEMAS["TRIALS"]]
    )
    tables.write(path, [{"epoch": 1}], wider)
    with pytest.raises(InputError, match="other columns"):
        tables.read(path, tables.TRIALS)


def test_a_file_that_is_missing_or_no_parquet_is_an_input_error(path):
    with pytest.raises(InputError, match="cannot read the table"):
        tables.read(path, tables.TRIALS)
    path.parent.mkdir()
    path.write_bytes(b"not parquet at all")
    with pytest.raises(InputError, match="cannot read the table"):
        tables.read(path, tables.TRIALS)


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path):
    path = tmp_path / "epoch=7" / "losses.parquet"
    tables.write(path, [LOSS], tables.GAN_LOSSES)
    assert tables.read(path, tables.GAN_LOSSES)["epoch"].to_pylist() == [1]


# --- schemas ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEMAS)
def test_units_and_types_survive_parquet(name, tmp_path):
    schema = SCHEMAS[name]
    tables.write(tmp_path / "t.parquet", [], schema)
    stored = pq.read_schema(tmp_path / "t.parquet")
    assert stored.names == schema.names
    for field in schema:
        unit = (field.metadata or {}).get(b"unit")
        assert (stored.field(field.name).metadata or {}).get(b"unit") == unit
        assert stored.field(field.name).type == field.type


def test_seconds_nats_and_images_are_named_wherever_they_occur():
    for name, schema in SCHEMAS.items():
        for field in schema:
            if field.name == "seconds" or "loss" in field.name or field.name == "n_images_seen":
                assert b"unit" in (field.metadata or {}), f"{name}.{field.name}"


@pytest.mark.parametrize("name", SCHEMAS)
def test_pandas_reads_every_table(name, tmp_path):
    schema = SCHEMAS[name]
    tables.write(tmp_path / "t.parquet", [{}], schema)
    frame = pd.read_parquet(Path(tmp_path / "t.parquet"))
    assert list(frame.columns) == schema.names
    assert frame.isna().all(axis=None)


# --- putting together ---------------------------------------------------------------------


def test_constants_are_set_and_absent_columns_are_null():
    table = pa.table({"trial": pa.array([1, 2], pa.int64()), "variant": ["x", "y"]})
    made = tables.with_columns(table, {"variant": "combined", "n_patients": 6}, tables.TRIALS)
    assert made.schema.equals(tables.TRIALS, check_metadata=True)
    assert made["variant"].to_pylist() == ["combined", "combined"]
    assert made["n_patients"].to_pylist() == [6, 6]
    assert made["trial"].to_pylist() == [1, 2]
    assert made["epoch"].to_pylist() == [None, None]


def test_a_constant_may_be_null():
    table = pa.table({"gan_epoch": pa.array([5], pa.int32())})
    made = tables.with_columns(table, {"gan_epoch": None}, tables.TRIALS)
    assert made["gan_epoch"].to_pylist() == [None]


def test_many_tables_become_one_and_none_becomes_an_empty_one():
    one = tables.with_columns(pa.table({"trial": [1, 2]}), {}, tables.TRIALS)
    assert tables.concat(iter([one, one]), tables.TRIALS)["trial"].to_pylist() == [1, 2, 1, 2]
    assert tables.concat([], tables.TRIALS).equals(tables.TRIALS.empty_table())


def test_an_index_of_a_large_study_is_no_hostile_file(tmp_path):
    """Frames of a few long videos a patient repeat their ids: the file is small for its table."""
    rng = np.random.default_rng(0)
    videos = [(f"patient-{p:04d}", f"patient-{p:04d}-video-{v}", int(rng.integers(150, 400)))
              for p in range(350) for v in range(rng.integers(4, 9))]  # fmt: skip
    lengths = np.array([n for _, _, n in videos])
    rows = np.repeat(np.arange(len(videos)), lengths)
    within = np.concatenate([np.arange(n) for n in lengths])
    table = pa.table({
        "patient_id": pa.array([p for p, _, _ in videos]).take(rows),
        "video_id": pa.array([v for _, v, _ in videos]).take(rows),
        "frame": pa.array(within, pa.int32()), "label": pa.array(rows % 2, pa.int8()),
        "patient_class": pa.array(rows % 2, pa.int8()),
        "split": pa.array(["train"]).take(np.zeros_like(rows)),
        "shard": pa.array([f"shard/{i:016x}" for i in range(len(videos))]).take(rows),
        "row": pa.array(within, pa.int32()), "mask_row": pa.array(np.zeros_like(rows), pa.int32()),
        "source_frame": pa.array(3 * within, pa.int32()), "seconds": pa.array(within / 8),
    }).cast(tables.FRAMES)  # fmt: skip
    assert table.num_rows > 500_000
    tables.write(tmp_path / "frames.parquet", table, tables.FRAMES)
    assert tables.read_frames(tmp_path / "frames.parquet").equals(table)


def test_an_index_without_the_places_in_the_source_is_read_with_nulls(tmp_path):
    row = dict.fromkeys(tables.FRAMES.names)
    row |= {"patient_id": "P", "frame": 2, "label": 1, "source_frame": 6, "seconds": 0.24}
    table = tables.write(tmp_path / "new.parquet", [row], tables.FRAMES)
    assert tables.read_frames(tmp_path / "new.parquet").equals(table)
    earlier = table.drop_columns(list(tables.SOURCE_COLUMNS))
    tables.write(tmp_path / "earlier.parquet", earlier, earlier.schema)
    (found,) = tables.read_frames(tmp_path / "earlier.parquet").to_pylist()
    assert found == {**row, "source_frame": None, "seconds": None}
    other = table.drop_columns(["label"])
    tables.write(tmp_path / "other.parquet", other, other.schema)
    with pytest.raises(InputError, match=r"other\.parquet has other columns than this version"):
        tables.read_frames(tmp_path / "other.parquet")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"cannot read the table .*damaged\.parquet"):
        tables.read_frames(tmp_path / "damaged.parquet")


# --- hyperparameters --------------------------------------------------------------------------

VGG = {"learning_rate": 0.003, "channels": 3, "dropout": 0.25}


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (VGG, None),
        ({"learning_rate": 0.003}, None),
        ({"learning_rate": 0.003, "side": 2, "name": "a"}, '{"name":"a","side":2}'),
        (
            {"learning_rate": 0.003, "channels": "many", "dropout": 1},
            '{"channels":"many","dropout":1}',
        ),
    ],
    ids=["the VGG's", "none of the network", "without a column", "of another type than the column"],
)
def test_hyperparameters_come_back_from_their_columns(tmp_path, values, text):
    columns = tables.hyperparameter_columns(values)
    assert columns["hyperparameters"] == text
    for schema in (tables.TRIALS, RESULTS):
        (row,) = tables.write(tmp_path / "one.parquet", [columns], schema).to_pylist()
        assert tables.hyperparameters_of(row) == values


def test_a_hyperparameter_of_several_numbers_comes_back_as_a_text_that_views_can_compare():
    columns = tables.hyperparameter_columns({"learning_rate": 0.1, "widths": (16, 32)})
    assert columns["hyperparameters"] == '{"widths":[16,32]}'
    row = {"channels": None, "dropout": None, **columns}
    assert tables.hyperparameters_of(row) == {"learning_rate": 0.1, "widths": "[16,32]"}


def test_an_index_of_a_million_frames_is_not_taken_for_a_file_that_was_made_to_fill_memory(
    tmp_path: Path,
) -> None:
    index = index_of(n_videos=20_000, n_frames=50)
    tables.write(tmp_path / "frames.parquet", index, tables.FRAMES)
    found = tables.read_frames(tmp_path / "frames.parquet")
    assert found.equals(index) and len(found) == 1_000_000
