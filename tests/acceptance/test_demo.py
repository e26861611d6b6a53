"""The demo, in a copy of its project: what it says is what the databases hold."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dotenv import dotenv_values

from syncline.demo.load import TABLES
from syncline.demo.story import SETTLE
from syncline.store import LIVE, Store

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(900)]

CHECKOUT = Path(__file__).parents[2]
_CLI = "from syncline.cli import main; main()"
OWN_LINE = "MY_OWN_URL=sqlite:///mine.db\n"


@dataclass(frozen=True)
class Told:
    """A demo that was told in `project`: what it printed, and the seconds of a processor that it
    and its workers took.
    """

    project: Path
    printed: str
    seconds: float

    def rows(self, connection: str, query: str) -> list[tuple[Any, ...]]:
        """Ask a database of the demo."""
        url = dotenv_values(self.project / ".env")[f"DEMO_{connection.upper()}_URL"]
        with psycopg.connect(url or "") as opened:
            return opened.execute(query.encode()).fetchall()

    @property
    def pids(self) -> list[int]:
        """The servers that it started."""
        return [int(pid) for pid in re.findall(r" pid (\d+)", self.printed)]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """The demo, told once for all tests of this module, beside a `.env` that has a line already."""
    project = tmp_path_factory.mktemp("demo")
    shutil.copytree(CHECKOUT / "mappings", project / "mappings")
    for name in ("connections.yaml", "hooks.py"):
        shutil.copy(CHECKOUT / name, project)
    (project / ".env").write_text(OWN_LINE)
    try:
        yield _tell(project)
    finally:
        _demo(project, "--clean")


def _tell(project: Path) -> Told:
    before = _worked()
    return Told(project, _demo(project), _worked() - before)


def _worked() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _demo(project: Path, *options: str) -> str:
    return _run(project, "-m", "syncline.demo", "--project", str(project), *options)


def _syncline(project: Path, *options: str) -> str:
    return _run(project, "-c", _CLI, "--project", str(project), *options)


def _run(project: Path, *argv: str) -> str:
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("SYNCLINE_", "DEMO_"))}
    done = subprocess.run(
        [sys.executable, *argv],
        cwd=project,
        env=environment | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_demo_works_for_less_than_two_minutes(told: Told) -> None:
    """Servers, data, syncs and conflicts, from nothing; what else the machine does is not counted,
    nor what the servers do.
    """
    assert 1 < told.seconds < 120


def test_the_source_is_the_whole_data_set(told: Told) -> None:
    """336,776 flights and what belongs to them, less and more by the edits that the demo makes."""
    counts = {table: told.rows("ops", f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}
    assert counts == {
        "airlines": 16,
        "airports": 1458,
        "planes": 3322,
        "weather": 26115,
        "flights": 336776 + 842 - 10,
    }


def test_the_warehouse_holds_every_flight_as_mapped(told: Told) -> None:
    """Each flight, computed once more by PostgreSQL itself, equals what the mapping made of it."""
    expected = told.rows(
        "ops",
        """
        SELECT id, concat(f.carrier, ' ', flight), a.name, tailnum, concat_ws('-', origin, dest),
               make_timestamp(f.year, month, day, hour, minute, 0),
               make_timestamp(f.year, month, day, hour, minute, 0)
                   + dep_delay * interval '1 minute',
               arr_delay,
               CASE WHEN dep_time IS NULL THEN 'cancelled' WHEN arr_delay IS NULL THEN 'diverted'
                    WHEN arr_delay < 15 THEN 'on time' WHEN arr_delay < 120 THEN 'late'
                    ELSE 'very late' END,
               round(distance * 1.609344, 1), f.updated_at
        FROM flights f JOIN airlines a USING (carrier) ORDER BY id
        """,
    )
    found = told.rows(
        "warehouse",
        """
        SELECT id, flight, airline, tail_number, route, scheduled, departed, delay, delay_class,
               distance_km, updated_at
        FROM flights ORDER BY id
        """,
    )
    assert len(found) == len(expected)
    differing = [pair for pair in zip(expected, found, strict=True) if pair[0] != pair[1]]
    assert not differing, differing[:3]


def test_the_edits_of_analysts_survive_the_delta(told: Told) -> None:
    """The aircraft they filled in are there, on flights that operations edited at the same time."""
    filled = told.rows(
        "warehouse", "SELECT id, delay FROM flights WHERE aircraft LIKE '%(fleet list)'"
    )
    delays = dict(told.rows("ops", "SELECT id, arr_delay FROM flights WHERE carrier = 'AA'"))
    assert len(filled) > 50
    assert all(delays[key] == delay for key, delay in filled)


def test_integers_with_nulls_stay_integers(told: Told) -> None:
    """The data set's NA is NULL in the warehouse, and the rest of its column whole numbers."""
    (kind,) = told.rows(
        "warehouse",
        "SELECT data_type FROM information_schema.columns "
        "WHERE (table_name, column_name) = ('planes', 'built')",
    )
    nulls = "SELECT count(*) FROM planes WHERE {} IS NULL"
    assert kind == ("smallint",)
    assert told.rows("warehouse", nulls.format("built")) == told.rows("ops", nulls.format("year"))


@pytest.mark.parametrize(
    ("strategy", "key", "field", "expected"),
    [
        ("source", "SEA", "name", "Seattle-Tacoma"),
        ("source", "SFO", "name", "San Francisco"),
        ("source", "OAK", "time_zone", None),
        ("source", "04G", "name", "deleted"),
        ("source", "06A", "name", "Tuskegee Moton"),
        ("source", "SJU", "name", "Munoz Marin"),
        ("target", "SEA", "name", "Sea-Tac"),
        ("target", "SFO", "name", "SFO"),
        ("target", "OAK", "time_zone", "US/Pacific"),
        ("target", "04G", "name", "closed field"),
        ("target", "06A", "name", "deleted"),
        ("target", "SJU", "name", "San Juan"),
        ("latest", "SEA", "name", "Seattle-Tacoma"),
        ("latest", "SFO", "name", "SFO"),
        ("latest", "OAK", "time_zone", None),
        ("latest", "SJU", "name", "Munoz Marin"),
        ("merge", "SEA", "name", "Seattle-Tacoma"),
        ("merge", "SFO", "name", "San Francisco"),
        ("merge", "OAK", "time_zone", "US/Pacific"),
        ("merge", "04G", "name", "closed field"),
        ("merge", "06A", "name", "Tuskegee Moton"),
        ("merge", "SJU", "name", "Munoz Marin"),
        ("manual", "SEA", "name", "Sea-Tac"),
    ],
)
def test_a_strategy_settles_its_collision(
    told: Told, strategy: str, key: str, field: str, expected: str | None
) -> None:
    """What the table of the demo says each strategy did is in the target."""
    query = f"SELECT {field} FROM airports_by_{strategy} WHERE code = '{key}'"
    found = told.rows("warehouse", query)
    assert (found[0][0] if found else "deleted") == expected


def _waiting(project: Path) -> list[tuple[str, Any]]:
    with Store.open(f"sqlite:///{project / '.syncline' / 'store.db'}") as store:
        return [
            (e.mapping, e.key["code"])
            for n in SETTLE
            for e in store.conflicts(mapping=n, state=LIVE)
        ]


def test_one_conflict_is_left_in_the_queue(told: Told) -> None:
    """The demo decides all that wait but the one it leaves to its reader."""
    assert _waiting(told.project) == [("airports_by_manual", "SEA")]
    assert "8 decisions" not in told.printed
    assert "7 decisions written" in told.printed


def test_no_password_is_shown(told: Told) -> None:
    """Nothing of the URLs in `.env` but host and port is ever printed."""
    passwords = re.findall(r"://\w+:(\w+)@", (told.project / ".env").read_text())
    assert len(passwords) == 2
    assert not [password for password in passwords if password in told.printed]


def test_told_twice_it_begins_anew(told: Told) -> None:
    """A second demo, after a reader of the README has settled what the first left, ends alike."""
    (resolve,) = re.findall(r"syncline (conflicts resolve \d+ --take source)", told.printed)
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    typed = [
        one.strip() for one in re.findall(r"^syncline (conflicts [^#\n]*)", readme, re.MULTILINE)
    ]
    assert typed[-1] == resolve
    said = [_syncline(told.project, *command.split()) for command in typed]
    assert "SEA" in said[0]
    assert "Seattle-Tacoma" in said[1]
    assert "written" in said[-1]
    assert _waiting(told.project) == []
    again = _tell(told.project)
    assert again.pids == told.pids
    assert _waiting(told.project) == [("airports_by_manual", "SEA")]
    assert (told.project / ".env").read_text().count("DEMO_OPS_URL") == 1


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # ended, and nobody has asked how


def test_z_clean_removes_all_that_the_demo_made(told: Told) -> None:
    """Servers, databases, control store and URLs are gone; the user's own line of `.env` is not."""
    assert _demo(told.project, "--clean")
    assert (told.project / ".env").read_text() == OWN_LINE
    assert not (told.project / ".syncline").exists()
    assert not [pid for pid in told.pids if _runs(pid)]
    assert _demo(told.project, "--clean") == "nothing to remove\n"
