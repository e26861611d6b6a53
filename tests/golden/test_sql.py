"""The SQL that a mapping's runs send, whole: one golden file a database, read in the diff."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncline.endpoints import postgres_session, sql_session
from syncline.mapping.select import Select
from tests.conftest import NewDatabase
from tests.golden.compare import assert_golden
from tests.integration.project_bench import DELTA, ProjectBench, Side, now, person

MAPPING = """\
  name: {sql: "lower(trim(name))", type: text}
  city: {from: city, values: {Rome: IT}, else: elsewhere}
  amount: {from: amount, type: "decimal(16,4)"}
  active: {from: active, values: {"true": 1, "false": 0}, type: integer}
  born: coalesce(born, date '1970-01-01')
  country: {value: US}
  serial: {sql: "CAST(name AS BIGINT)", type: bigint}
  updated_at: {from: updated_at, truncate: ms}
"""
WHERE = "where: \"city = 'Rome'\"\n"
REST = "conflicts: merge\ndeletes: {mode: mirror, guard: 100%}\n" + WHERE
FIELDS = """\
  name: upper(name)
  city: city
  amount: amount
  updated_at: updated_at
"""
SENDS = [
    *((sql_session.Session, name) for name in ("run", "rows", "many", "stream")),
    *((postgres_session.Session, name) for name in ("run", "table", "stream")),
]
CHANGING = [
    (r"syncline:[0-9a-f]{16}", "syncline:TOKEN"),
    (r"\bepoch = \d+", "epoch = N"),
    (r"IN \((\?|%s)(, \1)*\)", r"IN (\1, ..)"),  # how many changed in the last second
    (r"\b\d{3,}\b", "N"),
    (r"_[0-9a-f]{8,}\b", "_HEX"),
]


def _plain(literal: re.Match[str]) -> str:
    """A text as it is, unless it holds what changes from run to run."""
    text = literal[0]
    return text if re.fullmatch(r"'[^'0-9{}\[\]\\]{0,60}'", text) else "'..'"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The statements that were sent since."""
    found: set[str] = set()

    def listening(send: Callable[..., Any]) -> Callable[..., Any]:
        def heard(self: Any, statement: str, *rest: Any, **options: Any) -> Any:
            found.add(_normal(statement))
            return send(self, statement, *rest, **options)

        return heard

    for session, name in SENDS:
        monkeypatch.setattr(session, name, listening(getattr(session, name)))
    return found


def _normal(statement: str) -> str:
    text = textwrap.dedent(statement.strip("\n")).strip()
    text = re.sub(r"'(?:[^']|'')*'", _plain, text)
    for pattern, instead in CHANGING:
        text = re.sub(pattern, instead, text)
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


@pytest.mark.parametrize("kind", ["postgres", "mariadb", "sqlite"])
def test_a_full_sync_a_delta_with_a_conflict_and_a_deletion(
    kind: str, new_database: NewDatabase, tmp_path: Path, sent: set[str]
) -> None:
    """What is sent changes only where somebody means it to."""
    source = Side(kind, new_database(kind), "people")
    target = Side(kind, new_database(kind), "people_copy")
    source.create()
    source.put(*(person(key) for key in range(1, 10)))
    bench = ProjectBench(tmp_path, source, target, rest=DELTA + REST, fields=FIELDS)
    bench.run()
    source.edit(1, name="Moved", updated_at=now())
    source.edit(2, name="On both", updated_at=now())
    target.edit(2, name="ON THE TARGET")
    source.put(person(20, updated_at=now()))
    source.remove(4)
    bench.run(mode="full")
    source.edit(5, name="Later", updated_at=now())
    bench.run()
    assert_golden(f"sql/{kind}.sql", _text(sent))
    source.close()
    target.close()


def test_the_statement_that_maps_a_batch(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One SELECT of DuckDB with every form of a field, the quick one and the one that says which
    value does not fit.
    """
    made: set[str] = set()

    def listening(compiled: Callable[[Select], str]) -> Callable[[Select], str]:
        def heard(self: Select) -> str:
            made.add(_normal(text := compiled(self)))
            return text

        return heard

    for name in ("sql", "guarded_sql"):
        monkeypatch.setattr(Select, name, listening(getattr(Select, name)))
    source = Side("sqlite", new_database("sqlite"), "people")
    target = Side("sqlite", new_database("sqlite"), "people_copy")
    source.create()
    source.put(person(1), person(2, updated_at=None, born=None, active=None))
    ProjectBench(tmp_path, source, target, rest=DELTA + WHERE, fields=MAPPING).run()
    assert_golden("sql/mapping.sql", _text(made))
    source.close()
    target.close()


def _text(statements: set[str]) -> str:
    return ";\n\n".join(sorted(statements)) + ";\n"
