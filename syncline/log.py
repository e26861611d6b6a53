"""Logs: structlog on stderr, JSON or for a console, run_id and mapping on every line, no secrets.

Whoever runs a mapping binds `run_id` and `mapping` (`structlog.contextvars.bound_contextvars`);
code logs by `structlog.get_logger()`. Without `configure` a process has structlog's own defaults.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final, Literal, cast

import structlog

Format = Literal["console", "json"]
Level = Literal["debug", "info", "warning", "error"]

_SECRETS: Final[set[str]] = set()
_MOST_KEPT: Final = 500
"""So many runs' logs are kept; the oldest give way."""
_RUN: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_kept_in: list[Path] = []
_CURRENT: Final[list[tuple[Format, Level]]] = [("json", "warning")]


def hide(secrets: Iterable[str]) -> None:
    """Never show these texts: not in a log line of this process, nor in what `redacted` returns."""
    _SECRETS.update(secret for secret in secrets if secret)


def redacted(text: str) -> str:
    """The text with `***` for every secret that is known, and for the password of any URL."""
    from syncline.connections import redact

    return redact(text, _SECRETS)


def current() -> tuple[Format, Level]:
    """How this process logs: what its workers do too. Without `configure`, warnings for scripts."""
    return _CURRENT[-1]


def configure(form: Format | None = None, level: Level = "info") -> None:
    """Log to stderr from now on; without a form, for a console where stderr is a terminal."""
    form = form or ("console" if sys.stderr.isatty() else "json")
    _CURRENT[:] = [(form, level)]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            without_secrets,
            _keep,
            _at_least(_number(level)),
            _renderer(form),
        ],
        # A run's log keeps what is told at `info`, also where a terminal shows warnings only.
        wrapper_class=structlog.make_filtering_bound_logger(min(_number(level), logging.INFO)),
        logger_factory=_Stderr,
        cache_logger_on_first_use=False,
    )


def keep(directory: Path) -> None:
    """Also keep the lines of every run from now on, one JSON object a line, a file a run."""
    _kept_in[:] = [directory]


def kept(directory: Path, run_id: str) -> str:
    """The lines that were kept of a run; empty where there are none."""
    path = directory / f"{run_id}.jsonl"
    if not _RUN.fullmatch(run_id) or not path.is_file():
        return ""
    return path.read_text(encoding="utf-8", errors="replace")


def _keep(_logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    run_id = event.get("run_id")
    if not _kept_in or method == "debug" or not isinstance(run_id, str):
        return event
    path = _kept_in[0] / f"{run_id}.jsonl"
    try:
        if not path.exists():
            _make_room(path.parent)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(event), default=str) + "\n")
    except OSError as error:  # a full disk ends no run because of its log: stderr has the line
        event["log_not_kept"] = str(error)
    return event


def _make_room(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Names, not paths: every run of many looks through all of them.
    kept = sorted(name for name in os.listdir(directory) if name.endswith(".jsonl"))  # noqa: PTH208
    for old in kept[: -_MOST_KEPT + 1]:
        (directory / old).unlink(missing_ok=True)


def _at_least(level: int) -> Any:
    def drop_lower(
        _logger: Any, method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        names = logging.getLevelNamesMapping()
        if names.get(str(event.get("level", method)).upper(), logging.ERROR) < level:
            raise structlog.DropEvent
        return event

    return drop_lower


class _Stderr:
    """Writes to what is stderr at that moment: a file held from before may be closed by now."""

    def __init__(self, *_names: str) -> None: ...

    def msg(self, line: str) -> None:
        """Write a line, at once and whole."""
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    debug = info = warning = error = critical = msg


def without_secrets(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Redact every text of an event, however deep: the processor that comes before the renderer."""
    for name, value in event.items():
        event[name] = _clean(value)
    return event


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {k: _clean(v) for k, v in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in cast("list[Any]", value)]
    if value is None or isinstance(value, int | float):
        return value
    return redacted(str(value))  # an error, a path, a date: shown as text in any case


def _number(level: Level) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _renderer(form: Format) -> Any:
    if form == "json":
        return structlog.processors.JSONRenderer(sort_keys=False)
    # Tracebacks are text by now, so that they could be redacted.
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
