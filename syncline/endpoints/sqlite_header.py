"""What the header of a SQLite file counts: from it a file that was put back is told from one that
went on.

https://www.sqlite.org/fileformat2.html#the_database_header, offset 24: the file change counter.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

_AT, _LENGTH = 24, 4
_File = tuple[int, int]
_open: Final[dict[_File, int]] = {}
_lock: Final = threading.Lock()


def change_counter(path: Path) -> str:
    """The file's change counter, as decimal digits; empty where the file can't be read.

    It grows by one with each transaction that writes; with `journal_mode = wal` only with some of
    them. Neither VACUUM nor a restart takes it back, a copy put in the file's place does, and so
    does a transaction that is rolled back after a crash: call it within a transaction.
    """
    try:
        data = os.pread(_descriptor(path), _LENGTH, _AT)
    except OSError:
        return ""
    return str(int.from_bytes(data, "big")) if len(data) == _LENGTH else ""


def _descriptor(path: Path) -> int:
    # Closed only once the file has no name any more: closing any descriptor of a file gives up
    # every lock that this process holds on it, those of SQLite's connections too
    # (https://www.sqlite.org/howtocorrupt.html, 2.2).
    stat = path.stat()
    file = (stat.st_dev, stat.st_ino)
    with _lock:
        if file not in _open:
            _close_deleted()
            _open[file] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return _open[file]


def _close_deleted() -> None:
    for file, descriptor in list(_open.items()):
        if os.fstat(descriptor).st_nlink == 0:
            os.close(_open.pop(file))
