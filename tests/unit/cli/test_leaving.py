"""The end of the process: at once, with all that was said and the right code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
LAST = "import atexit; atexit.register(print, 'the last word')\n"
SAYS = "import sys; from syncline.cli import main; sys.argv[1:] = {words!r}; main()"


def say(*words: str, cwd: Path, first: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, through a pipe."""
    return subprocess.run(
        [sys.executable, "-c", first + SAYS.format(words=list(words))],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


def test_what_was_said_arrives_and_what_asked_to_be_last_is(tmp_path: Path) -> None:
    """A pipe is buffered, and functions registered for the exit (a server's stop) still run."""
    done = say("--version", cwd=tmp_path, first=LAST)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].startswith("syncline ")
    assert done.stdout.splitlines()[-1] == "the last word"


def test_the_exit_code_of_an_error_is_the_process_s(tmp_path: Path) -> None:
    """2: there is no project here."""
    done = say("status", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_a_reader_that_left_is_no_fault_of_ours(tmp_path: Path) -> None:
    """As with `syncline .. | head`: no traceback."""
    program = SAYS.format(words=["--help"])
    done = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "$0" | true', program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert "Traceback" not in done.stderr


def test_a_thread_at_work_is_waited_for(tmp_path: Path) -> None:
    """What somebody began beside the command is not cut off."""
    begun = (
        "import threading\n"
        "main = threading.main_thread()\n"
        "threading.Thread(target=lambda: (main.join(), print('done', flush=True))).start()\n"
    )
    assert say("--version", cwd=tmp_path, first=begun).stdout.splitlines()[-1] == "done"


def test_a_thread_that_nobody_waits_for_does_not_keep_the_process(tmp_path: Path) -> None:
    """A daemon, such as what watches for silent servers: the heap is not taken apart for it."""
    begun = (
        "import sys, threading\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "class Kept:\n"
        "    def __del__(self): sys.stdout.write('taken apart')\n"
        "kept = Kept()\n"
    )
    assert "taken apart" not in say("--version", cwd=tmp_path, first=begun).stdout
