"""Parity in Dagster: both sides of a mapping with `workers:` compared by a job of dynamic steps.

`NAME_verify` divides the key range, compares each range in a step of its own, wherever the executor
puts it, and ends with the result of the check `parity`, as one process would have found it. What
the steps need of each other, a range and what was found in it, is metadata of their outputs: in the
event log, which all of them reach wherever they run.
"""

# No `from __future__ import annotations` here: Dagster reads the op's annotations as they stand.

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from pydantic import Field

from syncline.dagster import checks
from syncline.dagster.asset import op_of
from syncline.dagster.load import asset_name
from syncline.dagster.sync import told
from syncline.mapping.model import Mapping
from syncline.project import Project
from syncline.review.mask import Columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncline.compare import VerifyReport
    from syncline.ranges import Part

CHECK: Final = "parity"


class VerifyConfig(dg.Config):
    """The config of a comparison by ranges. All of it may be left out."""

    workers: int | None = Field(
        default=None, description="For how many workers to divide; else what the mapping says."
    )
    each: bool = Field(
        default=False, description="Read and compare each record, without checksums."
    )


def verify_job_of(
    project: Project, mapping: Mapping, retry_policy: dg.RetryPolicy
) -> dg.JobDefinition | None:
    """The job that compares a mapping's two sides by ranges; None where it has one worker.

    It has no pool: it disturbs no run, and a run need not wait for it.
    """
    if mapping.workers == 1:
        return None
    name, root = mapping.name, project.root
    first, each = f"{op_of(name)}_ranges", f"{op_of(name)}_compare"

    @dg.op(
        name=first,
        out={"ranges": dg.DynamicOut(dagster_type=dg.Nothing)},
        retry_policy=retry_policy,
        description="Divides the source's key range.",
    )
    def divide(
        context: dg.OpExecutionContext,
        config: VerifyConfig,  # noqa: ARG001 - all steps read it, where the run keeps it
    ) -> Iterator[dg.DynamicOutput[None]]:
        with told(context, Project(root), name):
            parts = _parts(context, Project(root), name, first)
        for number, part in enumerate(parts):
            shown = {"part": dg.MetadataValue.json(part), "began": time.time()}
            yield dg.DynamicOutput(
                None, mapping_key=str(number), output_name="ranges", metadata=shown
            )

    @dg.op(
        name=each,
        ins={"range": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        retry_policy=retry_policy,
        description="Compares one range, twice where it differs.",
    )
    def compare(context: dg.OpExecutionContext) -> dg.Output[None]:
        with told(context, Project(root), name) as cancelled:
            report = _compare(context, Project(root), name, first, cancelled)
        return dg.Output(None, metadata=_shown(report))

    @dg.op(
        name=f"{op_of(name)}_parity",
        ins={"ranges": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        retry_policy=retry_policy,
        description="Once all ranges are compared: adds up, and tells the check's result.",
    )
    def join(context: dg.OpExecutionContext) -> None:
        _join(context, root, name, first, each)

    @dg.graph(name=f"{name}_verify")
    def whole() -> None:
        join(divide().map(compare).collect())

    return whole.to_job(  # pyright: ignore[reportUnknownMemberType] (PathLike without its argument)
        description=f"Whether both sides of {name} are equal, by ranges of keys side by side.",
    )


def _config(context: dg.OpExecutionContext, first: str) -> VerifyConfig:
    given: Any = context.run.run_config
    return VerifyConfig(**given.get("ops", {}).get(first, {}).get("config", {}))


def _parts(
    context: dg.OpExecutionContext, project: Project, name: str, first: str
) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from syncline.ranges import WHOLE
    from syncline.verify import parts_of

    config, mapping = _config(context, first), project.mapping(name)
    workers = config.workers or mapping.workers
    masked = Columns(mapping)  # a range of such a key would tell it
    if any(column in masked for column in mapping.key.values()):
        return [asdict(WHOLE)]
    return [asdict(part) for part in parts_of(project, name, workers, each=config.each)]


def _compare(
    context: dg.OpExecutionContext,
    project: Project,
    name: str,
    first: str,
    cancelled: "Callable[[], bool]",
) -> "VerifyReport":
    from syncline.verify import compare

    found = _told(context, first)[context.get_mapping_key() or ""]
    part = _part(found["part"].value)
    look = checks.ends(project.mapping(name), cancelled)
    return compare(project, name, part, each=_config(context, first).each, on_progress=look)


def _part(values: dict[str, Any]) -> "Part":
    from syncline.ranges import Part

    return Part(**values)


def _shown(report: "VerifyReport") -> dict[str, Any]:
    """A report as metadata: the counts to look at, and all of it for the last step."""
    whole = json.loads(json.dumps(report.as_dict(), default=str))
    counts = {name: whole[name] for name in ("read", "equal", "missing", "different", "seconds")}
    return {**counts, "report": dg.MetadataValue.json(whole)}


def _told(context: dg.OpExecutionContext, step: str) -> dict[str, Any]:
    """The metadata of a dynamic step's outputs, by mapping key.

    Also those of runs that this one goes on for; of what was delivered twice, the newest.
    """
    instance: Any = context.instance
    this = context.run.run_id
    group: Any = instance.get_run_group(this)
    earlier: list[str] = [run.run_id for run in group[1] if run.run_id != this] if group else []
    found: dict[str, Any] = {}
    for run in (*earlier, this):
        records = instance.get_records_for_run(run, of_type=dg.DagsterEventType.STEP_OUTPUT)
        for record in records.records:
            event = record.event_log_entry.dagster_event
            if event is None or event.node_name != step:
                continue
            data = event.step_output_data
            key = data.mapping_key or (event.step_key or "").partition("[")[2].rstrip("]")
            found[key] = data.metadata
    return found


def _join(context: dg.OpExecutionContext, root: Path, name: str, first: str, each: str) -> None:
    from syncline.compare import VerifyReport
    from syncline.difference import Sample
    from syncline.verify import joined

    project = Project(root)
    with told(context, project, name):
        ranges, found = _told(context, first), _told(context, each)
        reports: list[VerifyReport] = []
        for number in ranges:
            values: dict[str, Any] = dict(found[number]["report"].value)
            values["samples"] = [Sample(**one) for one in values["samples"]]
            reports.append(VerifyReport(**values))
        began = min(float(one["began"].value) for one in ranges.values())
        report = joined(project, name, reports, time.time() - began)
        result = checks.parity_of(project.mapping(name), report)
    event: Any = _evaluation(context.instance, name, result)  # of a kind that the types leave out
    context.log_event(event)
    context.log.info(result.description or "")


def _evaluation(
    instance: dg.DagsterInstance, name: str, result: dg.AssetCheckResult
) -> dg.AssetCheckEvaluation:
    """The check's result, as one of the asset as it is now."""
    from dagster._core.definitions.asset_checks.asset_check_evaluation import (
        AssetCheckEvaluationTargetMaterializationData,
    )

    key = dg.AssetKey(asset_name(name))
    newest = instance.fetch_materializations(key, limit=1).records
    target = [
        AssetCheckEvaluationTargetMaterializationData(
            storage_id=one.storage_id, run_id=one.run_id, timestamp=one.timestamp
        )
        for one in newest
    ]
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=CHECK,
        passed=result.passed,
        severity=result.severity,
        description=result.description,
        metadata=result.metadata,
        target_materialization_data=target[0] if target else None,
    )
