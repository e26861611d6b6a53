"""Logs: the engine's lines go to Python's `logging`, where Dagster takes them from."""

from __future__ import annotations

import structlog

from syncline.log import without_secrets


def route_logs() -> None:
    """Send structlog's lines to the logger `syncline`, unless structlog has been set up already.

    `python_logs: {managed_python_loggers: [syncline]}` in `dagster.yaml` shows them in the log of
    the run.
    """
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            without_secrets,
            structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
