"""A value arrives as it was, or its record is a dead letter: every type of every database, into
every other.

What is refused stands in `tests/golden/fidelity/`, one file a pairing: less must not arrive
unnoticed, nor may more.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncline.plan import plan
from syncline.project import Project
from syncline.store.store import Store
from syncline.sync import RunOptions, RunSummary, run
from tests.fidelity.canonical import canonical, in_floats
from tests.fidelity.cases import CASES, Case
from tests.fidelity.conftest import TABLE, DatabaseOf, Held
from tests.fidelity.hands import HANDS, Hand
from tests.golden.compare import assert_golden

KINDS = ["postgres", "mariadb", "sqlite", "mongo"]
SOME = [("postgres", "mongo"), ("mongo", "mariadb"), ("mariadb", "sqlite"), ("sqlite", "postgres")]
"""Each database once as a source and once as a target."""
Filled = Callable[[str], tuple[Hand, Held]]
VARIANTS = {
    "natural": lambda case: case.name,
    "text": lambda case: f"{{from: {case.name}, type: text}}",
    "narrow": lambda case: f"{{from: {case.name}, type: '{case.narrow}'}}" if case.narrow else None,
    "read": lambda case: case.name,
}
"""How the fields are declared: not at all, each as text, each as a type that holds less; or not at
all while the source is told to read each column as text.
"""


_NUMBERS = {"number", "double", "real"}


def project_of(
    folder: Path, source: tuple[str, str], target: tuple[str, str], **parts: str
) -> None:
    """Write a project with one mapping, named as its target's table."""
    (from_kind, from_url), (to_kind, to_url) = source, target
    (folder / "mappings").mkdir(parents=True)
    (folder / "connections.yaml").write_text(
        "connections:\n  from_here: ${FROM_URL}\n  to_there: ${TO_URL}\n"
    )
    (folder / ".env").write_text(f"FROM_URL={from_url}\nTO_URL={to_url}\n")
    place = "collection" if to_kind == "mongo" else "create: true, table"
    (folder / "mappings" / f"{parts['table']}.yaml").write_text(
        f"source: {{connection: from_here, {'collection' if from_kind == 'mongo' else 'table'}: "
        f"{parts.get('read', TABLE)}{parts.get('types', '')}}}\n"
        f"target: {{connection: to_there, {place}: {parts['table']}}}\n"
        f"key: {{{'_id' if to_kind == 'mongo' else parts.get('key', 'id')}: "
        f"{'_id' if from_kind == 'mongo' else parts.get('key', 'id')}}}\n"
        f"fields:\n{parts['fields']}"
        "delta: {by: none}\ndead_letters: {limit: 100000}\n"
    )


def sync(folder: Path, name: str, **options: Any) -> RunSummary:
    """`syncline run NAME`."""
    return run(Project.find(explicit=folder), name, RunOptions(**options))


def dead(folder: Path, name: str) -> dict[str, str]:
    """The keys of the dead letters, with their errors."""
    with Store.open(Project.find(explicit=folder).store_url) as store:
        letters = store.dead_letters(name, limit=100_000)
    return {str(letter.ledger_key): letter.error for letter in letters}


def changed(
    hands: tuple[Hand, Hand], tables: tuple[str, str], held: Held, lost: Any, variant: str
) -> list[str]:
    """The values that arrived as others, and the records that neither arrived nor are letters."""
    source, target = (hand.rows(table) for hand, table in zip(hands, tables, strict=True))
    found: list[str] = []
    for number, (case, value) in held.items():
        row = target.get(number)
        if str(number) in lost:
            found += [f"{case.name} {value!r}: dead, and written"] if row is not None else []
        elif row is None:
            found.append(f"{case.name} {value!r}: lost")
        else:
            was, now = _forms(case, source[number][case.name], row.get(case.name), hands, variant)
            others = [n for n, v in row.items() if v is not None and n != case.name]
            if was != now or others:
                found.append(f"{case.name} {value!r}: {was} became {now} {others or ''}")
    nothing = target.get(0)
    if nothing is None or any(value is not None for value in nothing.values()):
        found.append(f"the row of NULLs became {nothing}")
    return found


def _forms(
    case: Case, was: Any, now: Any, hands: tuple[Hand, Hand], variant: str
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """What the source held and what the target holds, in their canonical forms."""
    if variant == "narrow" and case.narrow in {"double", "real"}:
        return (
            in_floats(case.family, was, case.narrow),
            in_floats("any", now, case.narrow),
        )
    if variant == "read":  # what is of another family is asked for as its text
        family = case.family if isinstance(was, str | bytes) or case.family in _NUMBERS else "any"
        return canonical(family, was), canonical(family, now)
    documents = (hands[0].kind == "mongo", hands[1].kind == "mongo" and variant == "natural")
    return (
        canonical(case.family, was, document=documents[0]),
        canonical(case.family, now, document=documents[1]),
    )


@pytest.mark.parametrize(
    "variant",
    ["natural", *(pytest.param(v, marks=pytest.mark.slow) for v in ("text", "narrow", "read"))],
)
@pytest.mark.parametrize("target_kind", KINDS)
@pytest.mark.parametrize("source_kind", KINDS)
def test_a_value_arrives_as_it_was_or_its_record_is_a_dead_letter(
    source_kind: str, target_kind: str, variant: str, filled: Filled,
    database_of: DatabaseOf, tmp_path: Path,
) -> None:  # fmt: skip
    """Read back by plain drivers; and a second run finds nothing to write."""
    hand, held = filled(source_kind)
    declare = VARIANTS[variant]
    cases = [case for case in CASES[source_kind] if declare(case)]
    held = {n: (case, value) for n, (case, value) in held.items() if case in cases}
    table = f"{variant}_from_{source_kind}"
    url = database_of(target_kind, "target")
    folder = tmp_path / "project"
    source = (source_kind, database_of(source_kind, "source"))
    fields = "".join(f"  {case.name}: {declare(case)}\n" for case in cases)
    types = f", types: {{{', '.join(f'{case.name}: text' for case in cases)}}}"
    project_of(
        folder, source, (target_kind, url), table=table, fields=fields,
        types=types if variant == "read" else "",
    )  # fmt: skip
    summary = sync(folder, table)
    lost = dead(folder, table)
    found = changed((hand, HANDS[target_kind](url)), (TABLE, table), held, lost, variant)
    assert not found, "\n".join(found)
    again = plan(Project.find(explicit=folder), table)
    moved = [sample for sample in again.samples if sample["effect"] != "insert"]
    assert not moved, moved  # nothing of what was written differs from what would be
    assert summary.dead_letters == len(lost)
    assert again.counts["insert"] + again.counts["dead letter"] == len(lost)
    refused = sorted({_line(held[int(key)]) for key in lost})
    assert_golden(f"fidelity/{variant}/{source_kind}-{target_kind}.txt", "".join(refused))


def _line(held: tuple[Case, Any]) -> str:
    case, value = held
    text = ascii(value)
    return f"{case.native or 'untyped'} {text if len(text) < 90 else text[:80] + '..'}\n"
