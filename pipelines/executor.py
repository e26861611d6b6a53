"""The executor of this code location's runs, chosen by SYNCLINE_EXECUTOR."""

from __future__ import annotations

import os
from collections.abc import Callable

import dagster as dg


def _celery() -> dg.ExecutorDefinition:
    from syncline.dagster.celery import executor

    return executor()


def _kubernetes() -> dg.ExecutorDefinition:
    from dagster_k8s import k8s_job_executor  # pip install dagster-k8s

    return k8s_job_executor


EXECUTORS: dict[str, Callable[[], dg.ExecutorDefinition]] = {
    # A run of one mapping begins 2 to 4 seconds sooner; one of several goes through them in turn.
    "in_process": lambda: dg.in_process_executor,
    # The mappings of a run, and the shards of one, go side by side, each in a process of its own.
    "multiprocess": lambda: dg.multiprocess_executor,
    # The same on the machines that run a worker: docs/how-to/scale.md.
    "celery": _celery,
    "kubernetes": _kubernetes,
}


def chosen() -> dg.ExecutorDefinition:
    """The executor that SYNCLINE_EXECUTOR names; `in_process` where it is not set."""
    name = os.environ.get("SYNCLINE_EXECUTOR") or "in_process"
    if name not in EXECUTORS:
        raise ValueError(f"SYNCLINE_EXECUTOR is {name!r}; it is one of {', '.join(EXECUTORS)}")
    return EXECUTORS[name]()
