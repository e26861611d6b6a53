"""The command line: what people type and scripts call; it imports nothing heavy before its use."""

from __future__ import annotations


def main() -> None:
    """Run `syncline`; the process ends with the command's exit code."""
    import gc

    from syncline.postpone import postpone

    # What is imported stays: to look through it for garbage again and again while it is being
    # imported was a tenth of a short command.
    gc.set_threshold(100_000, 50, 100)
    postpone()
    from syncline.cli.app import app

    app(prog_name="syncline")
