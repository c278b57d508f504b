"""What an optional package is missing for is said with the line that installs it."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import plica
from plica.augmentation.rules import draw_air_and_dense
from plica.augmentation.segmenting import Training, build_network
from plica.augmentation.transform import for_monai, for_torchio
from plica.bulk import crew
from plica.errors import MissingExtra
from plica.evaluation.bootstrap import bootstrap_mean
from plica.evaluation.casebook import write_parquet
from plica.evaluation.controls import DENOISERS, denoise_slices
from plica.evaluation.drawing import import_matplotlib
from plica.evaluation.fields import blur
from plica.evaluation.mixed import regress
from plica.evaluation.results import Results
from plica.evaluation.wilcoxon import signed_rank
from plica.formats.store_index import no_rows
from plica.grid import Grid
from plica.image import Image, Unit
from plica.metrics.surfaces import surface_distances
from plica.networks.borrowed import borrow
from plica.networks.probes import build_probe
from plica.tables import read_table
from plica.training.engine import Engine
from plica.training.logs import Logs
from plica.training.stored import Form

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "plica"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# What the core brings, by the names it is imported by.
CORE = {
    "PIL", "gdcm", "huggingface_hub", "nibabel", "numpy", "openjpeg", "plica", "pydantic",
    "pydicom", "rich", "safetensors", "torch", "typer",
}  # fmt: skip
DISTRIBUTIONS = {"skimage": "scikit-image"}


# -- where optional packages are imported --------------------------------------------------------


def is_for_checkers(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def called(node):
    """The last word of what is called."""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def walk(node):
    """All nodes but those that are for type checkers alone."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not is_for_checkers(child):
            yield from walk(child)


def find_imports():
    """Every file and optional package; "*" where what is imported is a variable's."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        for node in walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            elif isinstance(node, ast.Call) and called(node) in {"import_module", "find_spec"}:
                given = node.args[0]
                modules = [given.value if isinstance(given, ast.Constant) else "*"]
            for module in modules:
                package = module.partition(".")[0]
                if module.startswith("torch.utils.tensorboard"):
                    package = "tensorboard"
                if package not in CORE and package not in sys.stdlib_module_names:
                    yield name, package


def find_refusals():
    """Every package and extra that a `MissingExtra` names in the code."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and called(node) == "MissingExtra":
                words = [a.value if isinstance(a, ast.Constant) else None for a in node.args]
                if words[1] and words[2]:
                    yield words[1], words[2]


# -- the doors -----------------------------------------------------------------------------------

RAMP = np.arange(10.0)
NAMES = list("abcdefghij")
CUBE = np.zeros((4, 4, 4), bool)
CUBE[1:3, 1:3, 1:3] = True


def picture(unit=Unit.DISPLAY):
    pixels = np.arange(64, dtype=np.int16).reshape(1, 8, 8, 1)
    return Image(pixels, Grid.from_spacing((8, 8, 1), (1.0, 1.0, 1.0)), unit)


def read_empty(folder, name, start=b""):
    path = folder / name
    path.write_bytes(start + bytes(512))
    return plica.read(path)


def read_parquet(folder):
    path = folder / "images.parquet"
    path.write_bytes(b"PAR1")
    return read_table(path, ("path",))


def read_twelve_bits():
    from pydicom.data import get_testdata_file

    return plica.read(get_testdata_file("JPEG-lossy.dcm"))


def remake(image):
    return image


# What a user does where the package is needed, by the file that imports it.
DOORS = {
    ("augmentation/monai_transform.py", "monai"): lambda _: for_monai("x", reconstruct=remake),
    ("augmentation/rules.py", "scipy"): lambda _: draw_air_and_dense(picture(Unit.HU)),
    ("augmentation/segmenting.py", "monai"): lambda _: build_network(Training(classes=2)),
    ("augmentation/torchio_transform.py", "torchio"): lambda _: for_torchio(reconstruct=remake),
    ("bulk/crew.py", "ray"): lambda _: crew._import_ray(),
    ("codecs/jpegxl.py", "imagecodecs"): lambda _: plica.load("jpegxl").encode(picture()),
    ("evaluation/bootstrap.py", "scipy"): lambda _: bootstrap_mean(RAMP, np.ones(10)),
    ("evaluation/casebook.py", "pyarrow"): lambda _: write_parquet(object.__new__(Results)),
    ("evaluation/drawing.py", "matplotlib"): lambda _: import_matplotlib(),
    ("evaluation/fields.py", "scipy"): lambda _: blur(CUBE.astype(float), (1.0, 1.0, 1.0)),
    ("evaluation/fields.py", "skimage"): lambda _: denoise_slices(
        next(iter(DENOISERS)), np.zeros((8, 8, 1)), 2, 0.1
    ),
    ("evaluation/mixed.py", "statsmodels"): lambda _: regress(
        RAMP, RAMP[::-1] ** 2, [*"aabbccddee"], method="mixed"
    ),
    ("evaluation/wilcoxon.py", "scipy"): lambda _: signed_rank(RAMP, NAMES),
    ("formats/dicom_pixels.py", "imagecodecs"): lambda _: read_twelve_bits(),
    ("formats/minc.py", "h5py"): lambda folder: read_empty(folder, "x.mnc", b"\x89HDF\r\n\x1a\n"),
    ("formats/minc.py", "scipy"): lambda folder: read_empty(folder, "x.mnc", b"CDF\x01"),
    ("formats/store_index.py", "pyarrow"): lambda _: no_rows(()),
    ("image.py", "SimpleITK"): lambda _: picture().to_sitk(),
    ("image.py", "monai"): lambda _: picture().to_monai(),
    ("image.py", "torchio"): lambda _: picture().to_torchio(),
    ("metrics/surfaces.py", "scipy"): lambda _: surface_distances(CUBE, CUBE, (1.0, 1.0, 1.0)),
    ("networks/borrowed.py", "diffusers"): lambda _: borrow("AutoencoderKL"),
    ("networks/probes.py", "monai"): lambda _: build_probe("seresnet-152"),
    ("networks/probes.py", "timm"): lambda _: build_probe("hrnet-w64"),
    ("tables.py", "pyarrow"): read_parquet,
    ("training/engine.py", "accelerate"): lambda _: Engine("cpu"),
    ("training/logs.py", "tensorboard"): lambda folder: Logs(folder, (), step=0, evaluated=0),
    ("training/stored.py", "monai"): lambda _: Form(container="monai"),
    ("training/stored.py", "torchio"): lambda _: Form(container="torchio"),
}
# Where what is imported is a variable's, and why nothing is missing.
WITHOUT = {
    "registry.py": "imports rooms of ours",
    "codecs/bitstream.py": "imports rooms of ours, which say themselves what they lack",
    "codecs/pretrained.py": "asks whether a package brings weights, and looks elsewhere",
    "cli/commands.py": "imports commands of ours",
    "cli/needing.py": "asks whether a package is here before a command begins, and names its extra",
    "codecs/presence.py": "asks whether a codec's package is here, and says so",
    "cli/samples.py": "asks which packages bring images, and says so of the others",
}


def test_every_import_of_an_optional_package_has_a_door_that_is_tried():
    # plica.testing is a suite of pytest's: pytest imports it, or its command says what it needs.
    found = {one for one in find_imports() if not one[0].startswith("testing/")}
    plain = {(name, package) for name, package in found if package != "*"}
    by_name = {name for name, package in found if package == "*"}
    tried = {name for name, _ in DOORS}

    assert plain <= set(DOORS)
    assert by_name <= tried | set(WITHOUT)
    assert {name for name, _ in found} == tried | set(WITHOUT)


@pytest.mark.parametrize(("name", "package"), DOORS, ids=[f"{n}-{p}" for n, p in DOORS])
def test_a_missing_package_is_answered_with_its_extra(name, package, monkeypatch, tmp_path):
    for module in {package, *(m for m in sys.modules if m.partition(".")[0] == package)}:
        monkeypatch.setitem(sys.modules, module, None)
    for module in ("torch.utils.tensorboard.writer", "torch.utils.tensorboard"):
        if package == "tensorboard":
            monkeypatch.delitem(sys.modules, module, raising=False)
    for module in ("monai_transform", "torchio_transform"):
        monkeypatch.delitem(sys.modules, f"plica.augmentation.{module}", raising=False)

    with pytest.raises(MissingExtra) as caught:
        DOORS[name, package](tmp_path)

    said = re.fullmatch(
        r".+ needs the package '(.+)', which is not installed; run: pip install 'plica\[(.+)\]'",
        str(caught.value),
    )
    assert said
    assert said[1] == DISTRIBUTIONS.get(package, package)
    assert said[1] in packages_of(said[2])


def packages_of(extra):
    lines = PROJECT["optional-dependencies"][extra]
    return {re.match(r"[\w.-]+", line)[0] for line in lines}


def test_every_extra_that_the_code_names_brings_the_package_it_says():
    found = set(find_refusals())

    assert len(found) > 8
    assert {pair for pair in found if pair[0] not in packages_of(pair[1])} == set()


def test_the_core_that_the_code_imports_is_what_the_project_says():
    bring = {re.match(r"[\w.-]+", line)[0] for line in PROJECT["dependencies"]}
    ours = {"PIL": "pillow", "gdcm": "python-gdcm", "openjpeg": "pylibjpeg"}

    assert {ours.get(name, name) for name in CORE - {"plica"}} <= bring
