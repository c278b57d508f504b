"""What is shipped: a wheel and an sdist that hold what they need, no more, and work alone."""

import email
import importlib.metadata as installed
import importlib.util
import json
import re
import runpy
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import plica
from plica.codecs import compact, linear

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "plica"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MOST_BYTES = 70 << 20
PYTHON = [sys.executable, "-I"]


def run(*command, cwd=ROOT, **options):
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def build(kinds, out, cwd=ROOT):
    """By the backend itself: it needs no network, and no environment of its own."""
    pytest.importorskip("hatchling", reason="hatchling comes with the extra 'dev'")
    targets = [word for kind in kinds for word in ("-t", kind)]
    run(*PYTHON, "-m", "hatchling", "build", "-d", out, *targets, cwd=cwd)
    return out


@pytest.fixture(scope="module")
def dist(once):
    return once("dist", lambda out: build(["wheel", "sdist"], out))


@pytest.fixture(scope="module")
def wheel(dist):
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def sdist(dist):
    (path,) = dist.glob("*.tar.gz")
    return path


def names_in(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


# -- what is in them -----------------------------------------------------------------------------


def test_the_wheel_is_small_enough_to_fetch(wheel):
    assert wheel.stat().st_size <= MOST_BYTES


def test_the_wheel_holds_the_package_its_recipes_and_protocols_and_nothing_else(wheel):
    places = {"": PACKAGE, "recipes/": ROOT / "recipes", "protocols/": ROOT / "protocols"}
    ours = {
        f"plica/{prefix}{path.relative_to(folder).as_posix()}"
        for prefix, folder in places.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    facts = f"plica-{plica.__version__}.dist-info/"
    about = {
        facts + name
        for name in (
            "METADATA", "RECORD", "WHEEL", "entry_points.txt",
            "licenses/LICENSE", "licenses/NOTICE",
        )
    }  # fmt: skip

    assert {"plica/py.typed", "plica/evaluation/report.css", "plica/evaluation/report.js"} <= ours
    assert set(names_in(wheel)) == ours | about


def test_the_sdist_holds_what_makes_the_wheel_and_no_tests_or_documentation(sdist):
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]

    assert {name.partition("/")[0] for name in names} == {
        "src", "recipes", "protocols", "README.md", "LICENSE", "NOTICE", "CITATION.cff",
        "CHANGELOG.md",
        "pyproject.toml", "PKG-INFO", ".gitignore",
    }  # fmt: skip


def test_the_sdist_makes_the_same_wheel(wheel, sdist, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = (path for path in tmp_path.iterdir() if path.is_dir())

    (again,) = build(["wheel"], tmp_path / "again", cwd=unpacked).glob("*.whl")

    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        sums = [{i.filename: i.CRC for i in file.infolist()} for file in (one, other)]
    assert sums[0] == sums[1]


# -- what they say of themselves -----------------------------------------------------------------


def read_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        facts = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        return email.message_from_bytes(archive.read(facts))


def test_the_metadata_name_the_version_the_pythons_and_every_extra(wheel):
    facts = read_metadata(wheel)

    assert facts["Name"] == "plica"
    assert facts["Version"] == plica.__version__
    assert facts["Requires-Python"] == ">=3.11"
    assert facts["License-Expression"] == "Apache-2.0"
    assert set(facts.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])


def test_the_wheel_brings_the_command(wheel):
    with zipfile.ZipFile(wheel) as archive:
        facts = next(name for name in archive.namelist() if name.endswith("/entry_points.txt"))

        assert "plica = plica.cli.main:main" in archive.read(facts).decode()


def test_the_readme_renders_on_a_package_index(wheel):
    markdown = pytest.importorskip("readme_renderer.markdown", reason="comes with 'dev'")
    facts = read_metadata(wheel)

    page = markdown.render(facts.get_payload(decode=False), variant="GFM")

    assert facts["Description-Content-Type"] == "text/markdown"
    assert page is not None
    assert "<table>" in page


def test_all_is_every_extra_for_users_that_has_no_condition_of_its_own():
    extras = PROJECT["optional-dependencies"]
    (line,) = extras["all"]
    named = set(re.fullmatch(r"plica\[(.*)\]", line)[1].split(","))

    # nnunetv2 pins packages of its own: who wants it asks for it
    assert named == set(extras) - {"all", "test", "dev", "nnunet"}


def test_the_citation_is_of_this_version_and_has_what_the_format_requires():
    yaml = pytest.importorskip("yaml")
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))

    assert {"cff-version", "message", "title", "authors"} <= set(cff)
    assert cff["cff-version"] == "1.2.0"
    assert cff["type"] in {"software", "dataset"}
    assert cff["version"] == plica.__version__
    assert cff["license"] == PROJECT["license"]
    assert all(set(author) <= {"name", "family-names", "given-names"} for author in cff["authors"])
    for reference in cff["references"]:
        assert {"type", "title", "authors"} <= set(reference)


# -- the wheel with the core alone ---------------------------------------------------------------

ALONE = """
import json, sys
target, hidden, words, names = sys.argv[1], *map(json.loads, sys.argv[2:])
hidden = set(hidden)

class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] in hidden:
            return None
        return self.finder.find_spec(fullname, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
sys.path.insert(0, target)
import plica
assert plica.__file__.startswith(target), plica.__file__
from plica.cli.main import main
for line in words:
    sys.argv = ["plica", *line]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, (line, stop.code)
    print(flush=True)
for name in names:
    print(plica.load(name).card.name, "opens")
assert not hidden & {name.partition(".")[0] for name in sys.modules}
"""


def closure(requirements):
    """Names of all distributions that these bring, as they are installed here."""
    from packaging.requirements import Requirement

    found, ahead = set(), [(Requirement(one), "") for one in requirements]
    while ahead:
        requirement, asked_by = ahead.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": asked_by}):
            continue
        name = normal(requirement.name)
        for extra in requirement.extras or {""}:
            if (name, extra) in found:
                continue
            found.add((name, extra))
            try:
                needs = installed.requires(name) or ()
            except installed.PackageNotFoundError:
                continue
            ahead += [(Requirement(need), wanted) for need in needs for wanted in {extra, ""}]
    return {name for name, _ in found}


def list_hidden():
    """Every module that is installed here and that plica's core does not bring."""
    core = closure(PROJECT["dependencies"])
    modules = {
        module
        for module, owners in installed.packages_distributions().items()
        if not {normal(owner) for owner in owners} & core
    }
    return sorted(modules - {"plica", "_virtualenv", "pip", "_distutils_hack"})


EMBEDDED = sorted(
    path.stem
    for folder in (compact.TRAINED, linear.FITTED)
    for path in folder.glob("*.safetensors")
)


@pytest.fixture(scope="module")
def alone(wheel, tmp_path_factory, uncounted):
    """The folder and the words of a session where nothing but the wheel and the core is there."""
    pytest.importorskip("packaging", reason="comes with the extra 'dev'")
    from pydicom.data import get_testdata_file

    target, folder = (tmp_path_factory.mktemp(name) for name in ("installed", "alone"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    ct = get_testdata_file("CT_small.dcm")
    lines = [
        ["codecs"],
        ["inspect", ct],
        ["encode", ct, "-o", "ct.latent"],
        ["inspect", "ct.latent"],
        ["decode", "ct.latent", "-o", "back.nii.gz"],
        ["train", "--list"],
        ["evaluate", "protocols"],
        ["doctor"],
        ["demo", "--out", "demo"],
    ]
    given = (target, *map(json.dumps, (list_hidden(), lines, EMBEDDED)))
    return folder, run(*PYTHON, "-c", ALONE, *given, cwd=folder, env=uncounted)


def test_no_extra_can_be_seen_from_the_core():
    pytest.importorskip("packaging", reason="comes with the extra 'dev'")
    hidden = list_hidden()
    modules = {
        "scipy", "matplotlib", "skimage", "statsmodels", "timm", "monai", "SimpleITK", "torchio",
        "nilearn", "h5py", "accelerate", "tensorboard", "pyarrow", "ray", "diffusers",
        "imagecodecs", "nnunetv2",
    }  # fmt: skip

    assert {name for name in modules if importlib.util.find_spec(name)} <= set(hidden)
    assert not {"torch", "numpy", "pydicom", "nibabel", "PIL", "typer"} & set(hidden)


def test_the_wheel_encodes_decodes_and_explains_with_the_core_alone(alone):
    folder, said = alone

    import nibabel

    assert nibabel.load(folder / "back.nii.gz").shape[:2] == (128, 128)
    assert "medvae-4x1-3d" in said  # of the codecs
    assert "compact-4x1-2d" in said
    assert "precursor-16x16-2d" in said  # of the recipes
    assert "medvae-table-2" in said  # of the protocols


def test_the_demo_runs_with_the_core_alone(alone):
    folder, said = alone

    assert "ct-slice-512" in said
    assert list((folder / "demo").rglob("*.png"))
    assert "brain-mr-1mm comes inside 'nilearn': pip install 'plica[demo]'" in " ".join(
        said.split()
    )


def test_every_embedded_codec_opens_from_the_wheel(alone):
    _, said = alone

    assert len(EMBEDDED) == 14
    for name in EMBEDDED:
        assert f"{name} opens" in said


# -- what is said of them ------------------------------------------------------------------------


def test_every_extra_for_users_is_tried_in_an_environment_of_its_own():
    run(sys.executable, "ci/packaging.py", "--help")
    said = run(
        sys.executable, "-c",
        "import runpy; print(*runpy.run_path('ci/packaging.py')['read_extras']())",
    )  # fmt: skip

    assert set(said.split()) == set(PROJECT["optional-dependencies"]) - {"test", "dev"}


def load_packaging():
    return runpy.run_path(str(ROOT / "ci" / "packaging.py"))


def test_the_table_of_environments_is_made_of_what_was_kept_of_them():
    packaging = load_packaging()
    kept = packaging["read_kept"](ROOT / "ci" / "tried.jsonl").values()
    outcomes = packaging["arrange"](kept, ("core", *packaging["read_extras"]()))

    table = f"<!-- environments -->\n{packaging['tabulate'](outcomes)}\n<!-- /environments -->"
    assert table in (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
    assert "--keep ci/tried.jsonl --write" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_what_was_kept_of_an_extra_that_is_gone_is_left_out_of_the_table():
    packaging = load_packaging()
    kept = [packaging["Outcome"](python, extra, "2", True, 1)
            for extra in ("eval", "gone", "core") for python in ("3.11", "3.9")]  # fmt: skip

    outcomes = packaging["arrange"](kept, ("core", "eval"))

    assert [(one.extra, one.python) for one in outcomes] == [
        ("core", "3.9"), ("core", "3.11"), ("eval", "3.9"), ("eval", "3.11"),
    ]  # fmt: skip


def test_where_no_python_is_found_the_page_and_what_was_kept_stay(tmp_path, monkeypatch):
    packaging = load_packaging()
    names = packaging["main"].__globals__
    page, keep = tmp_path / "installing.md", tmp_path / "kept.jsonl"
    page.write_text("<!-- environments -->\nas it is\n<!-- /environments -->\n")
    monkeypatch.setitem(names, "PAGE", page)
    monkeypatch.setitem(names, "build", lambda work: work / "plica.whl")
    monkeypatch.setattr(sys, "argv", ["packaging.py", "--pythons", "2.1", "--write",
                                      "--keep", str(keep)])  # fmt: skip

    with pytest.raises(SystemExit, match="nothing was tried"):
        packaging["main"]()
    assert "as it is" in page.read_text()
    assert not keep.exists()


def test_a_page_that_has_lost_its_marks_is_refused_and_not_added_to(tmp_path, monkeypatch):
    packaging = load_packaging()
    page = tmp_path / "installing.md"
    page.write_text("# Installing\n")
    monkeypatch.setitem(packaging["write"].__globals__, "PAGE", page)

    with pytest.raises(SystemExit, match="once each"):
        packaging["write"]([packaging["Outcome"]("3.11", "core", "2", True, 1)])
    assert page.read_text() == "# Installing\n"
