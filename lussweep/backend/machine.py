"""Facts about the machine that this process runs on: read here, judged by the doctor."""

from __future__ import annotations

import ipaddress
import os
import platform
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from lussweep.store.folders import LocalFolder, marked
from lussweep.store.versions import installed_versions

LIBRARIES = ("ray", "lussweep", "torch", "numpy")
ASK_TORCH = "import torch; print(torch.version.cuda, torch.cuda.device_count())"


@dataclass(frozen=True)
class Listening:
    """An open TCP port; `address` is 0.0.0.0 or :: for every address of the machine."""

    address: str
    port: int


@dataclass(frozen=True)
class TokenFile:
    """The file of Ray's token; modes are permission bits, such as 0o600."""

    path: str
    mode: int
    folder_mode: int


@dataclass(frozen=True)
class Space:
    """Of a disk or of memory, in bytes."""

    free: int
    total: int


@dataclass(frozen=True)
class Gpus:
    """What the driver shows, and what this machine's torch can use of it."""

    names: tuple[str, ...]
    drivers: tuple[str, ...]
    torch_cuda: str = ""
    """The CUDA that torch was built for; empty for a CPU build, or where torch was not asked."""
    usable: int | None = None
    """Devices that torch finds; None where it was not asked, or did not answer."""


@dataclass(frozen=True)
class Machine:
    host: str
    versions: Mapping[str, str]
    """Of Python and of LIBRARIES; a missing library is left out."""
    auth_mode: str
    """$RAY_AUTH_MODE, empty where it is not set."""
    token: TokenFile | None = None
    listening: tuple[Listening, ...] | None = None
    """None where the system does not tell."""
    disks: Mapping[str, Space] = field(default_factory=dict)
    """By the path that was asked for."""
    memory: Space | None = None
    gpus: Gpus | None = None


@dataclass(frozen=True)
class Clock:
    """A machine was asked for its time: seconds since 1970, the outer two by our own clock."""

    sent: float
    told: float
    received: float


def look(folders: Iterable[str] = (), expects_gpu: bool = False) -> Machine:
    """This machine, with the disks that hold `folders` (which need not exist yet)."""
    return Machine(
        host=platform.node(),
        versions=versions(),
        auth_mode=os.environ.get("RAY_AUTH_MODE", ""),
        token=token_file(),
        listening=_listening(),
        disks={folder: _disk(folder) for folder in folders},
        memory=_memory(),
        gpus=_gpus(expects_gpu),
    )


def versions() -> dict[str, str]:
    """Of Python and of LIBRARIES, as they are installed here."""
    return {"python": platform.python_version(), **installed_versions(LIBRARIES)}


def existing_folder(path: Path) -> Path:
    """`path`, or the nearest folder above it that exists."""
    path = path.absolute()
    return next(p for p in (path, *path.parents) if p.is_dir())


# --- who may come in ----------------------------------------------------------------------


def token_file() -> TokenFile | None:
    """The file that Ray takes its token from, if there is one."""
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    try:
        mode, folder_mode = path.stat().st_mode, path.parent.stat().st_mode
    except OSError:
        return None
    return TokenFile(str(path), stat.S_IMODE(mode), stat.S_IMODE(folder_mode))


def _listening() -> tuple[Listening, ...] | None:
    """Open ports, sorted; None where the system does not tell (macOS tells root alone)."""
    try:
        sockets = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return None
    found = {
        Listening(_plain_address(one.laddr.ip), one.laddr.port)
        for one in sockets
        if one.status == psutil.CONN_LISTEN
    }
    return tuple(sorted(found, key=lambda one: (one.port, one.address)))


def _plain_address(text: str) -> str:
    """An IPv4 address that an IPv6 socket listens on, without its IPv6 prefix."""
    ip = ipaddress.ip_address(text)
    return str((isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped) or ip)


# --- what there is room for ---------------------------------------------------------------


def _disk(folder: str) -> Space:
    usage = shutil.disk_usage(existing_folder(Path(folder)))
    return Space(usage.free, usage.total)


def _memory() -> Space:
    """Memory of the machine, or of the container where that has less left."""
    ram = psutil.virtual_memory()
    machine = Space(ram.available, ram.total)
    try:  # psutil knows the machine alone, not the limit that a container was given
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):  # no limit ("max"), or no such file
        return machine
    return min(machine, Space(max(0, limit - used), limit), key=lambda space: space.free)


def _gpus(expected: bool) -> Gpus | None:
    """None where neither the driver nor anybody else says that there is a GPU."""
    shown = _output(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"])
    rows = [line.rsplit(", ", 1) for line in (shown or "").splitlines() if ", " in line]
    if not rows and not expected:
        return None
    names, drivers = tuple(row[0] for row in rows), tuple(sorted({row[1] for row in rows}))
    # In a process of its own: Ray hides the GPUs from a task that asks for none, and CUDA, once
    # begun, would stay in a worker that other steps get.
    told = (_output([sys.executable, "-c", ASK_TORCH], hidden="CUDA_VISIBLE_DEVICES") or "").split()
    if len(told) != 2:
        return Gpus(names, drivers)
    return Gpus(names, drivers, told[0] if told[0] != "None" else "", int(told[1]))


def _output(command: list[str], hidden: str = "") -> str | None:
    environment = {name: value for name, value in os.environ.items() if name != hidden}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


# --- a folder that machines share ---------------------------------------------------------


def probe_storage(folder: Path, ask: Callable[[str, str], Mapping[str, str]]) -> Mapping[str, str]:
    """By machine what keeps it from sharing `folder` with this one, empty where nothing does.

    `ask(folder, mark)` has every machine run `answer_mark`. Leaves nothing behind.
    """
    there = existing_folder(folder)
    with ExitStack() as stack:
        try:
            mark = stack.enter_context(marked(LocalFolder(there)))
        except OSError as error:
            return {platform.node(): f"{there}: {error.strerror}"}
        try:
            answers = dict(ask(str(there), mark))
            for machine, complaint in answers.items():
                if not complaint and not _has_answer(there, mark, machine):
                    answers[machine] = f"what it wrote under {there} is not seen here"
        finally:
            for path in there.glob(f"{mark}-*"):
                path.unlink(missing_ok=True)
    return answers


def answer_mark(folder: str, mark: str, machine: str) -> str:
    """Read the mark and write an answer beside it; what went wrong, or nothing."""
    try:
        if Path(folder, mark).read_text() != mark:
            return f"reads something else under {folder}"
        Path(folder, f"{mark}-{_file_name(machine)}").write_text(machine)
    except FileNotFoundError:
        return f"does not see what was written under {folder}"
    except OSError as error:
        return f"{folder}: {error.strerror}"
    return ""


def _has_answer(folder: Path, mark: str, machine: str) -> bool:
    try:
        return (folder / f"{mark}-{_file_name(machine)}").read_text() == machine
    except OSError:
        return False


def _file_name(machine: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in machine)


def now() -> float:
    """Seconds since 1970 by this machine's clock."""
    return time.time()
