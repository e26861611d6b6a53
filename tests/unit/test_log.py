"""Logs: one line an event, run and mapping on each, and no secret in any."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from syncline import log


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(log, "_SECRETS", set())
    yield
    structlog.reset_defaults()


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    captured = capsys.readouterr()
    assert captured.out == ""
    found: dict[str, object] = json.loads(captured.err)
    return found


def test_a_line_has_time_level_run_and_mapping(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON on stderr, UTC."""
    log.configure("json")
    with structlog.contextvars.bound_contextvars(run_id="run-1", mapping="customers"):
        structlog.get_logger().info("batch", read=3)
    line = told(capsys)
    assert (line["event"], line["read"], line["level"]) == ("batch", 3, "info")
    assert (line["run_id"], line["mapping"]) == ("run-1", "customers")
    assert str(line["timestamp"]).endswith("Z")


def test_levels_below_the_chosen_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    """`debug` is for `--debug`."""
    log.configure("json", "info")
    structlog.get_logger().debug("batch")
    assert capsys.readouterr().err == ""


def test_a_known_secret_is_in_no_part_of_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """In the event, in values however deep, in the text of any object, and in a traceback."""
    log.hide(["canary", ""])
    log.configure("json")
    try:
        raise ValueError("login canary refused")
    except ValueError as error:
        structlog.get_logger().exception(
            "canary", nested={"urls": ["x canary y"], "n": 1}, error=error
        )
    line = told(capsys)
    assert "canary" not in json.dumps(line)
    assert line["event"] == "***"
    assert "ValueError" in str(line["exception"])


def test_the_password_of_any_url_is_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    """Also of one that no connection names."""
    log.configure("json")
    structlog.get_logger().info("dialing postgresql://me:canary@host/db")
    assert "canary" not in json.dumps(told(capsys))


def test_a_console_gets_readable_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Event first, then name=value."""
    log.configure("console")
    structlog.get_logger().warning("stopped", reason="deletes")
    text = capsys.readouterr().err
    assert "stopped" in text
    assert "reason=deletes" in text


def test_the_lines_of_a_run_are_kept_in_a_file_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what a terminal does not show, never a secret, and of so many runs the newest."""
    monkeypatch.setattr(log, "_kept_in", [])
    monkeypatch.setattr(log, "_MOST_KEPT", 2)
    log.hide(["canary"])
    log.configure("json", "warning")
    log.keep(tmp_path / "logs")
    for run_id in ("run-1", "run-2", "run-3"):
        with structlog.contextvars.bound_contextvars(run_id=run_id):
            structlog.get_logger().info("run finished", told="canary")
    structlog.get_logger().info("of no run")
    assert capsys.readouterr().err == ""
    assert log.kept(tmp_path / "logs", "run-1") == ""
    line = json.loads(log.kept(tmp_path / "logs", "run-3"))
    assert (line["event"], line["told"]) == ("run finished", "***")
    assert log.kept(tmp_path / "logs", "../run-3") == ""
