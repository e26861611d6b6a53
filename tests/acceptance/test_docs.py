"""The code blocks of the documentation, run as a reader would type them.

`sh` blocks of a page run one after the other in one directory; a `yaml` block with a title is
written to that file; a `text` block is what the `sh` block before it must have printed: its lines,
in that order, spaces aside, `…` for anything.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from syncline.demo.load import load
from tests.conftest import NewDatabase

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

CHECKOUT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    title: str
    text: str


def blocks(page: str, section: str = "") -> Iterator[Block]:
    """The blocks of a page, or of the section with this heading."""
    text = (CHECKOUT / page).read_text()
    if section:
        text = text.partition(f"## {section}\n")[2].partition("\n## ")[0]
        assert text, f"{page} has no section {section}"
    for language, title, content in BLOCK.findall(text):
        yield Block(language, title, content)


class Reader:
    """Somebody who types what a page says."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.printed = ""
        programs = Path(sys.executable).parent
        left_out = ("SYNCLINE_", "PYTHONDONTWRITEBYTECODE")
        kept = {n: v for n, v in os.environ.items() if not n.startswith(left_out)}
        self.environment = kept | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(CHECKOUT),
            # A page is two dozen commands: each would compile every import anew.
            "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "syncline-docs-bytecode"),
        }

    def follow(self, block: Block) -> None:
        """Do what a block says."""
        match block.language:
            case "sh":
                self.type(block.text)
            case "yaml" if block.title:
                (self.directory / block.title).write_text(block.text)
            case "text":
                self.compare(block.text)
            case _:
                pass

    def type(self, script: str) -> None:
        """Run a block; where it changes the directory, the next one runs there."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{script}\nprintf '\\n%s' \"$PWD\""],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        self.printed, _, where = done.stdout.rpartition("\n")
        self.directory = Path(where)

    def compare(self, expected: str) -> None:
        """Every line that the page shows was printed, in that order."""
        printed = iter([" ".join(line.split()) for line in self.printed.splitlines()])
        for line in filter(None, map(_normal, expected.splitlines())):
            pattern = re.compile(".*".join(map(re.escape, line.split("…"))))
            assert any(pattern.fullmatch(one) for one in printed), (
                f"not printed, or not in this order: {line}\n\n{self.printed}"
            )


def _normal(line: str) -> str:
    return " ".join(line.split())


def test_the_tutorial_works_as_written(tmp_path: Path) -> None:
    """From `syncline init` to a settled conflict, between two SQLite files."""
    reader = Reader(tmp_path)
    found = list(blocks("docs/tutorial/first-sync.md"))
    assert sum(block.language == "sh" for block in found) > 8
    for block in found:
        reader.follow(block)
    reader.type("syncline conflicts list")
    assert "no conflicts" in reader.printed


def test_the_readme_syncs_two_databases_of_ones_own(tmp_path: Path, postgres_url: str) -> None:
    """What the README says to type, with PostgreSQL as the source and a new table as the target."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute(b"""
            CREATE TABLE customers (
                id bigint PRIMARY KEY, first_name text, last_name text, email text,
                is_active boolean NOT NULL, balance numeric(12, 2), updated_at timestamptz
            );
            INSERT INTO customers
            VALUES (1, 'Ada', 'Lovelace', ' ADA@example.org', true, 12.5, now());
        """)
    reader = Reader(tmp_path)
    reader.environment |= {
        "HOME": str(tmp_path),
        "EDITOR": _editor(tmp_path, {"SOURCE_URL": postgres_url, "TARGET_URL": postgres_url}),
    }
    for block in blocks("README.md", "Sync your own two databases"):
        if block.language == "sh":
            # A database of this machine speaks no TLS, which `verify`, the default, would refuse.
            reader.type(block.text.replace("$EDITOR .env", "$EDITOR .env && $EDITOR tls"))
        else:
            reader.follow(block)
    reader.type("syncline run --all")
    with psycopg.connect(postgres_url) as connection:
        users = connection.execute(b"SELECT * FROM users").fetchall()
    assert [user[:4] for user in users] == [(1, "Ada Lovelace", "ada@example.org", "active")]


def test_a_year_of_flights_is_backfilled_as_the_page_says(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    """Every command of docs/how-to/backfill.md, between two PostgreSQL databases."""
    ops, copy = new_database("postgres"), new_database("postgres")
    load(ops)
    (tmp_path / "mappings").mkdir()
    (tmp_path / "connections.yaml").write_text("connections: {ops: '${OPS}', copy: '${COPY}'}\n")
    (tmp_path / ".env").write_text(f"OPS={ops}\nCOPY={copy}\n")
    reader = Reader(tmp_path)
    for block in blocks("docs/how-to/backfill.md"):
        reader.follow(block)
    with psycopg.connect(copy) as connection:
        assert connection.execute(b"SELECT count(*) FROM flights").fetchone() == (336_776,)


def _editor(directory: Path, variables: dict[str, str]) -> str:
    """A program that fills in a `.env`, as its reader would with an editor."""
    script = directory / "edit"
    lines = "\n".join(f"{name}={url}" for name, url in variables.items())
    script.write_text(
        "#!/bin/sh\n"
        f"if [ \"$1\" = .env ]; then cat > .env <<'EOF'\n{lines}\nEOF\n"
        "else sed -i 's/^  \\(source\\|target\\): \\(.*\\)$/  \\1: {url: \"\\2\", tls: off}/' "
        "connections.yaml; fi\n"
    )
    script.chmod(0o755)
    return str(script)


@pytest.mark.parametrize(
    "page", sorted(str(path.relative_to(CHECKOUT)) for path in CHECKOUT.glob("docs/**/*.md"))
)
def test_links_of_the_documentation_lead_somewhere(page: str) -> None:
    """A page that links to a file links to one that is there."""
    assert not list(_broken(CHECKOUT / page))


def test_links_of_the_readme_lead_somewhere() -> None:
    """The README's links and pictures are files of the checkout."""
    assert not list(_broken(CHECKOUT / "README.md"))


def _broken(page: Path) -> Iterator[str]:
    for link in LINK.findall(page.read_text()):
        if "://" not in link and not (page.parent / link).exists():
            yield link


def test_every_page_is_in_the_index() -> None:
    """docs/index.md lists every page, so that none is written and never found."""
    index = CHECKOUT / "docs" / "index.md"
    linked = {(index.parent / link).resolve() for link in LINK.findall(index.read_text())}
    pages = {path.resolve() for path in index.parent.glob("**/*.md")} - {index.resolve()}
    assert pages <= linked, sorted(str(page) for page in pages - linked)
