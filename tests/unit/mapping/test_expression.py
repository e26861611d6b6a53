"""An expression sees one source record; what could see more, or differ each time, is refused."""

from __future__ import annotations

import pytest

from syncline.mapping.expression import ExpressionError, parse_expression


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("concat_ws(' ', first_name, last_name)", {("first_name",), ("last_name",)}),
        ("coalesce(nullif(a, ''), b)", {("a",), ("b",)}),
        ('"Odd ""name" || x', {('Odd "name',), ("x",)}),
        ("address.city", {("address", "city")}),
        ("doc ->> '$.a' || (doc -> 'b')::text", {("doc",)}),
        ("case when a > 1 then b else try_cast(c as decimal(14,2)) end", {("a",), ("b",), ("c",)}),
        ("list_transform(tags, lambda x: x || suffix)", {("tags",), ("suffix",)}),
        ("split_part(a, ',', 1) in ('x', 'y') and b between 1 and 2", {("a",), ("b",)}),
        ("{'k': a, 'l': [b]}", {("a",), ("b",)}),
        ("date_trunc('day', t) + interval 1 day", {("t",)}),
        ("a -- a comment does not swallow the rest", {("a",)}),
        ("lower(a collate nocase)", {("a",)}),
        ("age(a, b)", {("a",), ("b",)}),
    ],
)
def test_an_expression_knows_the_columns_it_refers_to(
    text: str, names: set[tuple[str, ...]]
) -> None:
    """References are found wherever they stand; a lambda's own parameter is none."""
    assert set(parse_expression(text).names) == names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sum(a)", "many records"),
        ("count(*)", "many records"),
        ("row_number() over ()", "window"),
        ("sum(a) over (order by b)", "window"),
        ("(select 1)", "subquery"),
        ("a in (select b)", "subquery"),
        ("exists (select 1)", "subquery"),
        ("unnest(a)", "several records"),
        ("*", "name the columns"),
        ("columns('a.*')", "name the columns"),
        ("$1", "a parameter"),
        ("#1", "by number"),
        ("now()", "not consistent"),
        ("random()", "not consistent"),
        ("uuid()", "not consistent"),
        ("nextval('s')", "not consistent"),
        ("current_setting('TimeZone')", "not consistent"),
        ("getvariable('x')", "not consistent"),
        ("age(a)", "depends on the clock"),
        ("ago(interval 1 day)", "current_timestamp"),
        ("hash(a)", "versions of DuckDB"),
        ("assert_true(a)", "not consistent"),
        ("string_agg(distinct a)", "many records"),
        ("lower(a order by b)", "many records"),
        ("a.upper()", "write upper(a, ..)"),
        ("pg_catalog.now()", "write now("),
        ("cast(a as other.type)", "not DuckDB's own"),
        ("lowr(a)", "did you mean lower()?"),
        ("grouping(a)", "not allowed"),
        ("a; drop table x", "not an expression"),
        ("a) from t where (b", "not one expression"),
        ("1); select (2", "not one expression"),
        ("a) order by (b", "not one expression"),
        ("a as b", "not an expression"),
        ("", "empty"),
        ("-- nothing", "empty"),
        ("'unfinished", "not an expression"),
    ],
)
def test_what_is_no_expression_over_one_record_is_refused(text: str, said: str) -> None:
    """Each is named for what it is."""
    with pytest.raises(ExpressionError, match=f"(?s).*{_escaped(said)}"):
        parse_expression(text)


def _escaped(text: str) -> str:
    import re

    return re.escape(text)


@pytest.mark.parametrize(
    "text",
    [
        "read_csv('/etc/passwd')",
        "read_text('/etc/passwd')",
        "read_blob('x')",
        "read_parquet('https://example.com/x')",
        "getenv('HOME')",
        "glob('/*')",
        "(from 'file.csv')",
        "query('select 1')",
        "json_serialize_sql('select 1')",
    ],
)
def test_f38_an_expression_reaches_no_file_address_or_environment(text: str) -> None:
    """Whatever reads something beside the record is refused by name, before the locked-down DuckDB
    would.
    """
    with pytest.raises(ExpressionError):
        parse_expression(text)


def test_a_rendered_expression_names_each_column_of_the_record() -> None:
    """References become columns of `s`, quoted where they must be; nothing else can be meant."""
    expression = parse_expression("Address.City || x || list_transform(l, lambda x: x + k)[1]")
    rendered = expression.render(
        {("Address", "City"): "address.city", ("x",): 'we"ird', ("l",): "l", ("k",): "select"}
    )
    assert 's."address.city"' in rendered
    assert 's."we""ird"' in rendered
    assert '(x + s."select")' in rendered


def test_how_an_expression_is_spaced_does_not_change_what_it_renders_to() -> None:
    """Digests are made of the rendered text, so that laying out a file anew moves nothing."""
    names = {("a",): "a"}
    assert parse_expression("LOWER( a )").render(names) == parse_expression("lower(a)").render(
        names
    )


def test_conjuncts_that_compare_a_column_with_a_whole_number_can_be_pushed() -> None:
    """Either way round; never a text, a fraction, or a part of an OR."""
    expression = parse_expression(
        "a <> 9 and (5 > b and c = -1) and d > 1.5 and e = 'x' and (f = 1 or g = 2)"
    )
    found = [conjunct.comparison() for conjunct in expression.conjuncts()]
    assert found == [(("a",), "<>", 9), (("b",), "<", 5), (("c",), "=", -1), None, None, None]


@pytest.mark.parametrize("name", ["at", "order", "user", "select", "address.at", "current_date"])
def test_a_lone_name_is_a_column_even_where_it_is_a_word_of_sql(name: str) -> None:
    """Tables have columns called `order` and `at`; who writes only that means the column."""
    assert parse_expression(name).bare == tuple(name.split("."))
