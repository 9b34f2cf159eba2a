"""Machines for tests: namespaces of this one, with addresses, process tables and /tmp of their own,
joined by a bridge. They share every other folder. Needs root on Linux; nothing of it is seen from
outside, and all of it ends with the first process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

NAMESPACES = [
    "unshare", "--fork", "--pid", "--mount-proc", "--net", "--uts", "--ipc", "--mount",
    "--propagation=private", "--kill-child",
]  # fmt: skip
# A shell, because it buries processes without a parent; it ends when the tests' process does.
INIT = ["bash", "-c", "exec 3<&0; cat <&3 & wait"]


def lacking(*programs: str) -> str | None:
    """What keeps this machine from playing several, None if nothing does."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux"
    wanted = ("unshare", "nsenter", "ip", *programs)
    missing = [program for program in wanted if shutil.which(program) is None]
    if missing:
        return f"needs {', '.join(missing)}"
    if subprocess.run([*NAMESPACES, "true"], capture_output=True, timeout=30).returncode:
        return "needs leave to make namespaces"
    return None


class Machines:
    """`outer` joins the machines and is one itself; every name is a host's name."""

    def __init__(
        self, folder: Path, outer: str, names: Sequence[str], kept: Sequence[Path] = ()
    ) -> None:
        """Scripts run in `folder`. It and what else is `kept` are seen although /tmp is each
        machine's own."""
        self.folder, self.outer, self.names = folder, outer, tuple(names)
        self.kept = [path for path in (folder, *kept) if path.is_relative_to("/tmp")]
        self.pids: dict[str, int] = {}
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """The machines, with a link of each to the bridge and everybody's name in /etc/hosts."""
        hosts = {self.outer: "10.77.0.1"}
        hosts |= {name: f"10.77.0.{11 + i}" for i, name in enumerate(self.names)}
        lines = "".join(f"{address} {name}\\n" for name, address in hosts.items())
        self._start(self.outer, NAMESPACES, lines)
        self.run(self.outer, "ip link add br0 type bridge && ip link set br0 up &&"
                 f" ip address add {hosts[self.outer]}/24 dev br0")  # fmt: skip
        for name in self.names:
            enter = ["nsenter", f"--target={self.pids[self.outer]}", "--all"]
            self._start(name, [*enter, *NAMESPACES], lines)
            link, pid = f"to-{name}", self.pids[name]
            # With the outer network but this process table, whose numbers are known here.
            subprocess.run(
                ["nsenter", f"--target={self.pids[self.outer]}", "--net", "bash", "-ec",
                 f"ip link add {link} type veth peer name eth0 netns {pid};"
                 f" ip link set {link} master br0 up"],
                check=True, timeout=30,
            )  # fmt: skip
            self.run(name, f"ip address add {hosts[name]}/24 dev eth0; ip link set eth0 up")

    def _start(self, name: str, prefix: list[str], hosts: str) -> None:
        process = subprocess.Popen([*prefix, *INIT], stdin=subprocess.PIPE, start_new_session=True)
        self.processes.append(process)  # with the pipes
        self.pids[name] = _first_process(process.pid, depth=1 if name == self.outer else 2)
        kept = " ".join(str(path.relative_to("/tmp")) for path in self.kept)
        self.run(name, cwd="/", script=f"""
            mount --rbind /tmp /mnt; mount -t tmpfs -o mode=1777 tmpfs /tmp
            for kept in {kept}; do mkdir -p /tmp/$kept; mount --rbind /mnt/$kept /tmp/$kept; done
            umount --lazy /mnt
            mount -t tmpfs -o mode=1777 tmpfs /dev/shm
            cp -a /etc /tmp/etc; mount --bind /tmp/etc /etc
            mount -t tmpfs -o mode=755 tmpfs /run
            mount -t tmpfs -o mode=755 tmpfs /var/log
            hostname {name}; ip link set lo up
            printf '127.0.0.1 localhost\\n{hosts}' > /etc/hosts
        """)  # fmt: skip

    def run(self, name: str, script: str, *, cwd: str | None = None, timeout_s: float = 60) -> str:
        """What a script prints on a machine; raises CalledProcessError if it fails."""
        cwd = cwd or str(self.folder)
        enter = ["nsenter", f"--target={self.pids[name]}", "--all"]
        done = subprocess.run(
            [*enter, "bash", "-ec", f"cd {cwd}; {script}"],
            stdout=subprocess.PIPE, text=True, check=True, timeout=timeout_s,
        )  # fmt: skip
        return done.stdout

    def end(self) -> None:
        if self.outer in self.pids:
            os.kill(self.pids[self.outer], 9)  # the first process of all others
        for process in self.processes:
            process.wait(timeout=30)


def _first_process(pid: int, depth: int) -> int:
    """Of namespaces `depth` tables below this one: unshare's, and nsenter's, are its parents."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/status").read_text()
        numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if len(numbers) == 2 + depth and numbers[-1] == "1":
            if status.startswith("Name:\tbash"):  # and no longer unshare, which still prepares
                return pid
        elif children:
            pid = int(children[0])
        time.sleep(0.02)
    raise TimeoutError("no namespaces")


@contextmanager
def machines(
    folder: Path, outer: str, names: Sequence[str], kept: Sequence[Path] = ()
) -> Iterator[Machines]:
    found = Machines(folder, outer, names, kept)
    try:
        found.start()
        yield found
    finally:
        found.end()
