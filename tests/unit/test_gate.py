"""The gate to a database that was lost: of all that wait, one asks."""

from __future__ import annotations

import threading
import time

import pytest

from syncline.errors import InputError, Unreachable
from syncline.gate import Gate, gate_to


class Server:
    """Answers once it is up; notes how many asked at once, and how often."""

    def __init__(self) -> None:
        self.up = False
        self.asked = self.at_once = self._now = 0
        self._lock = threading.Lock()

    def version(self) -> str:
        with self._lock:
            self.asked += 1
            self._now += 1
            self.at_once = max(self.at_once, self._now)
        time.sleep(0.05)
        with self._lock:
            self._now -= 1
            if not self.up:
                raise Unreachable("down")
        return "1"

    def comes_up(self) -> int:
        """Be up from now on; how often it was asked before."""
        with self._lock:
            self.up = True
            return self.asked


def waiting(gate: Gate, server: Server, count: int, seconds: float) -> list[threading.Thread]:
    def wait() -> None:
        gate.wait(server.version, time.monotonic() + seconds)

    threads = [threading.Thread(target=wait, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_f31_of_many_that_wait_one_asks_and_its_answer_is_for_all() -> None:
    """Half open under concurrency: twenty runs, one probe at a time; all go on when it passes."""
    gate, server = Gate(), Server()
    threads = waiting(gate, server, 20, 60)
    time.sleep(1)
    asked = server.comes_up()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert server.at_once == 1
    assert asked < 20  # at 0, 0.1, 0.3, 0.7 s: not one for each
    assert server.asked <= asked + 1


def test_a_wait_ends_with_what_the_probe_raised() -> None:
    """Not before its time, and without end for nobody."""
    gate, server = Gate(), Server()
    began = time.monotonic()
    with pytest.raises(Unreachable):
        gate.wait(server.version, began + 0.5)
    assert time.monotonic() - began >= 0.5


def test_what_can_not_pass_is_raised_to_the_one_that_asked() -> None:
    """A refused login opens the gate for the next to ask, and is nobody else's error."""
    gate, server = Gate(), Server()

    def refused() -> None:
        raise InputError("no such database")

    with pytest.raises(InputError):
        gate.wait(refused, time.monotonic() + 5)
    server.up = True
    gate.wait(server.version, time.monotonic() + 5)


def test_there_is_one_gate_a_database() -> None:
    """Every run of the process meets at the same."""
    assert gate_to("one") is gate_to("one")
    assert gate_to("one") is not gate_to("other")
