"""The recipe's way from images to weights files: fair, repeatable, and what is shipped."""

import json

import numpy as np
import pytest
from safetensors.numpy import load

from plica import settings
from plica.codecs.karhunen_loeve import PatchMoments, cut_patches
from plica.codecs.linear import FITTED, OFFERS
from plica.codecs.linear_fitting import (
    Recipe,
    Sample,
    Size,
    Source,
    fit,
    main,
    read_samples,
    see,
    serialise,
)
from plica.cohort import Cohort
from plica.errors import SettingsError
from plica.grid import Grid
from plica.image import Image, Unit

SIZE = Size("linear-4x3-2d", 2, 4, 3)
RECIPE = Recipe(sources=(Source("any", 2, {"source": ("here",)}),), codecs=(SIZE,))
RECIPE_FILE = FITTED.parents[3] / "recipes" / "linear.toml"


def texture(seed, shape=(40, 48)):
    image = np.random.default_rng(seed).standard_normal(shape)
    for axis in (0, 1):
        for _ in range(3):
            image = (image + np.roll(image, 1, axis)) / 2
    return (image / np.abs(image).max()).astype(np.float32)


def samples(count=6, **changes):
    return [Sample(texture(n), 1 / count, n % 3 == 2, **changes) for n in range(count)]


def test_fitting_twice_gives_the_same_bytes():
    first, second = (serialise(fit(SIZE, samples(), RECIPE)) for _ in range(2))
    assert first == second


def test_the_better_decoder_is_kept_and_both_are_reported():
    report = fit(SIZE, samples(), RECIPE).report
    assert report["decoder"] == "least squares"
    assert report["held_out_psnr_db_least_squares"] > report["held_out_psnr_db_transform"]
    assert report["training_psnr_db"] > report["training_psnr_db_transform"]


def test_the_plain_transform_is_kept_where_neighbours_tell_nothing():
    rng = np.random.default_rng(0)
    # patches whose neighbours are independent: least squares can only fit the noise
    noise = [Sample(rng.uniform(-1, 1, (16, 16)).astype(np.float32), 1.0, n == 1) for n in range(2)]
    fitted = fit(SIZE, noise, RECIPE)
    assert fitted.report["decoder"] == "transform"
    beside = fitted.tensors["synthesis"].copy()
    beside[:, :, 1, 1] = 0
    assert not beside.any()


def test_without_a_patient_to_judge_there_is_no_choice():
    with pytest.raises(SettingsError, match="lower judge_every"):
        fit(SIZE, samples(2), RECIPE)


def test_a_source_counts_as_its_weight_and_not_by_its_size():
    small, large = texture(0, (8, 8)), texture(1, (80, 80))
    moments = []
    for count in (1, 5):
        total = PatchMoments(4, 2)
        for sample in [Sample(small, 1.0, False), *[Sample(large, 1 / count, False)] * count]:
            patches = cut_patches(sample.array, 4)
            total.add(patches, sample.weight * 16 / patches.size)
        moments.append(total)
    np.testing.assert_allclose(moments[0].covariance, moments[1].covariance)
    assert moments[0].weight == pytest.approx(2.0)


def test_a_radiograph_is_seen_by_row_and_column_and_grey_colour_once():
    pixels = np.zeros((3, 30, 20, 1), np.uint8)
    pixels[:, 5, 9] = 255
    image = Image(pixels, Grid.from_spacing((30, 20, 1), calibrated=False), Unit.DISPLAY)
    (array,) = see(image, 2)
    assert array.shape == (20, 30)
    assert array[9, 5] == 1.0
    assert array.min() == -1.0


def test_each_of_several_colours_is_seen():
    pixels = np.zeros((3, 30, 20, 1), np.uint8)
    pixels[1, 5, 9] = 255
    image = Image(pixels, Grid.from_spacing((30, 20, 1), calibrated=False), Unit.DISPLAY)
    arrays = list(see(image, 2))
    assert [array[9, 5] for array in arrays] == [-1, 1, -1]


def test_the_command_fits_reads_back_and_refuses_to_overwrite(tmp_path, capsys):
    from PIL import Image as Picture

    lines = ["path,source,split,group_id"]
    for n in range(6):
        Picture.fromarray((127 * (texture(n) + 1)).astype(np.uint8)).save(tmp_path / f"{n}.png")
        lines.append(f"{n}.png,here,{'train' if n < 5 else 'test'},p{n}")
    (tmp_path / "MANIFEST.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "recipe.toml").write_text(settings.to_toml(RECIPE))
    arguments = [str(tmp_path / "recipe.toml"), "--data", str(tmp_path), "-o", str(tmp_path / "o")]
    assert main(arguments) == 0
    index = json.loads((tmp_path / "o" / "linear.json").read_text())
    assert index["training_data"]["2"] == "any"
    assert index["codecs"]["linear-4x3-2d"]["images"] == 5
    weights = (tmp_path / "o" / "linear-4x3-2d.safetensors").read_bytes()
    assert len(weights) == index["codecs"]["linear-4x3-2d"]["bytes"]
    assert load(weights)["analysis"].shape == (3, 1, 4, 4)
    assert main(arguments) == 1
    assert "exists" in capsys.readouterr().err


def test_a_source_that_selects_nothing_is_refused(tmp_path):
    (tmp_path / "MANIFEST.csv").write_text("path,source,split,group_id\na.png,there,train,p\n")
    cohort = Cohort.from_manifest(tmp_path / "MANIFEST.csv")
    with pytest.raises(SettingsError, match="selects no image"):
        read_samples(RECIPE, cohort, 2)


def test_the_recipe_names_the_codecs_that_are_shipped():
    recipe = settings.read(Recipe, RECIPE_FILE)
    assert {size.name for size in recipe.codecs} == set(OFFERS)
    for size in recipe.codecs:
        card = OFFERS[size.name].card
        assert (card.dims, card.factor, card.channels) == (size.dims, size.factor, size.channels)


@pytest.mark.slow
def test_the_shipped_weights_are_what_the_recipe_gives(shared, tmp_path):
    out = tmp_path / "fitted"
    data = str(shared / "data")
    assert main([str(RECIPE_FILE), "--data", data, "-o", str(out)]) == 0
    for path in sorted(out.glob("*.safetensors")):
        ours, again = load((FITTED / path.name).read_bytes()), load(path.read_bytes())
        assert ours.keys() == again.keys()
        for key in ours:  # other processors round the last bits of sums in another way
            np.testing.assert_allclose(again[key], ours[key], atol=1e-5)
    assert len(list(out.glob("*.safetensors"))) == len(OFFERS)
