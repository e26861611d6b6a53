"""A YAML file is read as plain values with lines, and refused with every reason at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline.errors import InputError, MappingErrors
from syncline.mapping.document import MAX_BYTES, parse_document, path_text, read_document


def problems(text: str) -> list[str]:
    with pytest.raises(MappingErrors) as caught:
        parse_document(text, "x.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_yaml_1_2_has_only_true_and_false_for_booleans() -> None:
    """`on`, `no` and dates stay text; only what YAML 1.2's core says is a number or boolean
    is one.
    """
    text = "{a: on, b: no, c: true, d: 1, e: 1.5, f: 2020-01-01, g: 0x1F, h: ~, i: '1', j: 1e3}"
    assert parse_document(text, "x").data == {
        "a": "on", "b": "no", "c": True, "d": 1, "e": 1.5, "f": "2020-01-01", "g": 31, "h": None,
        "i": "1", "j": 1000.0,
    }  # fmt: skip


def test_keys_stay_the_text_that_was_written() -> None:
    """A key `true` or `1` names a thing; it is never turned into a boolean or a number."""
    assert parse_document("{true: 1, 1: 2, null: 3}", "x").data == {"true": 1, "1": 2, "null": 3}


def test_every_path_knows_its_line() -> None:
    """The line of a key is the line it is written on; an unknown path has that of what is around
    it.
    """
    document = parse_document("a:\n  b: 1\n  c:\n    - x\n    - {d: 2}\n", "x.yaml")
    assert document.where(("a", "b")) == "x.yaml:2"
    assert document.where(("a", "c", 1, "d")) == "x.yaml:5"
    assert document.where(("a", "c", 1, "missing", "deeper")) == "x.yaml:5"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: *x", "x.yaml:1: alias *x: write the value out (@ $.a)"),
        ("a: &x 1", "anchor &x"),
        ("a: !!python/object/apply:os.system [ls]", "tags are not allowed (@ $.a)"),
        ("a: 1\nb: 2\na: 3", "x.yaml:3: `a` is written twice (first on line 1) (@ $.a)"),
        ("a: 1\n---\nb: 2", "a second document"),
        ("a: [1", "not valid YAML"),
        ("? [a]\n: 1", "a key that is not plain text"),
        ("a: " + "[" * 30 + "]" * 30, "nested more than 20 deep"),
    ],
)
def test_f37_what_yaml_offers_beyond_plain_values_is_refused(text: str, said: str) -> None:
    """Tags, anchors, aliases, duplicate keys, further documents and deep nesting are named, with
    line and path.
    """
    assert any(said in problem for problem in problems(text))


def test_several_problems_of_one_file_come_together() -> None:
    """One reading reports them all."""
    found = problems("a: &x 1\nb: !t 2\na: *x\n")
    assert len(found) == 4


def test_an_alias_bomb_costs_nothing() -> None:
    """Aliases are refused, not expanded."""
    bomb = "a: &a [x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
    )
    assert any("alias" in problem for problem in problems(bomb))


def test_a_file_that_is_too_large_or_not_text_is_refused(tmp_path: Path) -> None:
    """Size and encoding are checked before anything is parsed."""
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: 1\n" * (MAX_BYTES // 4))
    with pytest.raises(MappingErrors, match="at most 1,000,000"):
        read_document(path)
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(MappingErrors, match=":2: the file is not UTF-8"):
        read_document(path)
    with pytest.raises(InputError, match="can't be read"):
        read_document(tmp_path / "missing.yaml")


def test_paths_are_shown_so_that_they_can_be_read_back() -> None:
    """A name with a dot is quoted, an index is in brackets."""
    assert path_text(("fields", "address.city", 2, "type")) == '$.fields["address.city"][2].type'
