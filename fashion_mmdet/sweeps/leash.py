"""Runs a command that does not outlive its starter: ``python leash.py LOCK WORD...``.

The starter holds the other end of this process's standard input. When it closes, be it because
the starter was killed and can do nothing any more, the command is stopped: first asked
(SIGTERM), after a while killed, with all processes that it started. A signal to stop this process
is passed on to the command. The lock file keeps a second command out of the same work dir until
the first is gone, also one that a starter before left behind.

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
    lock = _locked(words[0])  # the command holds it too: it may outlive a killed leash
    if lock is None:
        print(f"error: {words[0]}: a work dir that no process uses expected, found one in use.")
        return LOCKED
    stopping = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the starter decides
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    try:
        child = subprocess.Popen(words[1:], stdin=subprocess.DEVNULL, pass_fds=(lock,))
    except OSError as error:
        print(f"error: {words[1]}: a command expected, got {error.strerror}.", flush=True)
        return 127
    threading.Thread(target=_watch, args=(stopping,), daemon=True).start()
    while child.poll() is None and not stopping.wait(0.2):
        pass
    if child.poll() is None:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(PATIENCE_S)
        if child.poll() is None:
            child.kill()
    return child.wait()


def _watch(stopping: threading.Event) -> None:
    """Wait for the end of standard input."""
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    stopping.set()


def _locked(path: str) -> int | None:
    """Return the lock file's descriptor, locked; None where another process keeps it locked."""
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    end = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > end:
                return None
            time.sleep(0.2)
        except OSError:  # a file system without locks
            return descriptor


def leave(code: int) -> None:
    """End as the command did: by its exit code, or by the signal that ended it."""
    if code < 0 and -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    if code < 0:
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
