"""Scan: the checks that read both sides whole, as an op of their own.

It has no pool: `syncline verify` disturbs no run, and a run need not wait for it.
"""

# No `from __future__ import annotations` here: Dagster reads the op's annotations as they stand.

from collections.abc import Collection, Iterator

import dagster as dg

from syncline.dagster.asset import Placed
from syncline.dagster.checks import scan_specs
from syncline.dagster.sync import check_alone


def scan_of(
    placed: Placed, retry_policy: dg.RetryPolicy, taken: Collection[str]
) -> dg.AssetChecksDefinition | None:
    """The scans that the mapping's runs do not make; None where they make all.

    `taken` are names that the op must not have.
    """
    mapping, root, key = placed.mapping, placed.project.root, placed.key
    specs = scan_specs(mapping, key)
    if not specs:
        return None
    name = f"{mapping.name}_scan"
    while name in taken:
        name += "_"

    by_output = {spec.get_python_identifier(): spec for spec in specs}

    # Not @multi_asset_check: that names the input after the asset, and `type` is refused.
    @dg.op(
        name=name,
        ins={"synced": dg.In(dg.Nothing)},
        out={output: dg.Out(is_required=False) for output in by_output},
        retry_policy=retry_policy,
    )
    def scan(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        if key in context.job_def.asset_layer.selected_asset_keys:
            # Materializing an asset in the UI selects every check of it, also those that take long.
            context.log.info(
                "%s is being synced, so it is not scanned: execute parity and duplicates from its "
                "Checks tab, or write `every_run: true` into its `checks:`",
                mapping.name,
            )
            return
        yield from check_alone(context, root, mapping.name)

    return dg.AssetChecksDefinition.create(
        keys_by_input_name={"synced": key},
        node_def=scan,
        check_specs_by_output_name=by_output,
        resource_defs={},
        can_subset=True,
    )
