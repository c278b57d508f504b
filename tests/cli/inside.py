"""plica as a user types it, in the process of the tests: seconds less than one of its own."""

import contextlib
import io
import signal
import subprocess
import sys

import pytest

from plica.cli.main import main


def plica(*words: object) -> subprocess.CompletedProcess[str]:
    """What it says, and the code it ends with; whatever it lets through ends the test."""
    out, err = io.StringIO(), io.StringIO()
    line = ["plica", *map(str, words)]
    answered = signal.getsignal(signal.SIGTERM)
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "argv", line)
        patch.setenv("COLUMNS", "120")
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code
        finally:
            signal.signal(signal.SIGTERM, answered)
    return subprocess.CompletedProcess(line, code, out.getvalue(), err.getvalue())
