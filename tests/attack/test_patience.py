"""How long a run's own retries last: never without end, and never for what can't pass."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from syncline.errors import Unreachable
from tests.attack.conftest import Make, in_step
from tests.attack.proxy import Proxy
from tests.attack.test_network import LEDGER, position, through
from tests.integration.project_bench import ProjectBench, now, person


def ended(bench: ProjectBench, within: float, **options: Any) -> BaseException | None:
    """What a run raised; fails where it did not end in time."""
    caught: list[BaseException | None] = []
    stop = threading.Event()

    def work() -> None:
        try:
            bench.run(cancelled=stop.is_set, **options)
        except BaseException as error:  # noqa: BLE001 - the caller looks at it
            caught.append(error)
        else:
            caught.append(None)

    running = threading.Thread(target=work, daemon=True)
    running.start()
    running.join(within)
    stop.set()
    assert caught, f"still trying after {within} s"
    return caught[0]


@pytest.mark.parametrize("watermark", ["xmin", "mariadb"])
def test_f16_a_delta_that_breaks_at_the_same_place_each_time_ends(
    watermark: str, make: Make
) -> None:
    """Every connection is cut after the same number of bytes: reading again what was read before is
    no progress, so that the patience of the run ends; the checkpoint stays.
    """
    bench = make(watermark, count=1, rest=LEDGER)
    bench.run()
    before = position(bench)
    wide = "w" * 10_000
    bench.source.put(*(person(key, name=wide, updated_at=now()) for key in range(100, 300)))
    with Proxy(bench.source.url) as proxy:
        through(bench, source=proxy, retry_seconds=1)
        proxy.limit = 1_000_000
        began = time.monotonic()
        assert isinstance(ended(bench, 25, batch_size=10), Unreachable)
        assert proxy.cuts > 1
        assert time.monotonic() - began > 1
    through(bench)
    assert position(bench) == before
    bench.run()
    assert in_step(bench)
