"""The peers: other tools that copy tables between databases, as their documentation says to.

Each reads the view `mapped` of the source, which computes the same six fields in the source itself,
so none pays for mapping; each makes its own target table, with `user_id` as its key. They live in
an environment of their own, made from `requirements/peers.txt` by `make bench`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Final

ENVIRONMENT: Final = Path(__file__).resolve().parents[2] / ".peers"
_HERE: Final = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool: its name, the distribution that carries it, and its commands.

    In `full` and `delta` an argument `{source}` or `{target}` stands for that database's URL,
    `{stream}` and `{table}` for what is read and made there, and `{since}` for the least
    `updated_at` that a delta has to bring. `pairings` names the targets it is run into.
    """

    name: str
    distribution: str
    full: Sequence[str]
    delta: Sequence[str]

    @property
    def table(self) -> str:
        """The target table it makes."""
        return f"by_{self.name}"

    def command(self, *, full: bool, given: Mapping[str, str]) -> list[str]:
        """What to run, with the values that the placeholders stand for."""
        stand_for = {f"{{{name}}}": value for name, value in given.items()}
        return [stand_for.get(part, part) for part in (self.full if full else self.delta)]

    def version(self) -> str:
        """The version that is installed."""
        (found,) = ENVIRONMENT.glob(f"lib/*/site-packages/{self.distribution}-*.dist-info")
        return PathDistribution(found).version


def _sling(mode: str) -> list[str]:
    keys = {"table_keys": {"primary": ["user_id"]}, "column_casing": "source"}
    (binary,) = ENVIRONMENT.glob("lib/*/site-packages/sling_linux_amd64/bin/sling-linux-amd64")
    return [
        *(str(binary), "run", "--mode", mode),
        *("--src-conn", "{source}", "--src-stream", "{stream}"),
        *("--tgt-conn", "{target}", "--tgt-object", "{table}"),
        *("--primary-key", "user_id", "--update-key", "updated_at"),
        *("--tgt-options", json.dumps(keys)),
    ]


def _ingestr(*how: str) -> list[str]:
    return [
        *(str(ENVIRONMENT / "bin" / "ingestr"), "ingest", "--yes", "--progress", "log"),
        *("--source-uri", "{source}", "--source-table", "{stream}"),
        *("--dest-uri", "{target}", "--dest-table", "{table}"),
        *("--primary-key", "user_id", *how),
    ]


def _dlt(mode: str) -> list[str]:
    python = str(ENVIRONMENT / "bin" / "python")
    return [python, str(_HERE / "with_dlt.py"), mode, "{source}", "{target}"]


def installed() -> tuple[Peer, ...]:
    """The peers, where their environment has been made and this machine can run them; else none."""
    try:
        return (
            Peer("sling", "sling_linux_amd64", _sling("full-refresh"), _sling("incremental")),
            Peer(
                "ingestr",
                "ingestr",
                _ingestr("--incremental-strategy", "replace"),
                _ingestr(
                    *("--incremental-strategy", "merge", "--incremental-key", "updated_at"),
                    *("--interval-start", "{since}"),
                ),
            ),
            Peer("dlt", "dlt", _dlt("replace"), _dlt("merge")),
        )
    except ValueError:
        return ()
