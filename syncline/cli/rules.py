"""`syncline conflicts rules`: decisions that are remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from syncline.cli import show
from syncline.cli.chosen import KindName
from syncline.cli.command import JsonOption, YesOption, note, the_project, the_store
from syncline.cli.conflicts import Id
from syncline.cli.resolve import UserOption, settle_many, told, who
from syncline.errors import InputError

if TYPE_CHECKING:
    from syncline.project import Project
    from syncline.review.whatif import Settles
    from syncline.rule import Rule

Name = Annotated[str, typer.Argument(metavar="NAME", help="The mapping.")]
FieldGiven = Annotated[
    str | None, typer.Option("--field", help="The field; without it the whole record.")
]
WhenGiven = Annotated[
    str, typer.Option("--when", help="The condition, such as `source is empty`; several by `and`.")
]
TakeGiven = Annotated[
    Literal["source", "target"] | None, typer.Option("--take", help="The side that wins.")
]
ValueGiven = Annotated[str | None, typer.Option("--value", help="Or the value that is written.")]
KindGiven = Annotated[KindName | None, typer.Option("--kind", help="For this collision only.")]
NoteGiven = Annotated[str, typer.Option("--note", help="Why; kept beside the rule.")]


def rules_list(name: Name, *, as_json: JsonOption = False) -> None:
    """List the rules of a mapping, and how many open conflicts each would settle."""
    project = the_project()
    rules = _rules(project, name)
    found = _settles(project, name, rules)
    counts = [found.by_rule.get(rule.text, 0) for rule in rules]
    if as_json:
        for number, (rule, settles) in enumerate(zip(rules, counts, strict=True), 1):
            show.line({"number": number, **rule.content, "settles": settles})
        return
    if not rules:
        typer.echo("no rules")
        return
    show.table(
        ("rule", "", "settles", "note"),
        [
            (str(number), rule.text, settles, rule.note)
            for number, (rule, settles) in enumerate(zip(rules, counts, strict=True), 1)
        ],
    )
    typer.echo(f"together they would settle {found.would:,} of {found.of:,} open conflicts")


def _rules(project: Project, name: str) -> tuple[Rule, ...]:
    project.mapping(name)
    return project.rules(name)


def _settles(project: Project, name: str, rules: tuple[Rule, ...]) -> Settles:
    from syncline.review.mask import masks_of
    from syncline.review.whatif import would_settle

    with the_store(project) as store:
        return would_settle(store, name, rules, masks_of(project), user=who(None))


def rules_add(
    name: Name,
    *,
    field: FieldGiven = None,
    when: WhenGiven = "always",
    take: TakeGiven = None,
    value: ValueGiven = None,
    kind: KindGiven = None,
    remark: NoteGiven = "",
    only_preview: Annotated[
        bool, typer.Option("--preview", help="Say what it would settle, and write nothing.")
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Decide by it what waits already, and write that.")
    ] = False,
    yes: YesOption = False,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remember a decision as a rule in rules/NAME.yaml; from now on runs settle by it."""
    from syncline.rulebook import add_rule, rules_path

    project = the_project()
    rule = _secret(project, name, _given(project, name, field, when, take, value, kind, remark))
    rules = _rules(project, name)
    found = _settles(project, name, (*rules, rule))
    before = _settles(project, name, rules).would
    if as_json:
        told_one = {"rule": rule.content, "text": rule.text, "settles": found.would - before}
        show.line(told_one | {"of": found.of, "together": found.would})
    else:
        more = f" (with the other rules {found.would:,})" if before else ""
        typer.echo(f"{rule.text}: would settle {found.would - before:,} of {found.of:,}{more}")
    if only_preview:
        if not as_json:
            told(found.preview, as_json=False)
        return
    path = rules_path(project.root, name)
    add_rule(path, rule)
    _audited(project, name, rule, "added", user)
    note(f"{path}: the rule is written; runs settle by it from now on")
    if apply:
        _apply(project, name, yes=yes, user=user, as_json=as_json)


def _given(
    project: Project, name: str, field: str | None, when: str, take: Any, value: str | None,
    kind: str | None, remark: str,
) -> Rule:  # fmt: skip
    from syncline.conflict import Kind
    from syncline.rule import Rule, check_when

    mapping = project.mapping(name)
    if (take is None) == (value is None):
        message = "a rule takes a side or a value"
        raise InputError(message, hint="--take source, --take target, or --value VALUE")
    if field is not None and field not in mapping.fields:
        message = f"{name} has no field {field!r}"
        raise InputError(message, hint=f"it has {', '.join(mapping.fields)}")
    if field is None and value is not None:
        message = "a rule for the whole record takes a side"
        raise InputError(message, hint="--take source or --take target, or --field FIELD")
    try:
        check_when(when)
    except ValueError as error:
        raise InputError(str(error)) from error
    return Rule(field, when, take, value, Kind(kind) if kind else None, remark)


def _secret(project: Project, name: str, rule: Rule) -> Rule:
    from syncline.review.whatif import shown_rule

    return shown_rule(rule, project.mapping(name).masked)


def _audited(
    project: Project, name: str, rule: Rule, what: Literal["added", "removed"], user: str | None
) -> None:
    from syncline.review.mask import masks_of
    from syncline.review.whatif import told_rule

    with the_store(project) as store:
        store.audit([told_rule(name, rule, what, who(user), masks_of(project)(name))])


def rules_remove(
    name: Name,
    number: Annotated[int, typer.Argument(metavar="NUMBER")],
    *,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget a rule; what it settled stays as it is."""
    from syncline.rulebook import remove_rule, rules_path

    project = the_project()
    project.mapping(name)
    rule = _secret(project, name, remove_rule(rules_path(project.root, name), number))
    _audited(project, name, rule, "removed", user)
    text = rule.text
    if as_json:
        show.line({"removed": text})
    else:
        typer.echo(f"forgotten: {text}")


def rules_suggest(entry_id: Id, *, as_json: JsonOption = False) -> None:
    """Show the rules that a decision could become, and what each would settle."""
    from syncline.review.mask import masks_of
    from syncline.review.whatif import suggested

    project = the_project()
    with the_store(project) as store:
        entry = store.conflict(entry_id)
    found = suggested(entry, masks_of(project)(entry.mapping))
    if not found and not as_json:
        typer.echo(f"conflict {entry_id} has no decision that could become a rule")
        return
    already = project.rules(entry.mapping)
    rows: list[tuple[Any, ...]] = []
    for rule in found:
        settles = _settles(project, entry.mapping, (*already, rule))
        if as_json:
            show.line({**rule.content, "settles": settles.would, "of": settles.of})
        rows.append(
            (rule.text, f"{settles.would:,} of {settles.of:,}", _command(entry.mapping, rule))
        )
    if not as_json:
        show.table(("rule", "would settle", "to remember it"), rows)
        if len(entry.contested) > 1:
            fields = " and ".join(sorted(entry.contested))
            note(f"a record is settled once each contested field has a rule: here {fields}")


def _command(name: str, rule: Rule) -> str:
    parts = [f"syncline conflicts rules add {name}"]
    if rule.field is not None:
        parts.append(f"--field {rule.field}")
    if rule.kind is not None:
        parts.append(f"--kind {rule.kind.value}")
    if rule.when != "always":
        parts.append(f"--when '{rule.when}'")
    parts.append(f"--take {rule.take}" if rule.take else f"--value '{rule.value}'")
    return " ".join(parts)


def rules_apply(
    name: Name,
    *,
    only_preview: Annotated[
        bool, typer.Option("--preview", help="Say what would be written, and write nothing.")
    ] = False,
    yes: YesOption = False,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide what waits by the rules, and write that."""
    project = the_project()
    _apply(project, name, yes=yes, user=user, as_json=as_json, only_preview=only_preview)


def _apply(
    project: Project, name: str, *, yes: bool, user: str | None, as_json: bool,
    only_preview: bool = False,
) -> None:  # fmt: skip
    from syncline.review.whatif import by_rules
    from syncline.store import Filter

    make = by_rules(_rules(project, name), user=who(user))
    wanted = Filter(mapping=name)
    settle_many(
        project, wanted, make, "Decide", yes=yes, only_preview=only_preview, as_json=as_json
    )
