"""The state of a mapping in the target: read back as it was written, by whatever version."""

from __future__ import annotations

import json

import pytest

from syncline.errors import InputError
from syncline.state import Checkpoint, Document, Unfinished

WHOLE = Document(
    checkpoint=Checkpoint("7", "2026-11-21T12:00:00+00:00", "run", "exact"),
    unfinished=Unfinished("7", "digest", after="3", read=4),
)


def test_a_state_is_read_back_as_it_was_written() -> None:
    """All of it; and the empty text is a new mapping."""
    assert Document.load(WHOLE.dump()) == WHOLE
    assert Document.load("") == Document()


@pytest.mark.parametrize("inside", [None, "checkpoint", "unfinished"])
def test_a_state_of_a_newer_version_is_refused(inside: str | None) -> None:
    """What is not understood would be lost when the state is written again."""
    raw = json.loads(WHOLE.dump())
    (raw if inside is None else raw[inside])["flavour"] = "sweet"
    with pytest.raises(InputError, match="newer syncline: flavour") as refusal:
        Document.load(json.dumps(raw))
    assert "upgrade" in refusal.value.hint


def test_a_state_of_an_older_version_is_understood() -> None:
    """What was not thought of then is as it was then."""
    raw = json.loads(WHOLE.dump())
    for name in ("target_columns", "evolved", "shards", "tally"):
        del raw[name]
    del raw["checkpoint"]["reconciled"]
    assert Document.load(json.dumps(raw)) == WHOLE
