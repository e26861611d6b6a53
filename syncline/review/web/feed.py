"""The feed: tells every open page what moved in the control store, by server-sent events.

One task asks the store's pulse, so that what the CLI, a run or another server did appears as well.
Events say that something moved and on which conflict, never a value.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import structlog

from syncline.errors import SynclineError
from syncline.store.pulse import Moved, Pulse

if TYPE_CHECKING:
    from syncline.store import Store

log: structlog.stdlib.BoundLogger = structlog.get_logger("syncline")

EVERY: Final = 1.0
"""Seconds between two looks."""
_ALIVE: Final = 15.0
"""Seconds after which a proxy would take a silent connection for dead."""
_ROOM: Final = 500
"""Events a page may be behind before it is told to load itself again."""


class Feed:
    """The pages that listen, and the task that looks; it looks only while somebody listens."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._pages: set[asyncio.Queue[str]] = set()
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def listen(self) -> AsyncIterator[str]:
        """The events, as the lines of an event stream."""
        page: asyncio.Queue[str] = asyncio.Queue(_ROOM)
        self._pages.add(page)
        if self._task is None or self._task.done():
            self._loop = asyncio.get_running_loop()
            self._task = self._loop.create_task(self._watch())
        try:
            yield "retry: 2000\n\n"
            while True:
                try:
                    line = await asyncio.wait_for(page.get(), _ALIVE)
                except TimeoutError:
                    line = ": still here\n\n"
                if not line:
                    return
                yield line
        finally:
            self._pages.discard(page)

    def hurry(self) -> None:
        """Look now: something was changed here. From any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hurry.set)

    async def close(self) -> None:
        """End every stream, so that the server can end."""
        if self._task is not None:
            self._task.cancel()
        for page in list(self._pages):
            _put(page, "")

    async def _watch(self) -> None:
        before = await self._pulse()
        while self._pages:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), EVERY)
            self._hurry.clear()
            now = await self._pulse()
            if now is None or now == before:
                continue
            lines = await self._lines(before, now)
            before = now
            for page in list(self._pages):
                for line in lines:
                    _put(page, line)

    async def _pulse(self) -> Pulse | None:
        try:
            return await asyncio.to_thread(self.store.pulse)
        except SynclineError as error:  # the store is away for a moment: pages stay as they are
            log.warning("the feed can't look", error=str(error))
            return None

    async def _lines(self, before: Pulse | None, now: Pulse) -> list[str]:
        if before is None:
            return [_line(name) for name in ("conflicts", "dead-letters", "runs", "audit")]
        lines = [
            _line(name)
            for name, moved in (
                ("dead-letters", before.dead_letters != now.dead_letters),
                ("runs", before.runs != now.runs),
                ("audit", before.audit != now.audit),
            )
            if moved
        ]
        if before.conflicts != now.conflicts:
            try:
                moved = await asyncio.to_thread(self.store.moved_since, before.conflicts)
            except SynclineError:
                moved = []
            lines += [_of_conflict(one) for one in moved] + [_line("conflicts")]
        return lines


def _put(page: asyncio.Queue[str], line: str) -> None:
    try:
        page.put_nowait(line)
    except asyncio.QueueFull:  # it does not read: it is told all again when it comes back
        while not page.empty():
            page.get_nowait()
        page.put_nowait("")


def _of_conflict(moved: Moved) -> str:
    return _line(f"conflict-{moved.conflict}", json.dumps(asdict(moved)))


def _line(event: str, data: str = "{}") -> str:
    return f"event: {event}\ndata: {data}\n\n"
