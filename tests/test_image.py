"""An image keeps its values, its place and its maker's wishes, also in other libraries."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from plica.errors import InputError, MissingExtra, UnusablePixels
from plica.grid import Grid
from plica.image import Display, Image, Provenance, Unit, fingerprint_pixels

TURN = np.array([[0.0, -1.2, 0.0], [0.9, 0.0, 0.0], [0.0, 0.0, -2.5]])
GRIDS = {
    "plain": Grid.from_spacing((5, 6, 7), (0.7, 0.8, 3.0), origin_mm=(-10, 20, 30)),
    "turned": Grid((5, 6, 7), np.block([[TURN, np.array([[5.0], [-7], [11]])], [0, 0, 0, 1]])),
    "radiograph": Grid((5, 6, 1), np.diag([-0.15, -0.15, 1.0, 1.0])),
}
MARK = (3, 1, 0)


def marked(grid, dtype=np.int16, channels=1):
    pixels = np.zeros((channels, *grid.shape), dtype)
    pixels[(slice(None), *MARK)] = np.arange(1, channels + 1)
    return Image(pixels, grid, Unit.HU)


def oblique():
    angle = np.deg2rad(20)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([0.7, 0.7, 2.0])
    affine[:3, 3] = (4, -5, 6)
    return Grid((5, 6, 7), affine)


@pytest.fixture(params=[*GRIDS, "oblique"])
def grid(request):
    return oblique() if request.param == "oblique" else GRIDS[request.param]


# -- other libraries -----------------------------------------------------------------------------


def test_simpleitk_finds_a_marked_voxel_at_the_same_place(grid):
    pytest.importorskip("SimpleITK")
    image = marked(grid)

    theirs = image.to_sitk()

    x, y, z = theirs.TransformIndexToPhysicalPoint(MARK)
    assert theirs[MARK] == 1
    assert theirs.GetSize() == grid.shape
    assert (-x, -y, z) == pytest.approx(tuple(grid.to_world(MARK)), abs=1e-6)
    last = tuple(side - 1 for side in grid.shape)
    x, y, z = theirs.TransformIndexToPhysicalPoint(last)
    assert (-x, -y, z) == pytest.approx(tuple(grid.to_world(last)), abs=1e-6)


def test_torchio_finds_a_marked_voxel_at_the_same_place(grid):
    torchio = pytest.importorskip("torchio")
    theirs = marked(grid).to_torchio()

    assert isinstance(theirs, torchio.ScalarImage)
    assert theirs.data[(0, *MARK)] == 1
    assert theirs.affine @ (*MARK, 1) == pytest.approx((*grid.to_world(MARK), 1), abs=1e-6)
    assert theirs.spacing == pytest.approx(grid.spacing_mm, abs=1e-6)
    assert "".join(theirs.orientation) == grid.orientation


def test_monai_finds_a_marked_voxel_at_the_same_place(grid):
    pytest.importorskip("monai")
    theirs = marked(grid).to_monai()

    assert theirs[(0, *MARK)] == 1
    assert np.asarray(theirs.affine) @ (*MARK, 1) == pytest.approx((*grid.to_world(MARK), 1))
    assert np.asarray(theirs.pixdim) == pytest.approx(grid.spacing_mm)


@pytest.mark.parametrize("grid", [GRIDS["plain"], GRIDS["turned"], oblique()])
def test_two_doors_lead_to_the_same_place(grid):
    pytest.importorskip("torchio")
    pytest.importorskip("SimpleITK")
    image = marked(grid)

    ours, theirs = image.to_sitk(), image.to_torchio().as_sitk()

    assert ours.TransformIndexToPhysicalPoint(MARK) == pytest.approx(
        theirs.TransformIndexToPhysicalPoint(MARK), abs=1e-5
    )


@pytest.mark.parametrize(
    "dtype", ["<i2", ">i2", "<u2", ">u2", ">f4", "<f8", "u1", "i1", "<u4", "<i8", "?", "<f2"]
)
def test_every_type_reaches_every_library_with_its_values(dtype):
    for name in ("SimpleITK", "torchio", "monai"):
        pytest.importorskip(name)
    image = marked(GRIDS["plain"], np.dtype(dtype))

    assert image.to_torch()[(0, *MARK)] == 1
    assert image.to_torch().sum() == 1
    assert image.to_monai().sum() == 1
    assert image.to_torchio().data.sum() == 1
    assert image.to_sitk()[MARK] == 1


def test_the_largest_unsigned_values_stay_what_they_are():
    pixels = np.array([0, 65535], np.uint16).reshape(1, 2, 1, 1)
    image = Image(pixels, Grid.from_spacing((2, 1, 1)))

    assert image.to_torch().max() == 65535
    beyond = Image(pixels.astype(np.uint64) << np.uint64(48), image.grid)
    with pytest.raises(UnusablePixels, match="too large"):
        beyond.to_torch()


def test_colour_reaches_other_libraries_channel_by_channel():
    pytest.importorskip("SimpleITK")
    image = marked(GRIDS["radiograph"], np.uint8, channels=3)

    assert image.to_sitk()[MARK] == (1, 2, 3)
    assert image.to_torch()[(slice(None), *MARK)].tolist() == [1, 2, 3]


def test_simpleitk_is_not_given_a_sheared_image():
    pytest.importorskip("SimpleITK")
    affine = np.eye(4)
    affine[1, 2] = 0.3  # a tilted gantry

    with pytest.raises(UnusablePixels, match="perpendicular"):
        marked(Grid((5, 6, 7), affine)).to_sitk()


def test_what_other_libraries_do_to_their_copy_does_not_reach_ours():
    image = marked(GRIDS["plain"])

    image.to_torch().zero_()

    assert image.pixels[(0, *MARK)] == 1


def test_a_missing_library_is_answered_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)

    with pytest.raises(MissingExtra, match=r"pip install 'plica\[interop\]'"):
        marked(GRIDS["plain"]).to_sitk()


def test_importing_an_image_imports_none_of_them():
    code = "import sys, plica.image; print({'torch', 'monai', 'SimpleITK'} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


# -- the noun ------------------------------------------------------------------------------------


def test_pixels_cannot_be_changed_and_the_callers_array_can():
    pixels = np.zeros((1, 5, 6, 7))
    image = Image(pixels, GRIDS["plain"])

    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0, 0, 0, 0] = 1
    pixels[0, 0, 0, 0] = 1


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((5, 6, 7)),
        np.zeros((1, 5, 6, 8)),
        np.zeros((0, 5, 6, 7)),
        np.zeros((1, 5, 6, 7), complex),
        np.full((1, 5, 6, 7), "x"),
    ],
)
def test_pixels_that_are_none_are_refused(pixels):
    with pytest.raises(UnusablePixels):
        Image(pixels, GRIDS["plain"])


def test_an_image_counts_what_is_not_finite():
    pixels = np.array([0.0, np.nan, np.inf, -np.inf]).reshape(1, 4, 1, 1)

    assert Image(pixels, Grid.from_spacing((4, 1, 1))).count_nonfinite() == 3
    assert marked(GRIDS["plain"]).count_nonfinite() == 0


def test_other_pixels_keep_all_the_rest():
    image = Image(np.zeros((1, 5, 6, 7)), GRIDS["plain"], Unit.HU, Provenance(modality="CT"))

    other = image.with_pixels(np.ones((1, 5, 6, 7)), unit=Unit.NORMALISED)

    assert (other.grid, other.provenance) == (image.grid, image.provenance)
    assert (image.unit, other.unit) == (Unit.HU, Unit.NORMALISED)


def test_display_and_provenance_come_back_from_json():
    display = Display(40, 400, "SIGMOID", inverted=True, table=(0.0, 1.0), table_first=-3)
    provenance = Provenance("nifti", "CT", "a", "b", ("n",), ("s",), {"PatientID": "1"})

    assert Display.from_json(json.loads(json.dumps(display.to_json()))) == display
    assert Provenance.from_json(json.loads(json.dumps(provenance.to_json()))) == provenance


@pytest.mark.parametrize(
    "record", [{"unknown": 1}, {"table": 3}, {"notes": 3}, {"center": "x"}, {"function": "CUBIC"}]
)
@pytest.mark.parametrize("noun", [Display, Provenance])
def test_a_record_of_something_else_is_refused(noun, record):
    with pytest.raises(InputError, match="not the record"):
        noun.from_json(record)


def test_steps_are_added_and_identity_is_empty_unless_asked_for():
    provenance = Provenance(steps=("read",)).after("window")

    assert provenance.steps == ("read", "window")
    assert provenance.identity == {}


def test_a_fingerprint_follows_values_shape_and_type_but_not_byte_order():
    values = np.arange(6, dtype="<i2").reshape(1, 1, 2, 3)

    same = fingerprint_pixels(values.astype(">i2"))
    assert same == fingerprint_pixels(values) == fingerprint_pixels(np.asfortranarray(values))
    others = [values + 1, values.reshape(1, 1, 3, 2), values.astype("<i4"), values.view("<u2")]
    assert len({fingerprint_pixels(other) for other in [values, *others]}) == 5


@pytest.mark.parametrize("shape", [(2, 3), (6,), (1, 2, 0, 3)])
def test_arrays_without_four_sides_or_values_have_a_fingerprint_too(shape):
    values = np.arange(np.prod(shape), dtype="<i2").reshape(shape)

    known = hashlib.sha256(f"{shape}i2".encode() + values.tobytes()).hexdigest()
    assert fingerprint_pixels(np.asfortranarray(values)) == f"sha256:{known}"


def test_an_image_says_what_it_is_in_one_line():
    image = marked(GRIDS["plain"])
    assert repr(image) == (
        "Image(1 channel of int16, HU, "
        "Grid(5×6×7 voxels of 0.7×0.8×3 mm, RAS, first at (-10, 20, 30)))"
    )
    assert "pixels" in repr(Grid.from_spacing((5, 6, 1), calibrated=False))
