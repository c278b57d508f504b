"""Transforms for MONAI and TorchIO change values alone, by the formula, the same for one seed."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from tests.augmentation.made import AFFINE, draw, soften

from plica.augmentation.remake import Remake, mix
from plica.augmentation.transform import for_monai, for_torchio
from plica.errors import InputError, SettingsError

X = torch.from_numpy(draw(3)[0])[None].to(torch.int16)
FIRST = 0, 0, 0, 0
LABELS = torch.from_numpy(draw(3)[1])[None]


needs_monai = pytest.mark.skipif(find_spec("monai") is None, reason="it comes with 'cad'")
needs_torchio = pytest.mark.skipif(find_spec("torchio") is None, reason="it comes with 'interop'")


def monai_item(dtype=torch.int16):
    from monai.data import MetaTensor

    return {
        "image": MetaTensor(X.to(dtype), affine=torch.from_numpy(AFFINE)),
        "label": MetaTensor(LABELS, affine=torch.from_numpy(AFFINE)),
        "remade": MetaTensor(X.to(dtype) // 2, affine=torch.from_numpy(AFFINE)),
        "name": "one",
    }


def subject(dtype=torch.int16):
    import torchio

    return torchio.Subject(
        image=torchio.ScalarImage(tensor=X.to(dtype), affine=AFFINE),
        remade=torchio.ScalarImage(tensor=X.to(dtype) // 2, affine=AFFINE),
        label=torchio.LabelMap(tensor=LABELS, affine=AFFINE),
    )


@needs_monai
@pytest.mark.parametrize("dtype", [torch.int16, torch.float32, torch.float64])
@pytest.mark.parametrize("source", [{"beside": {"image": "remade"}}, {"reconstruct": soften}])
def test_monai_keeps_geometry_type_and_labels(dtype, source):
    item = monai_item(dtype)
    shown = for_monai("image", prob=1.0, strength=(0.5, 0.5), **source)(item)

    x = X.to(torch.float64)
    y = (X.to(dtype) // 2).to(torch.float64) if "beside" in source else x / 2
    wanted = x + 0.5 * (y - x)
    near = 0.5 if dtype == torch.int16 else 1e-3
    torch.testing.assert_close(shown["image"].as_tensor().to(torch.float64), wanted,
                               atol=near, rtol=0)  # fmt: skip
    assert shown["image"].dtype == dtype
    torch.testing.assert_close(shown["image"].affine, item["image"].affine)
    assert shown["label"] is item["label"]
    torch.testing.assert_close(item["image"].as_tensor(), X.to(dtype))  # the item itself is whole


@needs_torchio
@pytest.mark.parametrize("source", [{"beside": {"image": "remade"}}, {"reconstruct": soften}])
def test_torchio_keeps_geometry_type_and_labels(source):
    before = subject()
    shown = for_torchio(prob=1.0, strength=(1.0, 1.0), **source)(before)

    wanted = X // 2 if "beside" in source else (X / 2).round().to(torch.int16)
    torch.testing.assert_close(shown["image"].data, wanted)
    np.testing.assert_array_equal(shown["image"].affine, AFFINE)
    torch.testing.assert_close(shown["label"].data, LABELS)
    if "beside" in source:
        torch.testing.assert_close(shown["remade"].data, X // 2)
    torch.testing.assert_close(before["image"].data, X)


@needs_monai
@needs_torchio
def test_one_seed_draws_the_same_and_another_does_not():
    def draw_monai(seed):
        transform = for_monai("image", beside={"image": "remade"}, strength=(0.0, 1.0))
        transform.set_random_state(seed=seed)
        return [transform(monai_item(torch.float32))["image"][FIRST].item() for _ in range(8)]

    def draw_torchio(seed):
        transform = for_torchio(seed=seed, beside={"image": "remade"}, strength=(0.0, 1.0))
        return [transform(subject(torch.float32))["image"].data[FIRST].item() for _ in range(8)]

    for draws in (draw_monai, draw_torchio):
        assert draws(3) == draws(3) != draws(4)
        assert 0 < draws(3).count(float(X[FIRST])) < 8


@needs_monai
def test_a_pipeline_of_monai_takes_it():
    from monai.transforms import Compose, RandFlipd

    pipeline = Compose([
        for_monai("image", beside={"image": "remade"}, prob=1.0),
        RandFlipd(["image", "label"], prob=1.0, spatial_axis=0),
    ])  # fmt: skip
    shown = pipeline(monai_item())
    torch.testing.assert_close(shown["image"].as_tensor(), (X // 2).flip(1))


@needs_monai
def test_flat_pictures_are_shown_to_the_codec_as_one_slice():
    seen = []

    def watch(image):
        seen.append(image.grid.shape)
        return soften(image)

    item = {"image": X[..., 0].numpy().astype(np.float32)}
    shown = for_monai("image", prob=1.0, reconstruct=watch)(item)
    np.testing.assert_allclose(shown["image"], item["image"] / 2)
    assert isinstance(shown["image"], np.ndarray)
    assert seen == [(12, 10, 1)]


def test_whole_numbers_stay_in_their_range():
    high = torch.tensor([32767], dtype=torch.int16)
    assert mix(high, -high, 2.0).item() == -32768
    assert mix(high, torch.zeros(1), 0.0).item() == 32767


@pytest.mark.parametrize(
    "options",
    [{}, {"reconstruct": soften, "prob": 1.5}, {"reconstruct": soften, "strength": (1.0, 0.0)},
     {"reconstruct": soften, "strength": (0.0, float("inf"))}],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(options):
    with pytest.raises(SettingsError):
        Remake(**options)


@needs_monai
def test_a_reconstruction_that_is_missing_or_of_another_shape_is_named():
    missing = for_monai("image", prob=1.0, beside={"image": "gone"})
    with pytest.raises(InputError, match="no 'gone'"):
        missing(monai_item())
    other = for_monai("image", prob=1.0, beside={"image": "remade"})
    item = monai_item()
    item["remade"] = item["remade"][:, 1:]
    with pytest.raises(InputError, match="transforms of space belong after"):
        other(item)


def test_an_image_that_no_reconstruction_is_named_for_is_told():
    transform = for_monai(["image", "other"], prob=1.0, beside={"image": "remade"})
    x = torch.zeros(1, 4, 4, 4)
    with pytest.raises(InputError, match="which of the item is the reconstruction of 'other'"):
        transform({"image": x, "remade": x, "other": x})
