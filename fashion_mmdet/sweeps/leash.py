"""Runs a command that does not outlive its starter: ``python leash.py LOCK PLACE WORD...``.

The starter holds the other end of this process's standard input. When it closes, be it because
the starter was killed and can do nothing any more, the command and all that it started are stopped:
first asked (SIGTERM), after a while killed. A signal to stop this process does the same.

The lock file keeps a second command out of the same work dir until the first and all that it
started are gone. Who comes later has the right to the trial, for the study gave it to him: on the
same machine he stops what is still there, be it the child of a worker that was suspended.

It imports nothing of ours, so that it starts in no time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

#: seconds that a command has to stop by itself: it writes its record, a checkpoint, its W&B run
PATIENCE_S = 30.0
#: seconds to wait for the command that holds the lock
LOCK_WAIT_S = 2 * PATIENCE_S
#: exit code where the lock was not to be had
LOCKED = 97


def main(words: list[str]) -> int:
    """Run the command; return its exit code, or minus the signal that ended it."""
    path, place, *command = words
    lock = _lock(path, place)
    if lock is None:
        print(f"error: {path}: a work dir that no process uses expected, found one in use.")
        return LOCKED
    stopping = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the starter decides
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    try:
        # The command holds the lock too: it may outlive a leash that was killed.
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(lock,))
    except OSError as error:
        print(f"error: {command[0]}: a command expected, got {error.strerror}.", flush=True)
        return 127
    threading.Thread(target=_watch, args=(stopping,), daemon=True).start()
    while child.poll() is None and not stopping.wait(0.2):
        pass
    # Also where the command ended by itself: it may be a launcher that was killed.
    if stopping.is_set() or _group():
        _stop(child)
    return child.wait()


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End the command and all that it started."""
    end = time.monotonic() + PATIENCE_S
    _signal(signal.SIGTERM, child)
    while time.monotonic() < end:
        if child.poll() is not None and not _group():
            return
        time.sleep(0.1)
    _signal(signal.SIGKILL, child)


def _signal(number: int, child: subprocess.Popen[bytes]) -> None:
    """Signal the command and what it started."""
    if child.poll() is None:
        child.send_signal(number)
    for pid in _group():
        if pid != child.pid:
            with contextlib.suppress(OSError):
                os.kill(pid, number)


def _group() -> list[int]:
    """Return the other processes of this one's group; none where that cannot be known."""
    if os.getpgrp() != os.getpid() or not os.path.isdir("/proc/self"):
        return []  # started by hand in somebody else's group, or not on Linux
    out = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError, ValueError):
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stream:
                    state, _, group = stream.read().rpartition(")")[2].split()[:3]
                if int(group) == os.getpid() and state not in "ZX":
                    out.append(int(name))
    return out


def _watch(stopping: threading.Event) -> None:
    """Wait for the end of standard input."""
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    stopping.set()


def _lock(path: str, place: str) -> int | None:
    """Return the lock file's descriptor, locked; None where another process keeps it locked.

    The file says who holds it: process and place, which is what process numbers are unique in.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    end = time.monotonic() + LOCK_WAIT_S
    asked = False
    while not _try(descriptor):
        if time.monotonic() > end:
            return None
        if not asked:
            asked = _ask_holder(descriptor, place)
        time.sleep(0.2)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()} {place}".encode(), 0)
    return descriptor


def _ask_holder(descriptor: int, place: str) -> bool:
    """Ask the leash that holds the lock to stop, where it is one of this place."""
    pid, _, there = os.pread(descriptor, 1024, 0).decode(errors="replace").partition(" ")
    if place and there == place and pid.isdigit():
        with contextlib.suppress(OSError):
            os.kill(int(pid), signal.SIGTERM)
        return True
    return False


def _try(descriptor: int) -> bool:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def leave(code: int) -> None:
    """End as the command did: by its exit code, or by the signal that ended it."""
    if code < 0 and -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    if code < 0:
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
