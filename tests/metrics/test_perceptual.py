"""LPIPS of images is the authors' LPIPS of their slices, whatever way the volume lies."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.networks.made import make_input, make_state, make_tensor
from tests.networks.published import make_weights_dir

from plica.codecs import weights
from plica.errors import UnusablePixels, WeightsError
from plica.grid import Grid
from plica.image import Image, Unit
from plica.metrics import perceptual
from plica.metrics.metric import METRICS, measure
from plica.metrics.pair import Pair
from plica.networks.perceptual import Perceptual, join_weights

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "perceptual"
NETWORKS = {"lpips-alex": "alexnet", "lpips-vgg": "vgg16", "lpips-squeeze": "squeezenet"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Made weights under their published names."""
    names = [name for network in NETWORKS.values() for name in (network, f"lpips-{network}")]
    return make_weights_dir(tmp_path_factory.mktemp("weights"), names)


def pictures(shape, seed=0):
    generator = np.random.default_rng(seed)
    source = generator.integers(0, 255, shape).astype(np.uint8)
    return source, (source * 0.8 + 20).astype(np.uint8)


def image_of(pixels, spacing=(1.0, 1.0, 1.0), affine=None):
    pixels = pixels[None] if pixels.ndim == 3 else pixels
    grid = Grid.from_spacing(pixels.shape[1:], spacing)
    return Image(pixels, grid if affine is None else Grid(pixels.shape[1:], affine), Unit.DISPLAY)


def lpips(source, decoded, folder, **others):
    return measure(source, decoded, metrics=["lpips-squeeze"], weights_dir=folder, **others)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(64, 64), (47, 90)])
def test_the_distance_is_that_of_the_authors_package(monkeypatch, name, size):
    keys = json.loads((GOLDEN / "lpips.keys.json").read_text())[NETWORKS[name]]
    linear = {key: make_tensor(key, shape).abs() for key, shape in keys["linear"].items()}
    network = Perceptual(network=NETWORKS[name])
    network.load_state_dict(join_weights(make_state(keys["features"]), linear))
    monkeypatch.setattr(perceptual, "open_judge", lambda *_: (network, "made"))
    x = make_input("lpips:x", (2, 3, *size))
    y = 0.7 * x + 0.3 * make_input("lpips:y", (2, 3, *size))
    with np.load(GOLDEN / "golden.npz") as golden:
        expected = golden[f"{NETWORKS[name]}:{size[0]}x{size[1]}"]

    for number in range(2):
        # Pictures are (channel, row, column); images (channel, i to the right, j down, k).
        pair = [side[number].permute(0, 2, 1)[..., None].double().numpy() for side in (x, y)]
        found = METRICS.get_thing(name).function(Pair(*pair, None, 2.0, low=-1.0))
        assert found.value == pytest.approx(expected[number], rel=1e-4)


def test_nothing_differs_from_itself_and_the_files_are_named(folder):
    source, decoded = pictures((40, 36, 1))

    same = lpips(image_of(source), image_of(source), folder).values[0]
    other = lpips(image_of(source), image_of(decoded), folder).values[0]

    assert same.value == 0
    assert other.value > 0
    assert other.data_range == 255
    assert "squeezenet1_1-b8a52dc0.pth, sha256:" in other.detail["weights"]


def test_a_volume_is_the_mean_of_its_acquired_slices(folder):
    source, decoded = pictures((40, 36, 3))
    spacing = (1.0, 1.0, 5.0)

    whole = lpips(image_of(source, spacing), image_of(decoded, spacing), folder).values[0]

    # A reader sees axial slices with the patient's right on the left, and the front above.
    shown = [side[::-1, ::-1] for side in (source, decoded)]
    each = [
        lpips(*(image_of(side[..., k : k + 1]) for side in shown), folder)["lpips-squeeze"]
        for k in range(3)
    ]
    assert whole.detail["slices"] == pytest.approx(each, rel=1e-5)
    assert whole.value == pytest.approx(np.mean(each), rel=1e-5)
    assert whole.note == "mean of 3 axial slices"


def test_how_the_axes_are_stored_does_not_matter(folder):
    source, decoded = pictures((40, 36, 3))
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    turned = affine[:, [2, 0, 1, 3]].copy()  # k first
    turned[:3, 1] *= -1  # and the old i from its other end
    turned[:3, 3] = affine[:3, 0] * 39

    here = lpips(image_of(source, affine=affine), image_of(decoded, affine=affine), folder)
    there = lpips(
        *(
            image_of(np.ascontiguousarray(side.transpose(2, 0, 1)[:, ::-1]), affine=turned)
            for side in (source, decoded)
        ),
        folder,
    )

    assert there["lpips-squeeze"] == pytest.approx(here["lpips-squeeze"], rel=1e-5)


def test_batches_change_nothing(folder, monkeypatch):
    pair = [image_of(side, (1, 1, 4)) for side in pictures((40, 36, 5))]
    together = lpips(*pair, folder)["lpips-squeeze"]

    monkeypatch.setattr(perceptual, "BATCH_PIXELS", 1)

    assert lpips(*pair, folder)["lpips-squeeze"] == pytest.approx(together, rel=1e-5)


def test_values_beyond_the_range_are_black_and_white(folder):
    ct = np.random.default_rng(0).integers(-1024, 3071, (40, 40, 1)).astype(np.int16)
    ct[5:9], ct[20:24] = -1024, 3071
    beyond = ct.copy()
    beyond[5:9], beyond[20:24] = -3000, 9000
    images = [Image(side[None], Grid.from_spacing(ct.shape), Unit.HU) for side in (ct, beyond)]

    assert lpips(*images, folder)["lpips-squeeze"] == 0


def test_with_a_region_its_box_is_the_picture(folder):
    source, decoded = pictures((60, 50, 1))
    region = np.zeros((60, 50, 1), bool)
    region[10, 5] = region[49, 44] = True

    inside = lpips(image_of(source), image_of(decoded), folder, region=region)["lpips-squeeze"]

    crops = [image_of(side[10:50, 5:45]) for side in (source, decoded)]
    assert inside == pytest.approx(lpips(*crops, folder)["lpips-squeeze"], rel=1e-6)


def test_missing_weights_are_an_error_that_names_the_place(tmp_path, monkeypatch):
    def refuse(source, given, *, name):
        raise WeightsError("no network here")

    monkeypatch.setattr(weights, "resolve", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    image = image_of(pictures((40, 36, 1))[0])

    for name, network in NETWORKS.items():
        with pytest.raises(WeightsError, match=f"no {network} at {tmp_path}"):
            measure(image, image, metrics=[name], weights_dir=tmp_path)


def test_what_is_no_picture_says_what_to_give(folder):
    small, _ = pictures((10, 40, 1))
    holes = np.zeros((40, 40, 1))
    holes[3, 3] = np.nan
    flat, two = np.zeros((40, 40, 1)), np.zeros((2, 40, 40, 1), np.uint8)

    with pytest.raises(UnusablePixels, match="at least 17×17"):
        lpips(image_of(small), image_of(small), folder)
    with pytest.raises(UnusablePixels, match="finite values"):
        lpips(image_of(holes), image_of(holes), folder)
    with pytest.raises(UnusablePixels, match="give 1 or 3"):
        lpips(image_of(two), image_of(two), folder)
    with pytest.raises(UnusablePixels, match="such as data_range="):
        lpips(image_of(flat), image_of(flat + 1), folder)
    assert lpips(image_of(flat), image_of(flat), folder)["lpips-squeeze"] == 0


def test_it_runs_where_torch_s_default_device_is(folder):
    with torch.device("meta"), pytest.raises((NotImplementedError, RuntimeError)):
        lpips(*(image_of(side) for side in pictures((40, 36, 1))), folder)
