"""Chunks in Dagster: the backfill of a mapping with `workers:`, its partitions as dynamic steps.

One run, one lease: the first step takes it, each of the others brings some of the partitions
beside the rest, wherever the executor puts it, and the last gives it up. Nothing is handed from
step to step but the number of a group; which partitions are done knows the control store.
"""

# No `from __future__ import annotations` here: Dagster reads the op's annotations as they stand.

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from syncline.dagster.asset import op_of, pool_of
from syncline.dagster.lent import ended, step, trigger_of
from syncline.dagster.partitions import PREFIX, BackfillConfig, Partitions, tell_done
from syncline.mapping.model import Mapping
from syncline.project import Project

if TYPE_CHECKING:
    from syncline.backfill_steps import Group
    from syncline.run import RunOptions

_OF: Final = "_of_"


def graph_of(
    project: Project, mapping: Mapping, retry_policy: dg.RetryPolicy
) -> dg.GraphDefinition:
    """The steps of a mapping's backfill, with the config of one."""
    name, root, retries = mapping.name, project.root, retry_policy.max_retries
    node = f"{PREFIX}_{op_of(name)}"

    @dg.op(
        name=f"{node}_divide",
        out={"groups": dg.DynamicOut(dagster_type=dg.Nothing)},
        pool=pool_of(name),
        description="Takes the lease, and shares out the partitions that are not done.",
    )
    def divide(context: dg.OpExecutionContext) -> Iterator[dg.DynamicOutput[None]]:
        from syncline import backfill_steps

        with step(context, Project(root), name, 0) as cancelled:
            chosen = _chosen(context, root, name)
            begun = backfill_steps.begin(
                Project(root), name, chosen.asked, _options(context, chosen, node, cancelled),
                chosen.mapping.workers, ended=ended(context.instance),
            )  # fmt: skip
        for group in begun:
            yield dg.DynamicOutput(None, mapping_key=_named(group), output_name="groups")

    @dg.op(
        name=f"{node}_bring",
        ins={"group": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        retry_policy=retry_policy,
        description="Syncs some of the partitions, each told as it is done.",
    )
    def bring(context: dg.OpExecutionContext) -> None:
        from syncline import backfill_steps

        with step(context, Project(root), name, retries) as cancelled:
            chosen = _chosen(context, root, name)
            options = _options(context, chosen, node, cancelled)
            group = _group(context.get_mapping_key() or "")
            done = backfill_steps.bring(Project(root), name, chosen.asked, group, options)
            tell_done(context, chosen, done, len(group.chunks(chosen.asked)))

    @dg.op(
        name=f"{node}_finish",
        ins={"groups": dg.In(dg.Nothing)},
        out={"result": dg.Out(dg.Nothing, is_required=False)},
        retry_policy=retry_policy,
        description="Once all are done: gives the lease up.",
    )
    def finish(context: dg.OpExecutionContext) -> Iterator[dg.Output[Any]]:
        from syncline import backfill_steps

        with step(context, Project(root), name, retries) as cancelled:
            options = _options(context, _chosen(context, root, name), node, cancelled)
            total = backfill_steps.end(Project(root), name, options)
        done = "nothing was left to do" if total is None else f"{total['read']:,} records read"
        context.log.info("%s: %s", name, done)
        yield from ()  # each partition was told as it was done

    @dg.graph(
        name=node,
        out={"result": dg.GraphOut()},
        config=dg.ConfigMapping(
            config_fn=_nothing,  # every step reads it where the run keeps it
            config_schema=BackfillConfig.to_fields_dict(),
        ),
    )
    def whole() -> Any:
        return {"result": finish(divide().map(bring).collect())}

    return whole


def _nothing(_: Any) -> dict[str, Any]:
    return {}


def _chosen(context: dg.OpExecutionContext, root: Path, name: str) -> Partitions:
    words = f"dagster {context.run.root_run_id or context.run.run_id}"
    return Partitions(Project(root), name, tuple(context.partition_keys), words)


def _options(
    context: dg.OpExecutionContext, chosen: Partitions, node: str, cancelled: Callable[[], bool]
) -> "RunOptions":
    given: Any = context.run.run_config
    config = BackfillConfig(**given.get("ops", {}).get(node, {}).get("config", {}))
    return chosen.options(context, config, trigger_of(context), cancelled)


def _named(group: "Group") -> str:
    return f"{group.number}{_OF}{group.of}"


def _group(key: str) -> "Group":
    from syncline.backfill_steps import Group

    number, _, of = key.partition(_OF)
    return Group(int(number), int(of))
