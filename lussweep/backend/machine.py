"""Collects facts about this machine for the doctor to judge."""

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
    """Free and total bytes of a disk or of memory."""

    free: int
    total: int


@dataclass(frozen=True)
class Gpus:
    """The GPUs that the NVIDIA driver shows, and those that torch can use."""

    names: tuple[str, ...]
    drivers: tuple[str, ...]
    torch_cuda: str = ""
    """The CUDA version that torch was built for; empty for a CPU build or an unknown one."""
    usable: int | None = None
    """The number of devices that torch sees; None if torch did not answer."""


@dataclass(frozen=True)
class Machine:
    """Facts about one machine."""

    host: str
    versions: Mapping[str, str]
    """Versions of Python and of LIBRARIES by name; a missing library is left out."""
    auth_mode: str
    """$RAY_AUTH_MODE; empty if it is not set."""
    token: TokenFile | None = None
    listening: tuple[Listening, ...] | None = None
    """Open TCP ports; None if the system does not list them."""
    disks: Mapping[str, Space] = field(default_factory=dict)
    """Space of the disks, by the path that `look` was given."""
    memory: Space | None = None
    gpus: Gpus | None = None


@dataclass(frozen=True)
class Clock:
    """One comparison of a machine's clock with ours. All times are in Unix seconds."""

    sent: float
    """When we asked, by our clock."""
    answered: float
    """What the machine answered, by its clock."""
    received: float
    """When we had the answer, by our clock."""


def look(folders: Iterable[str] = (), expects_gpu: bool = False) -> Machine:
    """Collect the facts. `folders` name the disks to look at, and need not exist yet.

    With `expects_gpu`, torch is asked for GPUs even if the NVIDIA driver shows none.
    """
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
    """Installed versions of Python and of LIBRARIES, by name."""
    return {"python": platform.python_version(), **installed_versions(LIBRARIES)}


def existing_folder(path: Path) -> Path:
    """`path`, or the nearest folder above it that exists."""
    path = path.absolute()
    return next(p for p in (path, *path.parents) if p.is_dir())


# --- open ports and the token -------------------------------------------------------------


def token_file() -> TokenFile | None:
    """The file that Ray reads its token from; None if there is none."""
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    try:
        mode, folder_mode = path.stat().st_mode, path.parent.stat().st_mode
    except OSError:
        return None
    return TokenFile(str(path), stat.S_IMODE(mode), stat.S_IMODE(folder_mode))


def _listening() -> tuple[Listening, ...] | None:
    """Open ports, sorted; None if the system hides them (macOS lists them for root alone)."""
    try:
        sockets = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return None
    ports = {
        Listening(_plain_address(one.laddr.ip), one.laddr.port)
        for one in sockets
        if one.status == psutil.CONN_LISTEN
    }
    return tuple(sorted(ports, key=lambda one: (one.port, one.address)))


def _plain_address(text: str) -> str:
    """The address, without the IPv6 prefix of an IPv4 address."""
    ip = ipaddress.ip_address(text)
    return str((isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped) or ip)


# --- disks, memory and GPUs ---------------------------------------------------------------


def _disk(folder: str) -> Space:
    usage = shutil.disk_usage(existing_folder(Path(folder)))
    return Space(usage.free, usage.total)


def _memory() -> Space:
    """Memory of the machine, or of its container if that has less left."""
    ram = psutil.virtual_memory()
    machine = Space(ram.available, ram.total)
    try:  # psutil reads the memory of the machine, not the limit of a container
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):  # no limit ("max"), or no such file
        return machine
    return min(machine, Space(max(0, limit - used), limit), key=lambda space: space.free)


def _gpus(expected: bool) -> Gpus | None:
    """The GPUs; None if the NVIDIA driver shows none and none is expected."""
    shown = _output(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"])
    rows = [line.rsplit(", ", 1) for line in (shown or "").splitlines() if ", " in line]
    if not rows and not expected:
        return None
    names, drivers = tuple(row[0] for row in rows), tuple(sorted({row[1] for row in rows}))
    # torch runs in a process of its own. Ray hides GPUs from a task without any, and CUDA would
    # stay initialised in a worker that other steps use.
    output = _output([sys.executable, "-c", ASK_TORCH], hidden="CUDA_VISIBLE_DEVICES") or ""
    words = output.split()
    if len(words) != 2:
        return Gpus(names, drivers)
    return Gpus(names, drivers, words[0] if words[0] != "None" else "", int(words[1]))


def _output(command: list[str], hidden: str = "") -> str | None:
    """The output of a command, run without the variable `hidden`; None if it fails."""
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
    """Test whether machines share `folder` with this one.

    Returns, by machine, why it does not share the folder; empty if it does. `ask(folder, mark)`
    runs `answer_mark` on every machine and returns the answers. Deletes the files that it makes.
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
    """Read the mark and write an answer beside it. Returns what went wrong, or an empty text."""
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
    """The time in Unix seconds by this machine's clock."""
    return time.time()
