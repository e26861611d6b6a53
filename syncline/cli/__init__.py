"""The command line: what people type and scripts call; it imports nothing heavy before its use."""

from __future__ import annotations


def main() -> None:
    """Run `syncline`; the process ends with the command's exit code."""
    import gc
    import os

    from syncline.postpone import postpone

    # What is imported stays: to look through it for garbage again and again while it is being
    # imported was a tenth of a short command.
    gc.set_threshold(100_000, 50, 100)
    # Arrow's own allocator keeps what a batch needed for the next: 40 MB of a run's peak, for
    # nothing that could be measured.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    postpone()
    from syncline.cli.app import app

    try:
        app(prog_name="syncline")
    except SystemExit as end:
        _leave(end.code)
        raise


def _leave(code: object) -> None:
    """End the process at once, where nothing is left to wait for.

    Python would first take everything apart, object by object: 0.3 s of a short command. What was
    opened is closed by now, and what others have asked to be called at the end is called here.
    """
    import atexit
    import os
    import sys
    import threading

    # A daemon, such as the one that watches for silent servers, is waited for by nobody.
    waited_for = [each for each in threading.enumerate() if not each.daemon]
    if not isinstance(code, int | None) or len(waited_for) > 1:
        return
    atexit._run_exitfuncs()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - there is no public name
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # whoever read it is gone: Python says so its own way
        return
    os._exit(code or 0)
