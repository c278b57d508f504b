import numpy as np
import pytest
from tests.evaluation.conftest import RAS, TURNED, mark

from plica.errors import SettingsError
from plica.evaluation.planes import PLANES, choose_position, choose_views
from plica.grid import Grid
from plica.image import Image, Provenance, Unit

LEFT_FRONT_TOP = (-12.0, 9.0, 18.0)  # world millimetres: to the patient's left, front and head


def find_mark(image, view):
    """Where the marked voxels lie in a view: 0 … 1 from its left, and from its top."""
    along = np.argwhere(view.cut(image.pixels.max(axis=1 + view.normal, keepdims=True))[0] > 0)
    rows, columns = view.shape
    down, across = (along + 0.5).mean(axis=0) / (rows, columns)
    return across, down


@pytest.mark.parametrize("grid", TURNED, ids=lambda grid: grid.orientation)
def test_a_mark_at_the_patients_left_front_and_head_is_where_radiologists_expect_it(grid):
    image = mark(grid, LEFT_FRONT_TOP)
    flat = {}
    for view in choose_views(image, PLANES):
        # Looked at through the whole volume, whichever slice the view would have cut.
        through = view.__class__(**{**vars(view), "position": 0})
        flat[view.plane] = find_mark(image, through)

    across, down = flat["axial"]
    assert across == pytest.approx(0.75, abs=0.03)  # left of the patient: right of the picture
    assert down == pytest.approx((15.5 - 9 + 0.5) / 32, abs=0.03)  # front: top
    across, down = flat["coronal"]
    assert across == pytest.approx(0.75, abs=0.03)
    assert down == pytest.approx(0.2, abs=0.03)  # head: top
    across, down = flat["sagittal"]
    assert across == pytest.approx((15.5 - 9 + 0.5) / 32, abs=0.03)  # front: left of the picture
    assert down == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("grid", TURNED, ids=lambda grid: grid.orientation)
def test_every_way_round_gives_the_same_pictures(grid):
    wave = np.random.default_rng(3).normal(size=(1, *RAS.shape))
    axes = dict(enumerate(grid.orientation))
    order = [next(n for n, pair in enumerate(("RL", "AP", "SI")) if axes[a] in pair) for a in axes]
    turned = wave[0].transpose(order)
    for axis, letter in axes.items():
        if letter in "LPI":
            turned = np.flip(turned, axis)

    here = choose_views(Image(wave, RAS), PLANES)
    there = choose_views(Image(turned[None], grid), PLANES)

    for one, other in zip(here, there, strict=True):
        middle = {"position": one.position}
        if one.flipped != other.flipped or one.across != other.across:
            letter = grid.orientation[other.normal]
            side = grid.shape[other.normal]
            middle = {"position": one.position if letter in "RAS" else side - 1 - one.position}
        elif grid.orientation[other.normal] in "LPI":
            middle = {"position": grid.shape[other.normal] - 1 - one.position}
        same = other.__class__(**{**vars(other), **middle})
        assert np.array_equal(one.cut(wave), same.cut(turned[None]))
        assert one.letters == other.letters
        assert one.size_mm == other.size_mm


def test_the_letters_name_the_edges():
    views = choose_views(Image(np.zeros((1, *RAS.shape)), RAS), PLANES)

    letters = {view.plane: "".join(view.letters) for view in views}
    assert letters == {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}


def test_the_indices_of_a_view_are_the_voxels_it_shows():
    for grid in TURNED[::7]:
        image = Image(np.random.default_rng(5).normal(size=(1, *grid.shape)), grid)
        for view in choose_views(image, PLANES):
            i, j, k = np.moveaxis(np.rint(view.indices(*view.shape)).astype(int), -1, 0)
            assert np.array_equal(image.pixels[:, i, j, k], view.cut(image.pixels))


def test_a_radiograph_lies_as_it_was_stored_and_has_no_letters():
    pixels = np.arange(12.0).reshape(1, 4, 3, 1)
    grid = Grid((4, 3, 1), np.diag([-0.1, -0.1, 1, 1]))
    (view,) = choose_views(Image(pixels, grid, provenance=Provenance(modality="DX")), PLANES)

    assert np.array_equal(view.cut(pixels)[0], pixels[0, :, :, 0].T)
    assert view.letters == ()


def test_a_single_slice_of_ct_lies_as_a_radiologist_looks_at_it():
    grid = Grid((4, 5, 1), np.diag([0.5, 0.5, 2.0, 1.0]))  # i to the right, j to the front
    pixels = np.zeros((1, 4, 5, 1))
    pixels[0, 3, 4] = 1  # the patient's right, front
    (view,) = choose_views(Image(pixels, grid, Unit.HU), PLANES)

    assert view.plane == "axial"
    assert np.argwhere(view.cut(pixels)[0]).tolist() == [[0, 0]]


def test_a_coronal_slice_is_known_as_such():
    affine = np.array([[0.5, 0, 0, 0], [0, 0, 3, 0], [0, 0.5, 0, 0], [0, 0, 0, 1]])
    (view,) = choose_views(Image(np.zeros((1, 4, 5, 1)), Grid((4, 5, 1), affine), Unit.HU), PLANES)

    assert view.plane == "coronal"


def test_a_view_is_called_by_its_plane_and_by_its_slice_where_there_are_several():
    flat = Image(np.zeros((1, 4, 5, 1)), Grid.from_spacing((4, 5, 1)), Unit.HU)
    deep = Image(np.ones((1, 4, 5, 6)), Grid.from_spacing((4, 5, 6)), Unit.HU)

    assert [choose_views(image, ("axial",))[0].label for image in (flat, deep)] == [
        "axial", "axial k = 3",
    ]  # fmt: skip


def test_planes_one_voxel_thin_are_left_out():
    grid = Grid.from_spacing((20, 1, 30))
    views = choose_views(Image(np.zeros((1, 20, 1, 30)), grid), PLANES)

    assert [view.plane for view in views] == ["coronal"]


def test_an_empty_middle_is_passed_over():
    pixels = np.zeros((1, 8, 8, 9))
    pixels[0, 2:5, 2:6, 7] = 1
    image = Image(pixels, Grid.from_spacing((8, 8, 9)))

    assert choose_position(image, 2) == 7
    assert choose_position(Image(np.ones((1, 8, 8, 9)), image.grid), 2) == 4


@pytest.mark.parametrize("planes", [(), ("axial", "frontal")])
def test_unknown_planes_are_refused(planes):
    with pytest.raises(SettingsError, match="axial, coronal, sagittal"):
        choose_views(Image(np.zeros((1, *RAS.shape)), RAS), planes)
