import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.evaluation.conftest import TURNED, mark

from plica.errors import InputError, OutputError, SettingsError
from plica.evaluation import figures
from plica.evaluation.figures import Focus, panel, write_panel
from plica.grid import Grid
from plica.image import Display, Image, Provenance, Unit

FLAT = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture
def drawn(monkeypatch):
    """What the panel pastes, in order: (left, top, pixels)."""
    pasted = []
    paste = figures.c.Canvas.paste

    def keep(self, left, top, rgb):
        pasted.append((left, top, np.array(rgb)))
        paste(self, left, top, rgb)

    monkeypatch.setattr(figures.c.Canvas, "paste", keep)
    return pasted


def picture(pixels, unit=Unit.DISPLAY, **options):
    pixels = np.asarray(pixels)
    return Image(pixels, Grid(pixels.shape[1:], FLAT, calibrated=False), unit, **options)


def centre_of_light(rgb):
    """Where a picture is bright: 0 … 1 from its left, and from its top."""
    bright = np.argwhere(rgb.astype(int).sum(axis=-1) > 600)
    down, across = (bright + 0.5).mean(axis=0) / rgb.shape[:2]
    return across, down


@pytest.mark.parametrize("grid", TURNED[::5], ids=lambda grid: grid.orientation)
def test_a_mark_lands_at_its_place_of_the_finished_picture(grid, drawn):
    image = mark(grid, (-12.0, 9.0, 1.5))

    page = panel(image, image, focus=Focus(planes=("axial",)), window=(0, 1000))

    left, top, rgb = drawn[0]
    across, down = centre_of_light(rgb)
    assert across == pytest.approx(0.75, abs=0.03)
    assert down == pytest.approx(7 / 32, abs=0.03)
    height, width = rgb.shape[:2]
    assert width / height == pytest.approx(48 / 32, abs=0.02)  # 24 × 2 mm by 32 × 1 mm
    assert np.array_equal(np.asarray(page)[top + 40, left + 100], rgb[40, 100])


def test_a_picture_is_drawn_as_stored(drawn):
    pixels = np.zeros((1, 40, 20, 1), np.uint8)
    pixels[0, 2:6, 14:18] = 255  # near the left, low

    panel(picture(pixels), picture(pixels))

    across, down = centre_of_light(drawn[0][2])
    assert (across, down) == pytest.approx((4 / 40, 16 / 20), abs=0.01)


def test_low_values_are_white_where_the_maker_says_so(drawn):
    pixels = np.zeros((1, 20, 20, 1), np.uint8)

    panel(*[picture(pixels, display=Display(inverted=True))] * 2)

    assert (drawn[0][2] == 255).all()


def test_colour_is_drawn_in_colour(drawn):
    pixels = np.zeros((3, 20, 20, 1), np.uint8)
    pixels[:, :10] = np.array([200, 100, 50])[:, None, None, None]

    panel(picture(pixels), picture(pixels))

    assert drawn[0][2][5, 5].tolist() == [200, 100, 50]
    assert drawn[0][2][5, -5].tolist() == [0, 0, 0]


def test_what_is_too_bright_is_warm_and_what_is_too_dark_is_cold(drawn):
    source = np.full((1, 20, 20, 1), 100, np.uint8)
    decoded = source.copy()
    decoded[0, :10] += 10
    decoded[0, 10:] -= 10

    panel(picture(source), picture(decoded))

    residual = drawn[-2][2].astype(int)
    assert residual[5, 5, 0] > residual[5, 5, 2]
    assert residual[5, -5, 0] < residual[5, -5, 2]


@pytest.fixture
def said(monkeypatch):
    """The captions of the panels that are drawn."""
    captions = []
    compose = figures._compose

    def keep(columns, views, *, heading, caption):
        captions.append(caption)
        return compose(columns, views, heading=heading, caption=caption)

    monkeypatch.setattr(figures, "_compose", keep)
    return captions


def apart(*differences):
    """A source of 100, and images that lie so far above it."""
    source = np.full((1, 20, 20, 1), 100.0)
    return picture(source), *(picture(source + one) for one in differences)


def test_panels_in_one_window_have_one_scale_of_residuals(drawn, said):
    source, near, far = apart(5, 60)

    for decoded in (near, far):
        panel(source, decoded, window=(-160, 240))

    near_drawn, far_drawn = drawn[4][2], drawn[10][2]
    assert near_drawn[5, 5].tolist() == figures.diverge(np.array(0.05)).tolist()
    assert far_drawn[5, 5].tolist() == figures.diverge(np.array(0.60)).tolist()
    assert all("from −100 to 100 display values (a quarter of the window)" in one for one in said)


def test_a_scale_of_residuals_can_be_asked_for(drawn, said):
    source, decoded = apart(60)

    panel(source, decoded, window=(-160, 240), focus=Focus(residual_range=50))
    panel(source, source, focus=Focus(residual_range=50))

    assert drawn[4][2][5, 5].tolist() == figures.diverge(np.array(1.0)).tolist()
    assert "from −50 to 50 display values (as asked for); 100 % of values lie beyond" in said[0]
    assert "no value differs" in said[1]


def test_a_scale_chosen_for_one_pair_says_so(drawn, said):
    panel(*apart(60))

    assert "from −60 to 60 display values (chosen for this pair: not comparable with" in said[0]


@pytest.mark.parametrize("asked", [0, -5, float("nan"), float("inf")])
def test_a_scale_of_residuals_is_above_zero(asked):
    with pytest.raises(SettingsError, match="above 0"):
        panel(*apart(60), focus=Focus(residual_range=asked))


def test_codes_are_drawn_where_they_lie_on_the_source(drawn):
    grid = TURNED[13]
    image = mark(grid, (-12.0, 9.0, 1.5))
    coarse = grid.coarser((4, 4, 4))
    pixels = np.zeros((1, *coarse.shape))
    pixels[(0, *np.rint(coarse.to_index((-12.0, 9.0, 1.5))).astype(int))] = 1
    codes = Image(pixels, coarse, Unit.NORMALISED)

    panel(image, image, latent=codes, focus=Focus(planes=("axial",)), window=(0, 1000))

    source, latent = drawn[0][2], drawn[2][2]
    assert latent.shape == source.shape
    assert centre_of_light(latent) == pytest.approx(centre_of_light(source), abs=0.13)


def test_every_code_channel_has_its_tile(drawn):
    pixels = np.zeros((1, 32, 32, 1), np.uint8)
    codes = np.zeros((4, 8, 8, 1), np.float32)
    for channel in range(4):
        codes[channel, channel, 0] = 1
    latent = Image(codes, picture(pixels).grid.coarser((4, 4, 1)), Unit.NORMALISED)

    panel(picture(pixels), picture(pixels), latent=latent)

    tiles = drawn[2][2]
    half = tiles.shape[0] // 2
    for channel, tile in enumerate(
        (tiles[:half, :half], tiles[:half, half:], tiles[half:, :half], tiles[half:, half:])
    ):
        across, _ = centre_of_light(tile)
        assert across == pytest.approx((channel + 0.5) / 8, abs=0.03)


@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1), (16, 16, 1), (2000, 12, 1), (12, 2000, 1), (3, 1, 5), (900, 1200, 1), (9, 300, 4)],
)
def test_any_shape_makes_a_page_of_readable_size(shape):
    pixels = np.random.default_rng(1).integers(0, 255, (1, *shape), dtype=np.uint8)

    page = panel(picture(pixels), picture(pixels // 2), title="ä" * 300, caption="word " * 100)

    assert 500 < page.width < 4000
    assert 200 < page.height < 4000


def test_values_that_are_not_finite_spoil_nothing_but_themselves(drawn):
    pixels = np.random.default_rng(1).normal(size=(1, 900, 900, 1))
    holes = pixels.copy()
    holes[0, 450, 450], holes[0, 10, 10] = np.nan, np.inf

    panel(picture(holes, Unit.RELATIVE), picture(holes, Unit.RELATIVE))
    panel(picture(pixels, Unit.RELATIVE), picture(pixels, Unit.RELATIVE))

    with_holes, without = drawn[0][2].astype(int), drawn[len(drawn) // 2][2].astype(int)
    changed = (abs(with_holes - without) > 3).any(axis=-1)
    assert changed.sum() <= 8


def test_images_on_different_grids_are_refused():
    pixels = np.zeros((1, 8, 8, 1))
    with pytest.raises(InputError, match="one grid"):
        panel(picture(pixels), picture(np.zeros((1, 8, 9, 1))))


@given(
    arrays(np.float64, (1, 7, 11), elements=st.floats(-100, 100)),
    st.integers(1, 30),
    st.integers(1, 30),
)
def test_averaging_keeps_the_mean_and_enlarging_keeps_the_values(plane, height, width):
    out = figures._resize(plane, (height, width), 0.0)

    assert out.shape == (1, height, width)
    if height <= 7 and width <= 11:
        assert out.mean() == pytest.approx(plane.mean(), abs=1e-9)
    if height >= 7 and width >= 11:
        assert set(np.unique(out)) <= set(np.unique(plane))
    assert plane.min() - 1e-9 <= out.min()
    assert out.max() <= plane.max() + 1e-9


def test_a_panel_is_written_whole_and_not_over_another(tmp_path):
    image = picture(np.zeros((1, 20, 20, 1), np.uint8))
    path = tmp_path / "deep" / "panel.png"

    write_panel(path, image, image, title="one")

    with PIL.Image.open(path) as page:
        assert page.format == "PNG"
    with pytest.raises(OutputError):
        write_panel(path, image, image)
    write_panel(path, image, image, overwrite=True)
    assert [entry.name for entry in path.parent.iterdir()] == ["panel.png"]


def test_a_real_chest_has_its_heart_at_the_right_of_the_picture(shared, drawn):
    nibabel = pytest.importorskip("nibabel")
    path = shared / "data/chest-ct/lidc-idri-0314/lidc_0314_slices090-177.nii.gz"
    if not path.is_file():
        pytest.skip(f"{path.name} is not among the real images")
    file = nibabel.load(path)
    pixels = np.asarray(file.dataobj).astype(np.int16)[None]
    image = Image(pixels, Grid(pixels.shape[1:], file.affine), Unit.HU, Provenance(modality="CT"))

    panel(image, image, focus=Focus(planes=("axial",)), window=(-160, 240))

    # The heart is the bright mass inside the chest in front of the spine: left of the patient.
    rgb = drawn[0][2][..., 0]
    chest = rgb[230:330, 150:350] > 60
    across = (np.argwhere(chest)[:, 1] + 0.5).mean() / chest.shape[1]
    assert across > 0.5


def test_values_that_are_not_finite_are_counted_in_each_picture_by_itself():
    pixels = np.zeros((1, 4, 4, 1), np.float32)
    pixels[0, 0, :3] = np.nan
    source = Image(pixels, Grid.from_spacing((4, 4, 1)))
    tone = figures.choose_tone(source)
    said = " ".join(
        figures._explain(source, source.with_pixels(0 * pixels), tone, figures.Reach(1.0, None, ""))
    )
    assert "3 values of the source and 3 values of the decoded are not finite" in said


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (2e-7, "less than 0.0001 % of values lie"),
        (0.0123, "1.2 % of values lie"),
        (0.0, "no value lies"),
    ],
)
def test_the_share_beyond_the_scale_is_said_as_far_as_digits_tell(share, said):
    source = Image(np.arange(16.0).reshape(1, 4, 4, 1), Grid.from_spacing((4, 4, 1)))
    tone = figures.choose_tone(source)

    told = " ".join(figures._explain(source, source, tone, figures.Reach(1.0, share, "")))

    assert f"; {said} beyond" in told


def test_a_region_is_outlined_where_it_lies_and_its_inside_is_left_alone(drawn):
    pixels = np.zeros((1, 40, 40, 1), np.uint8)
    region = np.zeros((40, 40, 1), bool)
    region[10:20, 24:34] = True

    page = panel(picture(pixels), picture(pixels), focus=Focus(region=region))

    pictures = [rgb for _, _, rgb in drawn if min(rgb.shape[:2]) > 100]  # and no scales
    assert len(pictures) == 3
    for rgb in pictures:
        green = (rgb == figures.OUTLINE).all(axis=-1)
        down, across = np.nonzero(green)
        assert across.mean() / rgb.shape[1] == pytest.approx(15 / 40, abs=0.02)
        assert down.mean() / rgb.shape[0] == pytest.approx(29 / 40, abs=0.02)
        assert not green[int(29 / 40 * rgb.shape[0]), int(15 / 40 * rgb.shape[1])]
    assert page.size[0] > 0


@pytest.mark.parametrize(
    ("at", "voxel", "said"),
    [(2, 2, "The region is outlined in green."), (5, 2, "The region is in no slice shown.")],
)
def test_an_outline_is_said_where_one_is_drawn(at, voxel, said, drawn, monkeypatch):
    captions = []
    compose = figures._compose
    monkeypatch.setattr(
        figures, "_compose", lambda *a, **o: captions.append(o["caption"]) or compose(*a, **o)
    )
    side = 2000  # drawn at a quarter: a region of two voxels fills less than half a pixel
    volume = Image(np.zeros((1, side, side, 8), np.uint8), Grid.from_spacing((side, side, 8)))
    region = np.zeros(volume.grid.shape, bool)
    region[900 : 900 + voxel, 900 : 900 + voxel, 2] = True

    panel(volume, volume, focus=Focus(planes=("axial",), centre=(0, 0, at), region=region))

    green = [(rgb == figures.OUTLINE).all(axis=-1).any() for _, _, rgb in drawn]
    assert any(green) is said.endswith("green.")
    assert captions[0].endswith(said)


def test_an_outline_is_not_said_of_a_region_that_fills_the_picture(monkeypatch):
    captions = []
    compose = figures._compose
    monkeypatch.setattr(
        figures, "_compose", lambda *a, **o: captions.append(o["caption"]) or compose(*a, **o)
    )
    image = picture(np.zeros((1, 30, 30, 1), np.uint8))
    panel(image, image, focus=Focus(region=np.ones(image.grid.shape, bool)))
    assert "region" not in captions[0]


def test_a_latent_is_not_outlined(drawn):
    pixels = np.zeros((1, 40, 40, 1), np.uint8)
    region = np.zeros((40, 40, 1), bool)
    region[10:20, 24:34] = True
    latent = Image(np.zeros((1, 10, 10, 1), np.float32), Grid((10, 10, 1), FLAT, calibrated=False))
    panel(picture(pixels), picture(pixels), latent=latent, focus=Focus(region=region))
    pictures = [rgb for _, _, rgb in drawn if min(rgb.shape[:2]) > 100]  # and no scales
    green = [bool((rgb == figures.OUTLINE).all(axis=-1).any()) for rgb in pictures]
    assert green == [True, False, True, True]
