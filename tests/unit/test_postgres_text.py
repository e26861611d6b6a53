"""PostgreSQL's URLs and quoted text, held against libpq and psycopg, which write them too."""

from __future__ import annotations

from math import inf, nan

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from syncline.endpoints.postgres_sql import ident, literal
from syncline.endpoints.postgres_url import conninfo, parsed
from syncline.errors import InputError

_PART = st.text(st.sampled_from("aZ0é_-.~%25/:@?&=, '\\\"#+"), max_size=8)


@given(st.builds(lambda *parts: "".join(parts), *[_PART] * 3), st.sampled_from(["", "ql"]))
@example("", "ql")
@example("h1:1,h2:2/db?target_session_attrs=any", "ql")
@example("u%40x:p%2Fq@[::1]:5/d%20b?sslmode=require", "ql")
@example("/db?host=/run/x&port=6", "ql")
@example("%2Frun%2Fx/db", "")
@example("u@/db", "ql")
@example("h/db?ssl=true", "ql")
@example("h:/db", "ql")
@example("h/%zz", "ql")
@example("u:p@h?dbname=z", "ql")
@example("a:b:c@h/a/b", "ql")
@example("a@b@h/d#e", "ql")
@example("h/d?connect_timeout=", "ql")
@example("[::1/d", "ql")
@example("h,,:3/d", "ql")
def test_a_url_says_what_libpq_reads_in_it(rest: str, ending: str) -> None:
    """The same settings, or none for what is no URL; only a parameter's name is not looked at."""
    url = f"postgres{ending}://{rest}"
    try:
        expected = conninfo_to_dict(url)
    except (psycopg.ProgrammingError, UnicodeDecodeError) as refusal:
        if "invalid URI query parameter" not in str(refusal):
            with pytest.raises(InputError):
                parsed(url)
        return
    found = parsed(url)
    assert {name: value for name, value in found.items() if value} == {
        name: value for name, value in expected.items() if value
    }


@pytest.mark.parametrize("url", ["mysql://h/d", "host=a dbname=b", "", "postgresql:/h"])
def test_another_url_is_refused_and_not_repeated(url: str) -> None:
    """It may hold a password."""
    with pytest.raises(InputError) as refusal:
        parsed(url)
    assert url == "" or url not in str(refusal.value)


@given(st.dictionaries(st.sampled_from(["user", "password", "dbname", "host"]), _PART))
def test_libpq_reads_back_what_it_is_given(settings: dict[str, str]) -> None:
    """Spaces, quotes and backslashes among it."""
    assert conninfo_to_dict(conninfo(settings)) == settings


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8")), st.lists(st.text()))
@example("it's a \\ 'quote'", ['a"b', "c"])
def test_names_and_texts_are_quoted_as_psycopg_quotes_them(text: str, names: list[str]) -> None:
    """Quotes doubled; a backslash only in a text that says that it may hold one."""
    assert literal(text) == sql.Literal(text).as_string(None)
    if names:
        assert ident(*names) == sql.Identifier(*names).as_string(None)


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.none()))
def test_numbers_are_written_as_psycopg_writes_them(value: float | None) -> None:
    """A negative one keeps its distance from an operator before it."""
    assert literal(value) == sql.Literal(value).as_string(None)


def test_what_has_no_literal() -> None:
    """A NUL ends a statement; infinities and not-a-number are texts that are cast."""
    with pytest.raises(InputError):
        literal("a\0b")
    assert literal(inf) == "'inf'::float8"
    assert literal(nan) == "'nan'::float8"
