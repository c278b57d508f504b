"""Surfaces have the areas and distances of the physical world, and of surface-distance."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from plica.errors import MissingExtra
from plica.metrics import surfaces
from plica.metrics.surfaces import surface_distances

SPACINGS = [(1.0, 1.0, 1.0), (0.7, 0.7, 2.5), (3.3, 0.5, 1.2)]
masks = arrays(bool, (5, 6, 4))


@pytest.fixture(scope="module")
def theirs():
    """DeepMind's surface-distance; it names two functions as SciPy no longer does."""
    surface_distance = pytest.importorskip("surface_distance")
    from scipy import ndimage
    from surface_distance import metrics

    class Named:
        correlate = staticmethod(ndimage.correlate)
        distance_transform_edt = staticmethod(ndimage.distance_transform_edt)

    class Modules:
        filters = morphology = Named

    class Numpy:
        Inf = np.inf

        def __getattr__(self, name):
            return getattr(np, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "ndimage", Modules)
        patch.setattr(metrics, "np", Numpy())
        yield surface_distance


def blobs(*shape, seed=0):
    """Two overlapping lumps with rough edges."""
    generator = np.random.default_rng(seed)
    places = np.meshgrid(*[np.linspace(-1, 1, side) for side in shape], indexing="ij")
    radius = sum(place**2 for place in places) + generator.normal(0, 0.08, shape)
    shifted = sum((place - 0.15) ** 2 for place in places) + generator.normal(0, 0.08, shape)
    return radius < 0.4, shifted < 0.35


@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_surface_element_has_the_area_of_the_published_table(spacing):
    tables = pytest.importorskip("surface_distance.lookup_tables")
    expected = tables.create_table_neighbour_code_to_surface_area(spacing)

    ours = surfaces._areas(spacing)

    # Their first bit is our last.
    turned = [int(f"{code:08b}"[::-1], 2) for code in range(256)]
    np.testing.assert_allclose(ours[turned], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.4, 3.0)])
def test_every_contour_element_has_the_length_of_the_published_table(spacing):
    tables = pytest.importorskip("surface_distance.lookup_tables")
    expected = tables.create_table_neighbour_code_to_contour_length(spacing)

    turned = [int(f"{code:04b}"[::-1], 2) for code in range(16)]
    np.testing.assert_allclose(surfaces._lengths(spacing)[turned], expected, rtol=1e-12)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_distances_in_3d_are_those_of_surface_distance(theirs, spacing):
    a, b = blobs(24, 20, 14)
    found = surface_distances(a, b, spacing)
    expected = theirs.compute_surface_distances(a, b, spacing)

    ours = found.mean()[1:]
    assert ours == pytest.approx(theirs.compute_average_surface_distance(expected), rel=1e-9)
    for percent in (50, 95, 100):
        hausdorff = theirs.compute_robust_hausdorff(expected, percent)
        assert found.hausdorff(percent)[0] == pytest.approx(hausdorff, rel=1e-9)
    for tolerance in (0.0, 0.5, 1.0, 2.0):
        dice = theirs.compute_surface_dice_at_tolerance(expected, tolerance)
        overlaps = theirs.compute_surface_overlap_at_tolerance(expected, tolerance)
        assert found.within(tolerance) == pytest.approx((dice, *overlaps), abs=1e-9)


def test_distances_in_2d_are_those_of_surface_distance(theirs):
    a, b = blobs(40, 30)
    found = surface_distances(a[..., None], b[..., None], (0.3, 0.8, 1.0))
    expected = theirs.compute_surface_distances(a, b, (0.3, 0.8))

    assert found.mean()[1:] == pytest.approx(
        theirs.compute_average_surface_distance(expected), rel=1e-9
    )
    assert found.hausdorff(95)[0] == pytest.approx(
        theirs.compute_robust_hausdorff(expected, 95), rel=1e-9
    )
    assert found.within(0.6)[0] == pytest.approx(
        theirs.compute_surface_dice_at_tolerance(expected, 0.6), abs=1e-9
    )


@pytest.mark.filterwarnings("ignore::FutureWarning")  # MONAI's, of its own arguments
def test_surface_dice_is_that_of_monai_and_its_hausdorff_distance_is_a_voxel_away():
    torch = pytest.importorskip("torch")
    surface_dice = pytest.importorskip("monai.metrics.surface_dice")
    hausdorff = pytest.importorskip("monai.metrics.hausdorff_distance")
    a, b = blobs(24, 20, 14)
    spacing = (0.7, 0.7, 2.5)
    tensors = [torch.tensor(mask)[None, None].float() for mask in (b, a)]
    how = {"include_background": True, "spacing": spacing}

    found = surface_distances(a, b, spacing)

    nsd = surface_dice.compute_surface_dice(*tensors, [1.0], use_subvoxels=True, **how).item()
    assert found.within(1.0)[0] == pytest.approx(nsd, abs=1e-6)
    largest = hausdorff.compute_hausdorff_distance(*tensors, **how).item()
    assert found.hausdorff()[0] == pytest.approx(largest, abs=np.linalg.norm(spacing))


@settings(deadline=None, max_examples=25)
@given(a=masks, b=masks)
def test_any_two_masks_are_measured_as_surface_distance_measures_them(theirs, a, b):
    if not (a.any() and b.any()):
        return
    found = surface_distances(a, b, (0.7, 1.1, 2.0))
    expected = theirs.compute_surface_distances(a, b, (0.7, 1.1, 2.0))

    assert found.mean()[1:] == pytest.approx(
        theirs.compute_average_surface_distance(expected), rel=1e-9
    )
    assert found.within(1.0)[0] == pytest.approx(
        theirs.compute_surface_dice_at_tolerance(expected, 1.0), abs=1e-9
    )


@settings(deadline=None, max_examples=25)
@given(a=masks, b=masks)
def test_which_of_the_two_is_the_reference_only_swaps_the_directions(a, b):
    there, back = (surface_distances(*pair, (1.0, 2.0, 3.0)) for pair in ((a, b), (b, a)))

    np.testing.assert_allclose(there.there, back.back)
    np.testing.assert_allclose(there.back_areas, back.there_areas)
    if a.any() or b.any():
        assert there.hausdorff()[0] == back.hausdorff()[0]
        assert there.within(1.5)[0] == pytest.approx(back.within(1.5)[0])


@settings(deadline=None, max_examples=25)
@given(a=masks)
def test_nothing_is_away_from_itself(a):
    if not a.any():
        return
    found = surface_distances(a, a, (1.0, 2.0, 3.0))

    assert found.mean() == (0, 0, 0)
    assert found.hausdorff() == (0, 0, 0)
    assert found.within(0) == (1, 1, 1)


def test_a_plate_that_is_moved_along_the_thick_axis_is_moved_by_millimetres():
    a, b = np.zeros((2, 20, 20, 12), bool)
    a[2:18, 2:18, 3:6] = True
    b[2:18, 2:18, 5:8] = True

    found = surface_distances(a, b, (0.5, 0.5, 4.0))

    assert found.hausdorff()[0] == pytest.approx(8.0)
    # Both faces of the plate are 8 mm away or inside the other one's edge: none is nearer than 0.
    assert found.mean()[0] == pytest.approx(found.mean()[1])


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 1.0, 2.0)])
def test_concentric_spheres_are_apart_by_the_difference_of_their_radii(spacing):
    shape = tuple(int(44 / step) for step in spacing)
    places = np.meshgrid(
        *[(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)],
        indexing="ij",
    )
    r = np.sqrt(sum(place**2 for place in places))

    found = surface_distances(r < 12, r < 18, spacing)

    # Corners on a surface lie up to a voxel to either side of it, and the nearest one counts.
    assert 6 - max(spacing) < found.mean()[0] < 6 + 0.1
    assert found.hausdorff(95)[0] == pytest.approx(6, abs=max(spacing))
    assert found.there_areas.sum() == pytest.approx(4 * np.pi * 12**2, rel=0.2)
    assert found.back_areas.sum() == pytest.approx(4 * np.pi * 18**2, rel=0.2)


def test_a_mask_at_the_edge_of_the_image_has_a_surface_there():
    a = np.ones((6, 5, 4), bool)

    found = surface_distances(a, a, (1.0, 1.0, 1.0))

    assert found.there_areas.sum() > 2 * (4 * 3 + 5 * 3 + 5 * 4)


def test_what_is_not_there_is_infinitely_far_away():
    a, nothing = np.zeros((2, 6, 6, 6), bool)
    a[2:4, 2:4, 2:4] = True

    found = surface_distances(a, nothing, (1.0, 1.0, 1.0))

    assert found.mean() == (np.inf, np.inf, np.inf)
    assert found.hausdorff() == (np.inf, np.inf, np.inf)
    assert found.within(3.0) == (0, 0, 0)


def test_without_scipy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    a = np.ones((3, 3, 3), bool)

    with pytest.raises(MissingExtra, match=r"plica\[eval\]"):
        surface_distances(a, a, (1.0, 1.0, 1.0))
