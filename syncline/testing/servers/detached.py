"""Servers that stay when the command that started them ends: the demo's, until it is cleaned up."""

from __future__ import annotations

import fcntl
import json
import secrets
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from syncline.testing.servers.local import RECIPES, Kind
from syncline.testing.servers.process import Detached, free_port, remove_home, wait_ready
from syncline.testing.servers.server import Server, Unavailable

_ATTEMPTS = 3
_LOCK = ".lock"
_SECRET = ".password"  # noqa: S105 - the name of a file


@dataclass(frozen=True)
class _Note:
    """What is remembered of a server between commands, in `root/KIND.json`."""

    url: str
    home: str
    stop_signal: str
    pid: int
    started: str

    @property
    def process(self) -> Detached:
        return Detached(self.pid, self.started)


def start_detached(kind: Kind, root: Path) -> Server:
    """Start a server under `root` that stays, or give the one that runs there already.

    After `stop` it starts again with the same data, password and, where it is free, port; only the
    MongoDB stand-in forgets its data. `Server.stop` ends it as `stop(root, kind)` does.

    Raises:
        Unavailable: this machine lacks what it takes, or it did not start.
    """
    root = root.resolve()
    with _locked(root):
        note = _read(root, kind)
        found = _answer(note) if note else None
        if note is None or found is None:
            note, found = _start(kind, root, note)
    product, version = found
    return Server(
        note.url, product, version, RECIPES[kind].how, note.pid, partial(_end, root, kind)
    )


def _end(root: Path, kind: Kind) -> None:
    stop(root, kind)


def stop(root: Path, kind: Kind | None = None, *, remove: bool = False) -> list[str]:
    """End the detached servers under `root`, or the one of `kind`; give the kinds that ran.

    With `remove` their data goes too. Harmless where there are none.
    """
    root = root.resolve()
    if not root.is_dir():
        return []
    ended: list[str] = []
    kinds: list[Kind] = [kind] if kind else list(RECIPES)
    with _locked(root):
        for each in kinds:
            note = _read(root, each)
            if note is None:
                continue
            if note.process.alive():
                note.process.stop(signal.Signals[note.stop_signal])
                ended.append(each)
            if remove:
                remove_home(Path(note.home), root)
                _note_file(root, each).unlink()
    if remove and kind is None:
        for file in (_LOCK, _SECRET):
            (root / file).unlink(missing_ok=True)
        with suppress(OSError):  # not empty: something there is not ours
            root.rmdir()
    return ended


def _answer(note: _Note) -> tuple[str, str] | None:
    """Give product and version of a server that runs, or None if it does not."""
    process = Detached(note.pid, note.started)
    if not process.alive():
        return None
    try:
        return wait_ready(note.url, Path(note.home), process)
    except Unavailable:
        if process.alive():
            raise
        return None  # it was ending


def _start(kind: Kind, root: Path, note: _Note | None) -> tuple[_Note, tuple[str, str]]:
    port = urlsplit(note.url).port if note else None
    launch = RECIPES[kind].prepare(root, kind, free_port(port), _password(root), durable=True)
    for attempt in range(1, _ATTEMPTS + 1):
        process = Detached.start(launch)
        note = _Note(
            launch.url, str(launch.home), launch.stop_signal.name, process.pid, process.started
        )
        # Before it is ready: if we are killed now, the next command still finds it.
        _write(root, kind, note)
        try:
            return note, wait_ready(note.url, launch.home, process)
        except BaseException as error:
            process.stop(launch.stop_signal)
            # Of a server that was killed, some processes hold its memory for a moment more.
            if not (isinstance(error, Unavailable) and "in use" in str(error)):
                raise
            if attempt == _ATTEMPTS:
                raise
        time.sleep(attempt)
    raise AssertionError("unreachable")


def _password(root: Path) -> str:
    """Give the password of the servers under `root`, made once, before any data is."""
    secret = root / _SECRET
    if not secret.exists():
        _replace(secret, secrets.token_hex(12))
    return secret.read_text()


def _read(root: Path, kind: Kind) -> _Note | None:
    try:
        return _Note(**json.loads(_note_file(root, kind).read_text()))
    except FileNotFoundError:
        return None


def _write(root: Path, kind: Kind, note: _Note) -> None:
    _replace(_note_file(root, kind), json.dumps(asdict(note), indent=2))


def _note_file(root: Path, kind: Kind) -> Path:
    return root / f"{kind}.json"


def _replace(file: Path, text: str) -> None:
    """Write a file that only we may read, whole or not at all."""
    unfinished = file.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    unfinished.write_text(text)
    unfinished.replace(file)


@contextmanager
def _locked(root: Path) -> Generator[None]:
    """Let one command at a time start or stop servers under `root`."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
