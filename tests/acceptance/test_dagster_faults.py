"""Dagster from the outside: a webhook that comes in, a run worker and a machine that die."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook

from syncline.webhooks.signature import headers_of
from tests.acceptance.dagster_process import PROGRAMS, ROOT
from tests.acceptance.dagster_ui import SLOTS, Ui
from tests.integration.dagster_bench import DagsterBench

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(900)]

RECORDS = 3000
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


class Receiver(ThreadingHTTPServer):
    """Takes alerts in, and keeps those that are signed."""

    daemon_threads = True

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Alerts)
        threading.Thread(target=self.serve_forever, args=[0.1], daemon=True).start()


class _Alerts(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        receiver = self.server
        assert isinstance(receiver, Receiver)
        receiver.told.append(Webhook(SECRET).verify(body, dict(self.headers.items())))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002 - its base's name


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> DagsterBench:
    """A project with one mapping, run every minute once that is switched on."""
    made = DagsterBench(tmp_path_factory.mktemp("faults") / "project", records=RECORDS)
    made.write("customers", more='schedule: "* * * * *"\nbatch_size: 1000\n')
    return made


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture(scope="module")
def environment(receiver: Receiver) -> dict[str, str]:
    """The secret of webhooks, and where alerts go."""
    return {
        "SYNCLINE_WEBHOOK_SECRETS": SECRET,
        "SYNCLINE_ALERT_URL": f"http://127.0.0.1:{receiver.server_port}/",
        "SYNCLINE_ALERT_SECRET": SECRET,
        "SYNCLINE_ALERT_ALLOW": "127.0.0.1",
    }


def test_a_webhook_starts_a_run(ui: Ui, bench: DagsterBench) -> None:
    """Sent to `syncline serve`, answered by Dagster: two programs that share the control store."""
    bench.put([90_002])
    serve = subprocess.Popen(
        [PROGRAMS / "python", "-m", "syncline", "serve", "--port", "0"],
        cwd=ROOT, env=ui.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert serve.stdout is not None
        address = serve.stdout.readline().partition("/login")[0]
        body = json.dumps({"type": "customer.created"})
        headers = headers_of(SECRET, "msg_acceptance", body)
        request = urllib.request.Request(  # noqa: S310 - our own server on 127.0.0.1
            f"{address}/hooks/customers", body.encode(), headers
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
            assert answer.status == 202
        (run,) = ui.until(lambda: ui.tagged("dagster/run_key", "customers msg_acceptance"))
        assert ui.ended(run["runId"]) == "SUCCESS"
    finally:
        serve.terminate()
        serve.wait(60)
    assert 90_002 in bench.users()


def test_f13_a_killed_run_worker_leaves_nothing_behind(
    ui: Ui, bench: DagsterBench, receiver: Receiver
) -> None:
    """By kill -9 in mid-batch. The run fails within seconds and is told; neither slot nor lease is
    held, and the next tick of the schedule goes on from the last batch to an exact copy.
    """
    run_id = slowly(ui, bench)
    os.kill(ui.worker(run_id), signal.SIGKILL)
    assert ui.ended(run_id) == "FAILURE"
    done, total = len(bench.users()), len(bench.sql("shop", "select id from customers"))
    assert 0 < done < total
    ui.switch_on("customers_schedule")
    (run, *_) = ui.until(lambda: ui.tagged("dagster/schedule_name", "customers_schedule"))
    ui.switch_off("customers_schedule")  # before another minute begins
    assert ui.ended(run["runId"]) == "SUCCESS"
    numbers = ui.numbers("customers")
    assert (numbers["run"], numbers["inserted"]) == (run["runId"], total - done)
    assert bench.users() == {
        key: f"{name.upper()}!" for key, name in bench.sql("shop", "select id, name from customers")
    }
    assert_nothing_held(ui, bench)
    told = ui.until(lambda: [one for one in receiver.told if one["data"].get("run") == run_id])
    assert (told[0]["type"], told[0]["data"]["mapping"]) == ("run.failed", "customers")


def slowly(ui: Ui, bench: DagsterBench) -> str:
    """A full sync into an empty table, in many batches; its id, once it has written some."""
    assert ui.ended(ui.launch("customers", {})) == "SUCCESS"
    bench.sql("app", "delete from users")
    run_id = ui.launch("customers", {"mode": "full", "batch_size": 2})
    ui.until(lambda: any(line.startswith("customers: read") for line in ui.log(run_id)))
    return run_id


def assert_nothing_held(ui: Ui, bench: DagsterBench) -> None:
    limits = {
        each["concurrencyKey"]: each for each in ui.ask(SLOTS)["instance"]["concurrencyLimits"]
    }
    pool = limits["syncline_customers"]
    assert (pool["limit"], pool["claimedSlots"], pool["pendingStepCount"]) == (1, [], 0)
    (held,) = bench.sql("app", "select holder from syncline_state where mapping = 'customers'")
    assert not held[0]


def test_after_a_power_cut_no_mapping_stays_blocked(ui: Ui, bench: DagsterBench) -> None:
    """Everything is killed in mid-run and started again: the run that nobody works on is found out,
    and the next one goes on from its last batch.
    """
    run_id = slowly(ui, bench)
    ui.kill()
    ui.start()
    ui.loaded()
    again = ui.launch("customers", {})
    assert ui.ended(run_id) == "FAILURE"
    assert ui.ended(again) == "SUCCESS"
    assert len(bench.users()) == len(bench.sql("shop", "select id from customers"))
    assert_nothing_held(ui, bench)
