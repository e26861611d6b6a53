"""Broken: a mapping that does not load, as an asset that says why, beside those that do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dagster as dg

from syncline.dagster.asset import op_of

GROUP: Final = "broken"
CHECK: Final = "loads"
SENSOR: Final = "broken_mappings_sensor"


@dataclass(frozen=True, slots=True)
class Broken:
    """A mapping file that does not load: the asset's name, the file, and all that is wrong."""

    name: str
    path: Path
    problems: tuple[str, ...]

    @property
    def told(self) -> str:
        """What is wrong, for a page of the UI."""
        listed = "\n".join(f"- {problem}" for problem in self.problems)
        return (
            "**This mapping does not load.** "
            f"Mend {self.path.name}, then reload the code location.\n\n"
            f"{listed}"
        )

    def result(self) -> dg.AssetCheckEvaluation:
        """The failed check."""
        return dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(self.name),
            check_name=CHECK,
            passed=False,
            severity=dg.AssetCheckSeverity.ERROR,
            description=self.told,
            metadata={"problems": dg.MetadataValue.int(len(self.problems))},
        )


def asset_of_broken(broken: Broken) -> dg.AssetsDefinition:
    """An asset in the mapping's place; it fails with what is wrong, and is not tried again."""
    key = dg.AssetKey(broken.name)

    @dg.multi_asset(
        name=op_of(broken.name),
        outs={
            "result": dg.AssetOut(
                key=key,
                dagster_type=dg.Nothing,
                description=broken.told,
                group_name=GROUP,
                kinds={"yaml"},
                metadata={"mapping": dg.PathMetadataValue(str(broken.path))},
            )
        },
        check_specs=[
            dg.AssetCheckSpec(CHECK, asset=key, description="Whether the mapping's file loads.")
        ],
    )
    def run() -> Iterator[dg.AssetCheckResult]:
        found = broken.result()
        yield dg.AssetCheckResult(
            passed=found.passed,
            severity=found.severity,
            description=found.description,
            metadata=found.metadata,
        )
        raise dg.Failure(broken.told, metadata={"exit_code": 2}, allow_retries=False)

    return run


def sensor_of(found: Sequence[Broken], prefix: str) -> dg.SensorDefinition:
    """Reports the failed checks without a run, once for each change of what is wrong."""
    state = hashlib.sha256("\n".join(f"{b.name} {b.told}" for b in found).encode()).hexdigest()

    @dg.sensor(  # pyright: ignore[reportUnknownMemberType] (PathLike without its argument)
        name=prefix + SENSOR,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Shows mappings that do not load as failed checks.",
    )
    def report(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if context.cursor == state:
            return dg.SkipReason("nothing changed since the last report")
        return dg.SensorResult(asset_events=[each.result() for each in found], cursor=state)

    return report
