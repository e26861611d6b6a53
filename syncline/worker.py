"""Worker: a process that brings shards of a run, as that run's crew tells it (`syncline.crew`)."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from syncline.crew import Job, write
from syncline.errors import SynclineError
from syncline.log import configure, hide, keep, redacted

Tell = Callable[[dict[str, Any]], None]
Bring = Callable[[int, Callable[[], bool], Tell], None]


def main() -> None:
    """Bring the shards that standard input names, until it ends."""
    from syncline.postpone import postpone

    # Ctrl-C goes to all processes of a terminal: the run itself decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    postpone()
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a hook prints must not come between
    job = Job(**json.loads(sys.stdin.readline()))
    told_to_end = threading.Event()
    shards: queue.Queue[int | None] = queue.Queue()
    threading.Thread(target=_hear, args=(shards, told_to_end), daemon=True).start()
    lock = threading.Lock()

    def tell(message: dict[str, Any]) -> None:
        with lock, suppress(OSError):  # nobody hears it any more
            write(out, message)

    _serve(job, shards, told_to_end, tell)
    out.flush()
    os._exit(0)  # threads of drivers need not be waited for: what is done is committed


def _hear(shards: queue.Queue[int | None], told_to_end: threading.Event) -> None:
    for line in sys.stdin:
        shards.put(json.loads(line)["shard"])
    told_to_end.set()
    shards.put(None)


def _serve(
    job: Job,
    shards: queue.Queue[int | None],
    told_to_end: threading.Event,
    tell: Tell,
) -> None:
    shard: int | None = None
    try:
        with _opened(job) as bring:
            while (shard := shards.get()) is not None:
                bring(shard, told_to_end.is_set, tell)
                tell({"event": "done", "shard": shard})
    except BaseException as error:  # noqa: BLE001 - told to the run, which raises it
        tell({"event": "failed", "shard": shard, **_shown(error)})


def _shown(error: BaseException) -> dict[str, Any]:
    text = str(error)
    if not isinstance(error, SynclineError):
        text = f"{type(error).__name__}: {text}"
    return {
        "error": type(error).__name__,
        "message": redacted(text),
        "hint": redacted(getattr(error, "hint", "")),
        "reason": getattr(error, "reason", ""),
    }


@contextmanager
def _opened(job: Job) -> Generator[Bring]:
    """The job's mapping, opened once for all shards."""
    import structlog

    from syncline import shards
    from syncline.connections import secrets_of
    from syncline.project import Project
    from syncline.run import RunOptions, opened
    from syncline.store.store import Store

    form, level = job.log
    configure(form, level)
    structlog.contextvars.bind_contextvars(run_id=job.run_id, mapping=job.mapping)
    project = Project.find(explicit=Path(job.root))
    keep(project.log_dir)
    mapping = project.mapping(job.mapping)
    hide(secrets_of(project.store_url))
    for name in (mapping.source.connection, mapping.target.connection):
        hide(project.connections[name].secrets)
    with (
        Store.open(project.store_url) as store,
        opened(project, job.mapping, batch_size=job.batch_size, create=True) as run,
    ):

        def bring(shard: int, told_to_end: Callable[[], bool], tell: Tell) -> None:
            options = RunOptions(
                mode="full",
                allow=frozenset(job.allow),
                cancelled=told_to_end,
                on_progress=lambda at: tell(
                    {"event": "batch", "shard": shard, "progress": asdict(at)}
                ),
            )
            shards.work(run, store, shard, job.epoch, job.run_id, options)

        yield bring


if __name__ == "__main__":
    main()
