"""A mapping file becomes a Mapping, or every problem it has, each with file, line and path."""

# ruff: noqa: E501, ISC004 - messages as they are shown

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from syncline.errors import MappingErrors
from syncline.mapping.forms import FromForm, LookupForm, PythonForm, SqlForm, ValueForm
from syncline.mapping.load import load_mapping, load_mappings, parse_mapping
from syncline.mapping.scalars import Share
from syncline.record import Type

HEAD = """\
source: {connection: crm, table: public.customers}
target: {connection: app, table: public.users}
key: {user_id: id}
"""

WHOLE = """\
description: customers of the shop
source: {connection: crm, table: public.customers, types: {notes: text}}
target: {connection: app, collection: users, nulls: omit}
key: {user_id: id}
where: "region_id <> 9"
fields:
  full_name: concat_ws(' ', first_name, last_name)
  email: {sql: "lower(trim(email))", type: text}
  status: {from: is_active, values: {"true": active, false: inactive}, else: inactive}
  balance: {from: balance, type: "decimal(14,2)", default: 0}
  address.city: city
  country: {value: US}
  region: {lookup: regions, match: region_id, take: name}
  score: {python: hooks.score, takes: [balance]}
  notes: {from: notes, mask: true}
  updated_at: {from: updated_at, truncate: ms}
lookups: {regions: {connection: crm, table: public.regions, key: id}}
delta: {by: timestamp, cursor: updated_at}
deletes: {mode: soft, column: deleted_at, guard: 2.5%, reconcile: full}
exclusive: true
conflicts:
  strategy: merge
  clock: updated_at
  fields: {status: target, notes: manual}
  together: [[balance, country]]
  first_contact: queue
  guard: 30%
schedule: "*/5 6-18 * jan,mar mon-fri"
after: [regions]
group: crm/sales
owners: [team:data, ana@example.com]
tags: {tier: gold}
batch_size: 1000
dead_letters: {limit: 1%}
max_lag: 15m
checks:
  parity: 10
  duplicates: {every_run: true}
  conflicts: {limit: 5, blocking: true}
  freshness: {blocking: true}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(MappingErrors) as caught:
        parse_mapping(text, "customers")
    return [str(problem) for problem in caught.value.problems]


def test_every_key_of_a_mapping_is_read() -> None:
    """The long form of everything arrives as typed values."""
    mapping = parse_mapping(WHOLE, "customers")
    assert mapping.name == "customers"
    kinds = [type(rule) for rule in mapping.fields.values()]
    assert kinds == [
        SqlForm, SqlForm, FromForm, FromForm, SqlForm, ValueForm, LookupForm, PythonForm, FromForm, FromForm,
    ]  # fmt: skip
    assert mapping.source.types == {"notes": Type("text")}
    assert mapping.fields["balance"].type == Type("decimal", 14, 2)
    assert mapping.deletes.guard == Share(0.025)
    assert mapping.dead_letters.limit == Share(0.01)
    assert isinstance(mapping.dead_letters.limit, Share)
    assert mapping.max_lag == timedelta(minutes=15)
    assert (mapping.checks.parity.limit, mapping.checks.parity.inline) == (10, False)
    assert mapping.checks.duplicates.inline
    assert (mapping.checks.conflicts.limit, mapping.checks.conflicts.blocking) == (5, True)
    assert mapping.checks.freshness.blocking
    assert not mapping.checks.drift.blocking
    assert mapping.strategy_of("status") == "target"
    assert mapping.strategy_of("email") == "merge"
    assert mapping.where_is("fields", "region", "take") == "customers.yaml:13"


def test_short_forms_say_the_same_as_long_ones() -> None:
    """A word for deletes and conflicts, and text for a field, mean their first key."""
    short = parse_mapping(HEAD + "fields: {a: b}\ndeletes: mirror\nconflicts: target\n")
    long = parse_mapping(
        HEAD + "fields: {a: {sql: b}}\ndeletes: {mode: mirror}\nconflicts: {strategy: target}\n"
    )
    assert short.model_dump() == long.model_dump()


def test_defaults() -> None:
    """A mapping of three lines is one: the source wins, nothing is deleted."""
    mapping = parse_mapping(HEAD)
    assert (mapping.conflicts.strategy, mapping.deletes.mode) == ("source", "ignore")
    assert (mapping.batch_size, mapping.dead_letters.limit) == (60_000, 1000)
    assert mapping.conflicts.guard == Share(0.2)


@pytest.mark.parametrize(
    ("rest", "detect"),
    [
        ("", "none"),
        ("deletes: ignore", "none"),
        ("deletes: mirror", "ledger"),
        ("deletes: {mode: soft, column: gone}", "ledger"),
        ("deletes: mirror\nexclusive: true", "none"),
        ("conflicts: merge", "ledger"),
        ("fields: {a: b}\nconflicts: {fields: {a: manual}}", "ledger"),
        ("fields: {a: b}\nconflicts: {fields: {a: source}}", "none"),
        ("conflicts: {strategy: target, detect: none}", "none"),
        ("conflicts: {detect: ledger}", "ledger"),
        ("fields: {t: u}\nconflicts: {detect: timestamp, clock: t}", "timestamp"),
    ],
)
def test_a_ledger_is_kept_where_something_depends_on_it(rest: str, detect: str) -> None:
    """Strategies other than `source`, and deletes in a table that is not all ours, need to know who
    moved.
    """
    assert parse_mapping(HEAD + rest).detect == detect


def test_all_problems_come_at_once_with_line_and_path() -> None:
    """Structure, types, expressions and names are judged in one reading."""
    text = HEAD.replace("table: public.users", "table: public.users, creat: true") + (
        "fields:\n"
        "  n: 5\n"
        "  d: 2020-01-01\n"
        "  flag: true\n"
        "  nothing: null\n"
        "  e: {sql: sum(x), defalt: 3}\n"
        "  g: {from: b, sql: 1}\n"
        "  h: {from: b, type: strin}\n"
        "  k: now()\n"
        "deletes: {mode: soft, guard: 5}\n"
        "schedule: 61 * * * *\n"
        "sorce: 1\n"
    )
    assert problems(text) == [
        "customers.yaml:2: unknown key `creat`; did you mean `create`? (@ $.target.creat)",
        "customers.yaml:5: `5` is a constant, not an expression: write {value: 5} (@ $.fields.n)",
        "customers.yaml:6: `2020-01-01` is a constant, not an expression: write {value: 2020-01-01}"
        " (@ $.fields.d)",
        "customers.yaml:7: `true` is a constant, not an expression: write {value: true} (@ $.fields.flag)",
        "customers.yaml:8: `null` is a constant, not an expression: write {value: null} (@ $.fields.nothing)",
        "customers.yaml:9: unknown key `defalt`; did you mean `default`? (@ $.fields.e.defalt)",
        "customers.yaml:9: sum() works over many records: an expression sees one (@ $.fields.e.sql)",
        "customers.yaml:10: a field takes exactly one of `sql`, `from`, `value`, `lookup`, `python`;"
        " it has `sql` and `from` (@ $.fields.g)",
        "customers.yaml:11: unknown type 'strin': one of bigint, bool, bytes, date, decimal, double, integer,"
        " json, real, smallint, text, time, timestamp, timestamptz, uuid (@ $.fields.h.type)",
        "customers.yaml:12: now() is not consistent: it may give another value each time (@ $.fields.k)",
        "customers.yaml:13: 5 is not a share: write a percentage, such as 5% (@ $.deletes.guard)",
        "customers.yaml:14: '61' is not a minute of a schedule: 0 to 59 (@ $.schedule)",
        "customers.yaml:15: unknown key `sorce`; did you mean `source`? (@ $.sorce)",
    ]


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("fields: {user_id: a}", "already written by `key.user_id`"),
        ("fields: {a: x, A: y}", "already written by `fields.a`"),
        ("fields: {a: x, a.b: y}", "lies inside `a`"),
        ("fields: {a: {from: b, else: c}}", "`else` goes with `values`"),
        ("fields: {a: {lookup: r, match: b, take: c}}", "there is no lookup `r`"),
        (
            "fields: {a: {lookup: r, match: b, take: c}}\n"
            "lookups: {r: {connection: crm, table: t, key: [x, y]}}",
            "the key of `r` has 2",
        ),
        ("conflicts: latest", "the strategy `latest` needs `clock`"),
        ("conflicts: {detect: timestamp}", "needs `clock`"),
        ("conflicts: {clock: t}", "`t` is none of the mapping's fields"),
        ("conflicts: {fields: {user_id: target}}", "part of the key"),
        ("fields: {amount: x}\nconflicts: {together: [[amont]]}", "did you mean `amount`?"),
        (
            "fields: {a: x, b: y}\nconflicts: {fields: {a: target}, together: [[a, b]]}",
            "need one strategy",
        ),
        ("fields: {a: x}\nconflicts: {together: [[a], [a]]}", "already in a group"),
        ("fields: {g: x}\ndeletes: {mode: soft, column: g}", "can't be mapped as well"),
        ("deletes: {mode: mirror, column: g}", "`column` goes with `mode: soft`"),
        ("delta: {by: timestamp}", "needs `cursor`"),
        ("after: [customers]", "can't run after itself"),
        ("batch_size: 0", "greater than or equal to 1"),
        ("conflicts: Merge", "not the name of a strategy"),
        ("owners: [bob]", "not an owner"),
        ("max_lag: 15", "not a duration"),
        ("dead_letters: {limit: -1}", "not a limit"),
        ("checks: {parity: -1}", "greater than or equal to 0"),
        ("checks: {conflicts: {every_run: true}}", "unknown key `every_run`"),
        ("checks: {freshness: {blocking: true}}", "no `max_lag` for it to be older than"),
        ("where: count(*) > 1", "many records"),
    ],
)
def test_what_contradicts_itself_is_refused(rest: str, said: str) -> None:
    """A mapping that can't be meant so is told before any database is asked."""
    assert any(said in problem for problem in problems(HEAD + rest)), problems(HEAD + rest)


@pytest.mark.parametrize("place", ["{connection: a}", "{connection: a, table: b, collection: c}"])
def test_a_place_is_a_table_or_a_collection(place: str) -> None:
    """One of the two, and not both."""
    text = f"source: {place}\ntarget: {{connection: b, table: c}}\nkey: {{a: a}}\n"
    assert any("either `table` or `collection`" in problem for problem in problems(text))


@pytest.mark.parametrize("text", ["", "- a", "text"])
def test_a_file_that_is_no_mapping_is_told_so(text: str) -> None:
    """A list, a text or nothing at all is one clear problem."""
    assert problems(text)[0].startswith("customers.yaml:1: a mapping is written as keys and values")


def test_the_name_is_the_stem_of_the_file(tmp_path: Path) -> None:
    """Lower case, digits and underscores; dots, dashes and `.yml` are refused."""
    good = tmp_path / "order_lines2.yaml"
    good.write_text(HEAD, encoding="utf-8")
    assert load_mapping(good).name == "order_lines2"
    for bad in ("order-lines.yaml", "a.b.yaml", "Orders.yaml", "orders.yml"):
        path = tmp_path / bad
        path.write_text(HEAD, encoding="utf-8")
        with pytest.raises(MappingErrors, match="the file's name"):
            load_mapping(path)


def test_a_directory_gives_its_mappings_and_the_problems_of_the_others(tmp_path: Path) -> None:
    """One bad file does not hide the good ones."""
    (tmp_path / "a.yaml").write_text(HEAD, encoding="utf-8")
    (tmp_path / "b.yaml").write_text("x: 1\n", encoding="utf-8")
    (tmp_path / "c.yaml").write_text(HEAD, encoding="utf-8")
    (tmp_path / ".hidden.yaml").write_text("x: 1\n", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    mappings, found = load_mappings(tmp_path)
    assert [mapping.name for mapping in mappings] == ["a", "c"]
    assert found
    assert all("b.yaml:" in problem.where for problem in found)
    assert load_mappings(tmp_path / "missing") == ([], [])


def test_a_folded_text_is_read_as_yaml_folds_it() -> None:
    """`>-` joins its lines by a space, and puts nothing else in."""
    text = (
        "source: {connection: a, table: t}\ntarget: {connection: b, table: t}\nkey: {id: id}\n"
        "fields:\n  size: >-\n    case when a > 1 then 'big'\n    else 'small' end\n"
    )
    rule = parse_mapping(text, "folded").fields["size"]
    assert rule.sql == "case when a > 1 then 'big' else 'small' end"
