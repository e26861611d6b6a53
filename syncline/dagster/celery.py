"""Celery: the app that workers on other machines run, and the executor that gives them steps.

A worker: `celery -A syncline.dagster.celery worker -Q dagster`, with the same code, project and
DAGSTER_HOME. Both sides read the environment: SYNCLINE_CELERY_BROKER (a URL of Redis), and
SYNCLINE_CELERY_VISIBILITY, the seconds after which a step whose worker is gone is given to another.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any, Final

import dagster as dg
from dagster_celery import celery_executor
from dagster_celery.make_app import make_app  # pyright: ignore[reportUnknownVariableType]
from dagster_celery.tasks import create_task  # pyright: ignore[reportUnknownVariableType]

BROKER: Final = "SYNCLINE_CELERY_BROKER"
VISIBILITY: Final = "SYNCLINE_CELERY_VISIBILITY"
_SECONDS: Final = 600


def broker() -> str:
    """The broker's URL. Raises ValueError where the environment names none."""
    url = os.environ.get(BROKER)
    if not url:
        raise ValueError(f"{BROKER} is not set: redis://HOST:6379/0")
    return url


def settings() -> dict[str, Any]:
    """Celery's own settings: a step is acknowledged when it is done, not when it is begun.

    So that a worker that dies loses none. One that is only slow is given to a second worker after
    that time, which then waits for the first: the lease of its shard sees to that.
    """
    seconds = int(os.environ.get(VISIBILITY) or _SECONDS)
    return {
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {"visibility_timeout": seconds},
        "result_backend_transport_options": {"visibility_timeout": seconds},
        "task_default_queue": "dagster",
    }


def executor() -> dg.ExecutorDefinition:
    """Dagster's Celery executor, on this broker."""
    configured: Any = celery_executor
    return configured.configured(
        {"broker": broker(), "backend": broker(), "config_source": settings()}
    )


@cache
def _app() -> Any:
    made: Any = make_app({"broker": broker(), "backend": broker()})
    made.conf.update(settings())
    create_task(made)
    return made


def __getattr__(name: str) -> Any:
    if name in {"app", "celery"}:  # what `celery -A` looks for; made only where a worker begins
        return _app()
    raise AttributeError(name)
