"""Reads and checks the declaration of a set: the patients whose frames its generator saw.

A child process that has limits opens the file. A declaration is read more strictly than a manifest
(`data/tables.py`): an id that is read wrongly may hide a leak.
"""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa

from lussweep.errors import InputError, LeakageError, one_line
from lussweep.store import child, parquet
from lussweep.study.keys import hashed_id

PATIENT_COLUMN = "patient_id"
PARQUET = (".parquet", ".pq")
MAX_DECLARATION_BYTES = 2**24
MAX_IDS = 10**6
MAX_UNPACKED_BYTES = 2**28
"""Limit of a Parquet declaration, unpacked."""


class RefusedError(Exception):
    """Says what is wrong with a declaration. The caller adds its name."""


def read_patients(path: Path) -> tuple[str, ...]:
    """Reads the declared patients, sorted and distinct, as plain ids or as `keys.hashed_id` does.

    `path` is a CSV or Parquet table with a column `patient_id`, or a .txt file of one id a line.
    Raises InputError with the remedy if it is missing, unreadable or without ids.
    """
    remedy = (
        "it must list every patient whose frames its generator saw, a column patient_id "
        "(.csv, .parquet) or one id a line (.txt)"
    )
    if not path.is_file():
        raise InputError(f"the declaration {path} does not exist: {remedy}")
    try:
        found = child.call(
            path, _read_ids, path, limits=parquet.LIMITS, remedy=remedy, errors=(RefusedError,)
        )
        ids = list(map(str, found))
    except RefusedError as error:
        raise InputError(f"the declaration {path} {error}: {remedy}") from None
    except InputError as error:
        raise InputError(f"the declaration {error}") from None
    except (OSError, TypeError, ValueError) as error:
        raise InputError(
            f"the declaration {path} cannot be read ({reason_of(error)}): {remedy}"
        ) from None
    empty = [i for i, patient in enumerate(ids, 1) if not patient]
    if empty:
        raise InputError(f"the declaration {path} has no patient_id in row {empty[0]}: {remedy}")
    if not ids:
        raise InputError(f"the declaration {path} names no patient: {remedy}")
    return tuple(sorted(set(ids)))


def check_declaration(
    declared: Collection[str], allowed: Collection[str], forbidden: Collection[str], where: str
) -> None:
    """Refuses a set whose generator saw a patient that its cell must not have.

    `allowed` are the patients of the cell's cohort and `forbidden` those of validation and
    holdout, as plain ids. `where` names the set. `declared` may be a part of the cohort. An entry
    stands for every patient whose id or hashed id it is. An entry that fits an allowed and a
    forbidden patient counts as the forbidden one.

    Raises LeakageError that names the forbidden patients and all others outside the cohort, known
    or not. Raises InputError if no patients are declared.
    """
    if not declared:
        raise InputError(
            f"{where}: no patients are declared: list the patients that its generator saw"
        )
    forbidden_names, allowed_names = _by_entry(forbidden), _by_entry(allowed)
    seen_forbidden = sorted({p for entry in declared for p in forbidden_names.get(entry, ())})
    outside = sorted({e for e in declared if e not in forbidden_names and e not in allowed_names})
    problems = []
    if seen_forbidden:
        problems.append(
            f"{where}: its generator saw patients of validation or holdout: "
            f"{', '.join(seen_forbidden)}; train it without them"
        )
    if outside:
        problems.append(
            f"{where}: its generator saw patients outside the cohort: {', '.join(outside)}; "
            "train it on the patients of the cohort only"
        )
    if problems:
        raise LeakageError(problems)


def _by_entry(patients: Collection[str]) -> dict[str, set[str]]:
    """Patients by each entry that may stand for them in a declaration."""
    by_entry: dict[str, set[str]] = {}
    for patient in patients:
        for entry in (patient, hashed_id(patient)):
            by_entry.setdefault(entry, set()).add(patient)
    return by_entry


def reason_of(error: Exception) -> str:
    """The reason of an error in one line. Pillow and Arrow repeat paths and add lines."""
    return one_line((isinstance(error, OSError) and error.strerror) or error)


# --- in the child -------------------------------------------------------------------------


def _read_ids(path: Path) -> list[str]:
    suffix = path.suffix.lower()
    if path.stat().st_size > MAX_DECLARATION_BYTES:
        raise RefusedError(f"has over {MAX_DECLARATION_BYTES >> 20} MiB")
    if suffix == ".txt":
        return [s for line in path.read_text("utf-8-sig").splitlines() if (s := line.strip())]
    if suffix == ".csv":
        return _csv_ids(path)
    if suffix in PARQUET:
        return _parquet_ids(path)
    raise RefusedError("is not a .csv, .parquet or .txt file")


def _csv_ids(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, strict=True)
        if list(reader.fieldnames or ()).count(PATIENT_COLUMN) != 1:
            raise RefusedError("has no single column patient_id")
        return [(row[PATIENT_COLUMN] or "").strip() for row in reader]


def _parquet_ids(path: Path) -> list[str]:
    schema = parquet.read_schema(path)
    if schema.names.count(PATIENT_COLUMN) != 1:
        raise RefusedError("has no single column patient_id")
    kind = schema.field(PATIENT_COLUMN).type
    if not any(is_id(kind) for is_id in _ID_TYPES):
        raise RefusedError(f"holds {kind} as patient_id, neither text nor whole numbers")
    batches = parquet.read_batches(
        path, {PATIENT_COLUMN}, max_rows=MAX_IDS, max_bytes=MAX_UNPACKED_BYTES
    )
    cells = (cell for batch in batches for cell in batch[PATIENT_COLUMN].to_pylist())
    return ["" if cell is None else str(cell).strip() for cell in cells]


_ID_TYPES = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_integer,
)
