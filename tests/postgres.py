"""A real PostgreSQL server of the tests' own, in a folder of theirs; Debian's package or any other.

Importable by the tests; ``None`` where no server is installed, and then they are skipped.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path


def programs() -> Path | None:
    """Return the folder of ``initdb`` and ``pg_ctl``; None where there is no server."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((p for p in places if (p / "initdb").exists() and (p / "pg_ctl").exists()), None)


def free_port() -> int:
    """Return a free port below those that the kernel deals out.

    One of the kernel's may go to another test before the server has it, or while it is stopped.
    """
    for port in random.SystemRandom().sample(range(20000, 32000), 100):
        with contextlib.suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return port
    raise OSError("postgres: a free port from 20000 to 32000 expected, found none.")


class Server:
    """A server that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bin = programs()
        self._port = free_port()
        # PostgreSQL does not run as root.
        self._as = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        self._do("initdb", "-D", str(folder / "data"), "-A", "trust", "-U", "sweeper", "--no-sync")
        self.start()

    def database(self, name: str) -> str:
        """Make an empty database; return its address."""
        import psycopg

        where = f"postgresql://sweeper:not_needed@127.0.0.1:{self._port}"
        with psycopg.connect(f"{where}/postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"{where}/{name}"

    def start(self) -> None:
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -c fsync=off -k {self._folder}"
        self._do("pg_ctl", "-D", str(self._folder / "data"), "-o", options, "-w", "-l",
                 str(self._folder / "log"), "start")  # fmt: skip

    def stop(self) -> None:
        self._do("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "-w", "stop")

    def _do(self, name: str, *words: str) -> None:
        subprocess.run(
            [*self._as, str(self._bin / name), *words], check=True, cwd="/",
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        )  # fmt: skip


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """Run a server while the tests do."""
    folder = Path(tempfile.mkdtemp(prefix="fashion_pg_"))
    try:
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
        one = Server(folder)
        try:
            yield one
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                one.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
