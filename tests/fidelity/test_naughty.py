"""The big list of naughty strings, as values, as keys, and as names within documents."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from tests.fidelity.cases import Case
from tests.fidelity.conftest import DatabaseOf
from tests.fidelity.hands import HANDS
from tests.fidelity.spelling import SPELLINGS
from tests.fidelity.test_fidelity import KINDS, SOME, changed, dead, project_of, sync

LIST = Path(__file__).parent / "naughty" / "blns.json"
NAUGHTY: list[str] = sorted(set(json.loads(LIST.read_text(encoding="utf-8"))))


def test_the_list_is_whole() -> None:
    """As it was published: nothing fell out on the way here."""
    assert len(NAUGHTY) == 511
    assert {"", "undefined", "1;DROP TABLE users", "NULL", "\u202btest\u202b"} <= set(NAUGHTY)


@pytest.mark.parametrize("target_kind", KINDS)
@pytest.mark.parametrize("source_kind", KINDS)
def test_f34_naughty_strings_arrive(
    source_kind: str, target_kind: str, database_of: DatabaseOf, tmp_path: Path
) -> None:
    """As text and as the names of a document, each by itself; none is refused."""
    spelled = SPELLINGS[source_kind]
    documents = (
        [{text: text} for text in NAUGHTY]
        if source_kind == "mongo"
        else [spelled["json"][1](json.dumps({text: text})) for text in NAUGHTY]
    )
    cases = [
        Case("text_", spelled["text"][0], "text", [spelled["text"][1](t) for t in NAUGHTY]),
        Case("document", spelled["json"][0], "json", documents),
    ]
    urls = database_of(source_kind, "source"), database_of(target_kind, "target")
    hands = HANDS[source_kind](urls[0]), HANDS[target_kind](urls[1])
    tables = f"naughty_for_{target_kind}", f"naughty_of_{source_kind}"
    held = hands[0].fill(tables[0], cases)
    fields = "  text_: text_\n  document: document\n"
    sides = (source_kind, urls[0]), (target_kind, urls[1])
    project_of(tmp_path / "project", *sides, read=tables[0], table=tables[1], fields=fields)
    sync(tmp_path / "project", tables[1])
    lost = dead(tmp_path / "project", tables[1])
    found = changed(hands, tables, held, lost, "natural")
    assert not found, "\n".join(found)
    assert not lost


SHORT = [text for text in NAUGHTY if len(text.encode()) <= 255]
"""What a key that we make in MariaDB has room for."""


@pytest.mark.parametrize(
    "kinds",
    [
        *SOME,
        *(
            pytest.param(kinds, marks=pytest.mark.slow)
            for kinds in itertools.product(KINDS, KINDS)
            if kinds not in SOME
        ),
    ],
    ids="-".join,
)
def test_f34_naughty_strings_are_keys(
    kinds: tuple[str, str], database_of: DatabaseOf, tmp_path: Path
) -> None:
    """Each finds its own record, in small pages, and again in the next run."""
    source_kind, target_kind = kinds
    urls = database_of(source_kind, "source"), database_of(target_kind, "target")
    hands = HANDS[source_kind](urls[0]), HANDS[target_kind](urls[1])
    tables = f"keys_for_{target_kind}", f"keys_of_{source_kind}"
    hands[0].put_keys(tables[0], SHORT)
    sides = (source_kind, urls[0]), (target_kind, urls[1])
    parts = {"read": tables[0], "table": tables[1], "key": "k", "fields": "  n: n\n"}
    project_of(tmp_path / "project", *sides, **parts)
    first = sync(tmp_path / "project", tables[1], batch_size=100)
    assert (first.inserted, first.dead_letters) == (len(SHORT), 0)
    assert hands[1].keys(tables[1]) == {key: n for n, key in enumerate(SHORT)}
    again = sync(tmp_path / "project", tables[1], batch_size=100)
    assert (again.inserted, again.updated, again.unchanged) == (0, 0, len(SHORT))
