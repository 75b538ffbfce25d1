"""One writer at a time, across threads and processes, by a lock that the operating system takes back when its process
dies. The file tells others who is writing; it is only talk, the lock itself is what counts."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
import weakref
from datetime import UTC, datetime
from pathlib import Path

from sememe.errors import LockedError, StoreError

#: Windows locks a range of bytes against reading too, so it lies far behind the text
_LOCKED_BYTE = 1 << 30


class FileLock:
    """A lock that one thread of one process holds, as often nested as it likes.

    Args:
        path: the lock's file; made when first needed, and left behind.
        what: what is locked, as in "notes is being written by another process".
        timeout: seconds to wait for another holder.
    """

    def __init__(self, path: Path, what: str, *, timeout: float) -> None:
        self.path, self.what, self.timeout = path, what, timeout
        self._thread = threading.RLock()
        self._depth = 0
        self._file = -1
        _LOCKS.add(self)

    def __enter__(self) -> FileLock:
        deadline = time.monotonic() + self.timeout
        if not self._thread.acquire(timeout=max(self.timeout, 0)):
            raise LockedError(f"{self.what} is being written by another thread of this process", why=[self._waited()])
        try:
            if not self._depth:
                self._file = self._take(deadline)
            self._depth += 1
        except BaseException:
            self._thread.release()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._depth -= 1
        if not self._depth and self._file >= 0:
            file, self._file = self._file, -1
            _unlock(file)
            os.close(file)
        self._thread.release()

    def _take(self, deadline: float) -> int:
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise StoreError(
                f"{self.what} cannot be written", why=[("because", f"{self.path.parent}: {error.strerror}")]
            ) from error
        try:
            pause = 0.002
            while not _try_lock(file):
                if time.monotonic() >= deadline:
                    raise LockedError(
                        f"{self.what} is being written by another process",
                        why=[("writer", _holder(file)), ("waited", self._waited())],
                        do=["let it finish, or stop it; what it has done so far is kept"],
                    )
                time.sleep(min(pause, max(deadline - time.monotonic(), 0)))
                pause = min(pause * 2, 0.1)
            self._sign(file)
        except BaseException:
            os.close(file)
            raise
        return file

    def _sign(self, file: int) -> None:
        since = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
        holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})
        try:
            os.ftruncate(file, 0)
            os.lseek(file, 0, os.SEEK_SET)
            os.write(file, holder.encode())
        except OSError:
            pass  # a full disk must not stop a delete; the waiting one is then told less

    def _waited(self) -> str:
        return f"{self.timeout:g} s"

    def _after_fork(self) -> None:
        # The child shares the parent's open file, and with it the lock: let go of the copy, start afresh.
        if self._file >= 0:
            os.close(self._file)
        self._thread, self._depth, self._file = threading.RLock(), 0, -1


_LOCKS: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _forget_locks() -> None:
    for lock in list(_LOCKS):
        lock._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)


def _holder(file: int) -> str:
    try:
        os.lseek(file, 0, os.SEEK_SET)
        holder = json.loads(os.read(file, 1000).decode())
        return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown"


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: int) -> bool:
        try:
            os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: int) -> None:
        pass  # it ends with the file

else:
    import fcntl

    def _try_lock(file: int) -> bool:
        # flock, not lockf: it also holds between two stores opened in one process, and closing another
        # descriptor of the same file does not release it.
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(file: int) -> None:
        # By name: a child that has just been forked may not have closed its copy of the file yet.
        fcntl.flock(file, fcntl.LOCK_UN)
