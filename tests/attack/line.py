"""The line between syncline and its databases: how a project is led through a proxy, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from syncline import checkpoint
from syncline.sync import Progress
from tests.attack.proxy import Proxy
from tests.attack.toxiproxy import Gate
from tests.conftest import REPLICA_SET
from tests.integration.project_bench import ProjectBench

LEDGER = "conflicts: {strategy: manual}\n"
SOURCES = {
    "postgres": "xmin",
    "mariadb": "mariadb",
    "mongo": "mongo",
    REPLICA_SET: "stream",
}
"""A watermark of each kind of server."""


def through(
    bench: ProjectBench,
    *,
    source: Proxy | Gate | None = None,
    target: Proxy | Gate | None = None,
    **more: Any,
) -> None:
    """Have syncline go through the proxies. MongoDB's driver looks for a lost server for as long as
    it may take to connect; what a statement may take is patience with a busy machine.
    """
    urls = {
        "FROM_URL": source.url if source else bench.source.url,
        "TO_URL": target.url if target else bench.target.url,
    }
    (bench.folder / ".env").write_text("".join(f"{k}={v}\n" for k, v in urls.items()))
    settings = {"connect_timeout": 8, "statement_timeout": 60} | more
    told = ", ".join(f"{name}: {value}" for name, value in settings.items())
    (bench.folder / "connections.yaml").write_text(
        f"connections:\n  from_here: {{url: '${{FROM_URL}}', {told}}}\n"
        f"  to_there: {{url: '${{TO_URL}}', {told}}}\n"
    )


def after(batches: int, act: Callable[[], object]) -> Callable[[Progress], None]:
    """Something to do once, when so many batches have landed."""
    seen = iter(range(1, 1_000_000))

    def on_progress(_: Progress) -> None:
        if next(seen) == batches:
            act()

    return on_progress


def position(bench: ProjectBench) -> Any:
    """Where the next delta would start."""
    return checkpoint.show(bench.project, "people")["position"]
