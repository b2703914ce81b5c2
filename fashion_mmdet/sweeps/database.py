"""Where a study is kept: an SQLite file, or a PostgreSQL or MySQL server that several share."""

from __future__ import annotations

import os
import re
import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import optuna
import sqlalchemy
from sqlalchemy import event, exc

from fashion_mmdet.core.errors import FashionError

#: seconds between two signs of life of a running trial
BEAT_S = 15
#: seconds without one after which another worker takes the trial over
GRACE_S = 90
_OPENINGS = 5
_SQLITE = "sqlite:///"
#: what a database says when it cannot be reached or written, now
UNREACHABLE = (optuna.exceptions.StorageInternalError, exc.DBAPIError, exc.TimeoutError)

_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg",
            "mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}  # fmt: skip


def sqlite_address(path: str | os.PathLike[str]) -> str:
    """Return the address of an SQLite file: its path behind :data:`_SQLITE`, as it is."""
    return f"{_SQLITE}{os.path.abspath(path)}"


def full_address(address: str) -> str:
    """Return an address with the driver that this project installs, where it names none.

    >>> full_address("postgresql://me@host/sweeps")
    'postgresql+psycopg://me@host/sweeps'

    Raises:
        FashionError: for what is no address of a database.
    """
    kind, mark, rest = address.partition("://")
    if not mark or not re.fullmatch(r"[a-z]+(\+[a-z0-9_]+)?", kind):
        raise FashionError(
            f"--storage: an address as postgresql://user@host/database expected, got "
            f"{shown_address(address)!r}. Without --storage the study is a file in the work dir."
        )
    return f"{_DRIVERS.get(kind, kind)}{mark}{rest}"


def shown_address(address: str) -> str:
    """Return an address without its password.

    >>> shown_address("postgresql://me:secret@host/sweeps")
    'postgresql://***@host/sweeps'
    """
    # All before the last "@": a password may hold any sign. And no "?name=value" behind it.
    return re.sub(r"\?\S*=.*", "?***", re.sub(r"://.*@", "://***@", address))


def open_storage(address: str) -> optuna.storages.RDBStorage:
    """Open the database, making its tables where there are none.

    Raises:
        FashionError: where it cannot be reached, or its driver is not installed.
    """
    options: dict[str, Any] = {"pool_pre_ping": True}
    path = address.removeprefix(_SQLITE) if is_file(address) else None
    if path is not None:
        # Opened by its path: in an address "?", "#" and "%" would mean something.
        options["creator"] = lambda: sqlite3.connect(path, timeout=60, check_same_thread=False)
        options["poolclass"] = sqlalchemy.pool.QueuePool
        address = "sqlite://"
    for attempt in range(_OPENINGS):
        try:
            with quietly():
                storage = optuna.storages.RDBStorage(
                    address, engine_kwargs=options, heartbeat_interval=BEAT_S, grace_period=GRACE_S
                )
            break
        except ImportError as error:
            driver = "psycopg[binary]" if address.startswith("postgresql") else "pymysql"
            raise FashionError(
                f"--storage {shown_address(address)}: an installed driver expected, got none. "
                f"pip install {driver!r}, or what your address names."
            ) from error
        except (exc.SQLAlchemyError, optuna.exceptions.OptunaError, RuntimeError,
                ValueError) as error:  # fmt: skip
            # Two workers that begin at once both make the tables; one of them fails.
            if attempt + 1 < _OPENINGS and "exist" in str(error):
                time.sleep(1)
                continue
            where = path or f"--storage {shown_address(address)}"
            raise FashionError(
                f"{where}: a database that can be reached expected, got {first_line(error)}"
            ) from None
    if path is not None:
        _lock_early(storage.engine)
    return storage


def _lock_early(engine: sqlalchemy.Engine) -> None:
    """Let SQLite's transactions take the file's lock when they begin.

    Python's driver begins one only at the first write: two workers could both read that a trial
    waits, and both take it. SQLAlchemy's documentation of SQLite has this recipe.
    """

    @event.listens_for(engine, "connect")
    def begin_by_hand(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()  # the connection that made the tables


@contextmanager
def quietly() -> Iterator[None]:
    """Keep Optuna's remarks on what is experimental from the terminal."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)


def first_line(error: BaseException) -> str:
    """Return what a database said, without an address that may hold a password."""
    inner = error.__cause__ or getattr(error, "orig", None) or error
    lines = [line for line in str(inner).strip().splitlines() if line.strip()]
    return shown_address(f"{type(inner).__name__}: {lines[0] if lines else 'no message'}")


def is_file(address: str) -> bool:
    """Return whether a study lies in a file, which other machines cannot share."""
    return address.startswith(_SQLITE)
