"""The house is as drawn: imports look down, files are small, names say what they are."""

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import plica

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "plica"
MODULES = sorted(PACKAGE.rglob("*.py"))
PLACES = ("src", "tests", "docs", "benchmarks", "robustness", "examples", "ci")

# NRRD has a kind of axis called "stub", and other libraries raise what we catch.
UNFINISHED = re.compile(
    r"\b(TODO|FIXME|XXX|(?<!\")stubs?|placeholder|dummy|for now|raise NotImplementedError)\b", re.I
)
ONE_MACHINE = re.compile(r"(?<![\w.])/(root|home|work|Users)/\w")
HEAVY = ("torch", "pydicom", "nibabel", "PIL", "monai", "torchio", "SimpleITK", "gdcm",
         "imagecodecs", "huggingface_hub", "typer", "rich")  # fmt: skip


def run(*command, **options):
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False, **options
    )


def name_of(path):
    return path.relative_to(PACKAGE).as_posix()


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def budgets():
    """The script's names; it imports its neighbours as it does when run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        return runpy.run_path(str(ROOT / "docs" / "make_budgets.py"))


@pytest.fixture(scope="module")
def measured(budgets):
    return budgets["measure"]()


# -- imports -------------------------------------------------------------------------------------


def test_imports_only_look_down():
    lint = (
        "import sys; from importlinter.cli import lint_imports; "
        "sys.exit(lint_imports(no_cache=True))"
    )
    done = run("-c", lint)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", ["plica", "plica.metrics.metric", "plica.preparation.step"])
def test_the_front_door_opens_without_heavy_libraries(module):
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    done = run("-c", code)

    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_the_public_names_are_few_sorted_and_there():
    defined = {
        name
        for name, thing in vars(plica).items()
        if not name.startswith("_")
        and not isinstance(thing, ModuleType | bool)
        and getattr(thing, "__module__", "plica").startswith("plica")
    }

    assert plica.__all__ == sorted(plica.__all__)
    assert len(plica.__all__) <= 20
    assert defined <= set(plica.__all__)
    for name in plica.__all__:
        assert getattr(plica, name) is not None


# -- budgets -------------------------------------------------------------------------------------


def test_every_budget_is_kept(measured):
    for budget in measured:
        print(f"{budget.what:55} {budget.found:35} {budget.allowed}")

    assert len(measured) > 15
    assert {one.what: one.offenders or one.found for one in measured if not one.holds} == {}


def test_rings_of_imports_are_found(budgets):
    rings = budgets["find_rings"]({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()})

    assert rings == [["b", "c"]]


def test_the_page_that_measures_the_house_says_what_is_measured(budgets, measured):
    page = ROOT / "docs" / "house.md"
    made = budgets["fill"](page, {"budgets": budgets["tabulate_budgets"](measured)})

    assert page.read_text(encoding="utf-8") == made, "run python docs/make_budgets.py"


def test_a_copied_file_is_found_wherever_its_lines_stand(budgets):
    lines = [(number, f"line {number}") for number in range(1, budgets["SAME"] + 1)]
    moved = [(number + 7, text) for number, text in lines]
    find = budgets["find_repetitions"]

    assert list(find({"a.py": lines, "b.py": lines})) == ["a.py:1 ~ b.py:1"]
    assert list(find({"a.py": lines, "b.py": moved})) == ["a.py:1 ~ b.py:8"]
    assert list(find({"a.py": lines + moved})) == ["a.py:1 ~ a.py:8"]
    assert list(find({"a.py": lines, "b.py": lines[1:]})) == []


# -- words ---------------------------------------------------------------------------------------


def test_every_module_opens_with_a_line_that_says_what_it_is_for():
    firsts = {
        name_of(path): ((ast.get_docstring(parse(path)) or "").splitlines() or [""])[0]
        for path in MODULES
    }

    assert len(firsts) > 300
    assert {name: first for name, first in firsts.items()
            if not (15 <= len(first) <= 100 and first.endswith((".", "?", "!")))} == {}  # fmt: skip


def test_nothing_is_left_unfinished():
    found = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in MODULES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNFINISHED.search(line)
    ]

    assert found == []


def test_no_file_knows_one_machine():
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for place in PLACES
        for path in (ROOT / place).rglob("*")
        if path.suffix in {".py", ".md", ".toml"} and path != Path(__file__).resolve()
        for match in [ONE_MACHINE.search(path.read_text(encoding="utf-8"))]
        if match
    ]

    assert found == []


def test_the_spelling_is_right():
    pytest.importorskip("codespell_lib", reason="codespell comes with the extra 'dev'")

    done = run("-m", "codespell_lib", *PLACES)

    assert done.returncode == 0, done.stdout
