"""The command line: what people type and scripts call; it imports nothing heavy before its use."""

from __future__ import annotations


def main() -> None:
    """Run `syncline`; the process ends with the command's exit code."""
    from syncline.cli.app import app

    app(prog_name="syncline")
