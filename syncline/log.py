"""Logs: structlog on stderr, JSON or for a console, run_id and mapping on every line, no secrets.

Whoever runs a mapping binds `run_id` and `mapping` (`structlog.contextvars.bound_contextvars`);
code logs by `structlog.get_logger()`. Without `configure` a process has structlog's own defaults.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Final, Literal, cast

import structlog

Format = Literal["console", "json"]
Level = Literal["debug", "info", "warning", "error"]

_SECRETS: Final[set[str]] = set()


def hide(secrets: Iterable[str]) -> None:
    """Never show these texts: not in a log line of this process, nor in what `redacted` returns."""
    _SECRETS.update(secret for secret in secrets if secret)


def redacted(text: str) -> str:
    """The text with `***` for every secret that is known, and for the password of any URL."""
    from syncline.connections import redact

    return redact(text, _SECRETS)


def configure(form: Format | None = None, level: Level = "info") -> None:
    """Log to stderr from now on; without a form, for a console where stderr is a terminal."""
    form = form or ("console" if sys.stderr.isatty() else "json")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            without_secrets,
            _renderer(form),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_number(level)),
        logger_factory=_Stderr,
        cache_logger_on_first_use=False,
    )


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
