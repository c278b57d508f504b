"""What every test may ask for."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and golden values; tests that need it are skipped without it."""
    folder = Path(os.environ.get("PLICA_SHARED", ROOT.parent / "shared"))
    if not (folder / "data" / "MANIFEST.csv").is_file():
        pytest.skip(f"no real images at {folder}: set PLICA_SHARED to the folder that has them")
    return folder
