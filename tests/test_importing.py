"""The search for garbage rests during imports, and is afterwards what it was."""

import gc
import subprocess
import sys

import pytest

from plica.errors import UnknownName
from plica.importing import no_search_for_garbage
from plica.registry import Registry

LOOKED = "import gc\nstate = gc.isenabled()\n"


@pytest.fixture
def searching():
    """As Python begins, whatever this test run chose."""
    was_on = gc.isenabled()
    gc.enable()
    yield
    (gc.enable if was_on else gc.disable)()


def test_it_rests_within_and_goes_on_after_a_failure(searching):
    def fail():
        with no_search_for_garbage():
            during.append(gc.isenabled())
            raise ImportError

    during = []
    with pytest.raises(ImportError):
        fail()
    assert during == [False]
    assert gc.isenabled()


def test_who_switched_it_off_finds_it_off(searching):
    gc.disable()
    with no_search_for_garbage():
        pass
    assert not gc.isenabled()


def test_within_another_it_rests_to_the_end(searching):
    with no_search_for_garbage():
        with no_search_for_garbage():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_thing_of_a_table_is_imported_so(searching, tmp_path, monkeypatch):
    (tmp_path / "looked_at_import.py").write_text(LOOKED)
    monkeypatch.syspath_prepend(tmp_path)
    assert Registry("look", (("one", "looked_at_import:state"),)).get_thing("one") is False
    assert gc.isenabled()


def test_a_name_that_is_not_there_leaves_it_on(searching):
    with pytest.raises(UnknownName):
        Registry("look", ()).get_thing("one")
    assert gc.isenabled()


def test_what_a_command_leaves_is_not_taken_apart():
    # what is registered last is asked first, and `main` registers after this
    code = (
        "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 0)); "
        "from plica.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"], capture_output=True, text=True, check=True
    )
    version, frozen = done.stdout.splitlines()
    assert version.startswith("plica ")
    assert frozen == "True"
