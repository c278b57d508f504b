"""The house is as drawn: imports look down, files are small, names say what they are."""

import ast
import re
import statistics
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import plica

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "plica"
MODULES = sorted(PACKAGE.rglob("*.py"))
PLACES = [place for place in ("src", "tests", "docs", "benchmarks") if (ROOT / place).is_dir()]

MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION, MOST_ARGUMENTS = 500, 60, 7
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "core", "manager"}
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


def find_functions():
    """Every function of the package: where, lines without docstring, arguments.

    A command's signature is its options with their help, and is not counted.
    """
    for path in MODULES:
        for node in ast.walk(parse(path)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            first = node.body[0]
            doc = first if ast.get_docstring(node, clean=False) is not None else None
            begun = first if name_of(path).startswith("cli/") else node
            lines = node.end_lineno - begun.lineno + 1
            lines -= doc.end_lineno - doc.lineno + 1 if doc else 0
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            named = [argument.arg for argument in given if argument.arg not in {"self", "cls"}]
            yield f"{name_of(path)}:{node.lineno} {node.name}", lines, len(named)


FUNCTIONS = list(find_functions())


def describe(numbers):
    tenth = statistics.quantiles(numbers, n=10)[-1] if len(numbers) > 1 else numbers[0]
    return f"median {statistics.median(numbers):4.0f}   p90 {tenth:4.0f}   most {max(numbers):4d}"


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


# -- sizes ---------------------------------------------------------------------------------------


def test_files_are_small():
    sizes = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    print(f"\nlines of a file       {describe(list(sizes.values()))}")

    assert {name: n for name, n in sizes.items() if n > MOST_LINES_OF_A_FILE} == {}


def test_functions_are_small():
    print(f"\nlines of a function   {describe([lines for _, lines, _ in FUNCTIONS])}")

    assert [f"{where}: {n}" for where, n, _ in FUNCTIONS if n > MOST_LINES_OF_A_FUNCTION] == []
    assert statistics.median(lines for _, lines, _ in FUNCTIONS) <= 10


def test_functions_take_few_arguments():
    # A command's arguments are its options: each is a flag somebody may want. So are those of the
    # one door for images, all of them by name.
    doors = ("cli/", "formats/doors.py")
    ours = [(where, n) for where, _, n in FUNCTIONS if not where.startswith(doors)]
    print(f"\narguments             {describe([n for _, n in ours])}")

    assert [f"{where}: {n}" for where, n in ours if n > MOST_ARGUMENTS] == []


def test_rooms_are_two_deep():
    assert [name_of(path) for path in MODULES if len(path.relative_to(PACKAGE).parts) > 2] == []


# -- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_opens_with_a_line_that_says_what_it_is_for(path):
    doc = ast.get_docstring(parse(path))

    assert doc, "no docstring"
    first = doc.splitlines()[0]
    assert 15 <= len(first) <= 100
    assert first.endswith((".", "?", "!"))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_is_left_unfinished(path):
    found = [
        f"{number}: {line.strip()}"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNFINISHED.search(line)
    ]

    assert found == []


def test_no_file_has_a_name_that_says_nothing():
    names = {name_of(path): {*Path(name_of(path)).with_suffix("").parts} for path in MODULES}

    assert {name: parts for name, parts in names.items() if parts & FORBIDDEN_NAMES} == {}


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


def test_the_drawn_tree_is_the_tree():
    if not (ROOT / "ARCHITECTURE.md").is_file():
        pytest.skip("there is no ARCHITECTURE.md here")

    done = run("docs/make_tree.py", "--check")

    assert done.returncode == 0, done.stdout + done.stderr
