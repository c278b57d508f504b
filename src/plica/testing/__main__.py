"""Hold codecs to plica's contract, from wherever plica is installed.

    python -m plica.testing CODEC…

CODEC is a name that `plica codecs` lists, a folder, hub:owner/name, or a recipe (mine.toml), whose
network is then held to it with random weights, before it is trained. It needs pytest.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from plica.codecs.catalogue import find_offer
from plica.errors import PlicaError
from plica.training.recipes import SUFFIX, find_recipe


class Named:
    """A plugin of pytest that hands the codecs' names to the contract, and counts who passes."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.untested = set(names)

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Each test once for each codec."""
        metafunc.parametrize("codec", self.names, indirect=True)

    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        """A codec that passed a test was tested; one whose tests are all skipped was not."""
        if call.when == "call" and call.excinfo is None:
            self.untested.discard(item.callspec.params["codec"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Test what was named; returns pytest's exit code, 2 where nothing could be tested.

    Examples:
        >>> main(["bicubic-4x-2d"])  # runs a whole suite of tests  # doctest: +SKIP
        0
    """
    parser = argparse.ArgumentParser(prog="python -m plica.testing", description=__doc__)
    parser.add_argument("codec", nargs="+", help="a codec's name or folder, or a recipe's file")
    names = parser.parse_args(arguments).codec
    if find_spec("pytest") is None:
        sys.stderr.write("error: the contract needs pytest: pip install pytest\n")
        return 2
    try:
        for name in names:
            if name.endswith(SUFFIX):
                find_recipe(name)
            else:
                find_offer(name)
    except PlicaError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    import pytest

    # The settings of the folder it is called in are of other tests.
    words = ["-q", "-rs", "-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider"]
    named = Named(names)
    code = int(pytest.main([*words, str(Path(__file__).with_name("named.py"))], [named]))
    if code == 0 and named.untested:
        sys.stderr.write(f"error: not tested, as said above: {', '.join(sorted(named.untested))}\n")
        return 2
    return code


if __name__ == "__main__":
    sys.exit(main())
