"""The executor of this code location's runs, chosen by SYNCLINE_EXECUTOR."""

from __future__ import annotations

import os

import dagster as dg

EXECUTORS = {
    # A run of one mapping begins 2 to 4 seconds sooner; one of several goes through them in turn.
    "in_process": dg.in_process_executor,
    # The mappings of a run go side by side, each in a process of its own.
    "multiprocess": dg.multiprocess_executor,
}


def chosen() -> dg.ExecutorDefinition:
    """The executor that SYNCLINE_EXECUTOR names; `in_process` where it is not set."""
    name = os.environ.get("SYNCLINE_EXECUTOR") or "in_process"
    if name not in EXECUTORS:
        raise ValueError(f"SYNCLINE_EXECUTOR is {name!r}; it is one of {', '.join(EXECUTORS)}")
    return EXECUTORS[name]
