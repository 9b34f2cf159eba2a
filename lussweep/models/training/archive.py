"""Checks an archive that torch.save wrote. Imports no PyTorch, so that a child process starts soon.

torch.load reads a changed weight without an error, and unpacks what is compressed.
"""

import zipfile
from pathlib import Path

_END_BYTES = 22
"""Size of an archive's last record, if it has no comment (APPNOTE 4.3.16)."""


def is_archive(path: Path) -> bool:
    """Whether torch.load takes a file for an archive. Files from before PyTorch 1.6 are none."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\3\4"


def check_archive(path: Path) -> None:
    """Reads every member of an archive. Runs in a child process, because it lists all of them.

    Raises ValueError with the reason, or an error of zipfile, if a checksum is wrong or if the
    archive unpacks to more than its size. torch.save compresses nothing.
    """
    n_bytes = path.stat().st_size
    if not is_archive(path):
        raise ValueError("it is not an archive")
    with path.open("rb") as file:
        file.seek(max(0, n_bytes - _END_BYTES))
        if file.read(4) != b"PK\5\6":
            raise ValueError("it is cut, or has a comment")
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > n_bytes:
            raise ValueError("it unpacks to more than its size")
        if damaged := archive.testzip():
            raise ValueError(f"its member {damaged} is damaged")
