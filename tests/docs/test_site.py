"""The documentation is built into a site without a warning, and its pages show code as code."""

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest
from tests.docs.blocks import ROOT


@pytest.fixture(scope="module")
def site(once):
    if find_spec("zensical") is None:
        pytest.skip("zensical comes with the extra 'dev'")
    return once("site", build) / "site"


def build(folder):
    """As `make site`, into a folder of its own."""
    told = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    assert 'paths = ["src"]' in told
    told = told.replace('paths = ["src"]', f'paths = ["{ROOT / "src"}"]')
    shutil.copytree(ROOT / "docs", folder / "docs")
    (folder / "zensical.toml").write_text(told, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_built_without_a_warning_and_holds_every_page(site):
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]

    for page in pages:
        folder = page.parent if page.name == "index.md" else page.with_suffix("")
        assert (site / folder / "index.html").is_file(), page


def test_examples_of_the_reference_are_shown_as_code(site):
    page = (site / "python" / "index.html").read_text(encoding="utf-8")

    assert re.search(r'class="language-pycon.*?&gt;&gt;&gt;', page)
    assert "<blockquote>\n<blockquote>" not in page
