"""What every test may ask for."""

import gc
import os
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from tests.typechecked import check_types

check_types()
gc.disable()  # until all is imported and collected: a fifth of that went into looking for cycles

ROOT = Path(__file__).resolve().parent.parent
BESIDE_CPU = Path(__file__).resolve().parent / "torchvision_beside_cpu"

COMPILED = f"plica/compiled-{sys.implementation.cache_tag}"

# For this process and those that tests start: what imports torchvision works beside the CPU torch.
if str(BESIDE_CPU) not in os.environ.get("PYTHONPATH", "").split(os.pathsep):
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(BESIDE_CPU), os.environ.get("PYTHONPATH", "")))
    )
# Ray's processes give way to all others, and here others never rest.
os.environ.setdefault("RAY_worker_niceness", "0")
KEPT = runpy.run_path(str(BESIDE_CPU / "sitecustomize.py"))  # schemas end with what holds them


@pytest.fixture(scope="session", autouse=True)
def sketches() -> tuple[int, int]:
    """Hundreds of charts are drawn coarse, and with letters as drawings: no font is cut for each.

    It takes a third of the time; `as_shipped` undoes it.
    """
    from plica.evaluation import drawing

    shipped = drawing.STYLE["pdf.fonttype"], drawing.DPI
    drawing.STYLE["pdf.fonttype"], drawing.DPI = 3, 60
    return shipped


@pytest.fixture
def as_shipped(sketches, monkeypatch) -> None:
    """Charts as plica makes them."""
    from plica.evaluation import drawing

    monkeypatch.setitem(drawing.STYLE, "pdf.fonttype", sketches[0])
    monkeypatch.setattr(drawing, "DPI", sketches[1])


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """On a fresh checkout one worker imports and compiles everything; the others wait to find it.

    They would do the same beside it, module by module.
    """
    cache = session.config.cache
    if "PYTEST_XDIST_WORKER" in os.environ and not cache.get(COMPILED, False):
        with FileLock(cache.mkdir("plica") / "compiling.lock"):
            if not cache.get(COMPILED, False):
                collected = yield
                cache.set(COMPILED, True)
                return collected
    return (yield)


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: a tenth of the time went into looking."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """What is left goes with the process; to take it apart first costs each worker seconds."""
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and golden values; tests that need it are skipped without it."""
    folder = Path(os.environ.get("PLICA_SHARED", ROOT.parent / "shared"))
    if not (folder / "data" / "MANIFEST.csv").is_file():
        pytest.skip(f"no real images at {folder}: set PLICA_SHARED to the folder that has them")
    return folder


@pytest.fixture(scope="session")
def uncounted() -> dict[str, str]:
    """The environment of a process whose lines are not counted: the count would be seen in it."""
    return {name: said for name, said in os.environ.items() if not name.startswith("COVERAGE_")}


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Fill a folder once for all workers that test beside each other; the others wait for it."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        folder = base / f"once-{name}"
        with FileLock(f"{folder}.lock"):
            if not folder.with_suffix(".done").exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed at it
                folder.mkdir()
                fill(folder)
                folder.with_suffix(".done").touch()
        return folder

    return make
