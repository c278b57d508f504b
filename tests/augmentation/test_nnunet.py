"""nnU-Net's own check of a data set of real CT, and its reading of the splits."""

import json
import subprocess
import sys

import numpy as np
import pytest

import plica
from plica.augmentation.dataset import Making, make_dataset
from plica.augmentation.labelled import find_labelled
from plica.augmentation.rules import draw_air_and_dense
from plica.augmentation.surveying import survey
from plica.augmentation.views import parse_views
from plica.image import Image, Unit

CHECK = (
    "import sys; from nnunetv2.experiment_planning.verify_dataset_integrity import "
    "verify_dataset_integrity as verify\n"
    "if __name__ == '__main__': verify(sys.argv[1], 1)\n"
)


def cut(image, start, shape):
    i, j, k = (slice(a, a + n) for a, n in zip(start, shape, strict=True))
    return Image(np.array(image.pixels[:, i, j, k]), image.grid.window(start, shape), image.unit)


@pytest.fixture(scope="module")
def real(shared, tmp_path_factory):
    """Blocks of a real chest CT with labels by rule, as three patients of an nnU-Net folder."""
    folder = tmp_path_factory.mktemp("real") / "Dataset009_Chest"
    whole = plica.read(
        shared / "data/chest-ct/lidc-idri-0314/lidc_0314_slices090-177.nii.gz", unit="HU"
    )
    for number, place in enumerate((5, 15, 25)):
        image = cut(whole, (100, 150, place), (96, 80, 4))
        drawn = [draw_air_and_dense(cut(whole, (0, 0, place + n), (512, 512, 1))) for n in range(4)]
        labels = np.concatenate([one.pixels for one in drawn], axis=3)[:, 100:196, 150:230]
        plica.write(image, folder / f"imagesTr/ct{number}_0000.nii.gz")
        plica.write(Image(labels, image.grid, Unit.LABEL), folder / f"labelsTr/ct{number}.nii.gz")
    record = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "air": 1, "dense": 2},
              "numTraining": 3, "file_ending": ".nii.gz"}  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="module")
def made(real, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "Dataset501_Chest"
    codec = plica.load("compact-4x3-2d", device="cpu")
    data = find_labelled(real)
    return make_dataset(
        data, folder, found=survey(data, unit=Unit.HU),
        reconstruct=lambda image: codec.decode(codec.encode(image)),
        making=Making(parse_views(["mixed"], [0.5]), {"codec": codec.card.name}, folds=3),
    )  # fmt: skip


def test_a_data_set_of_real_ct_is_whole_on_its_own_grid(real, made):
    for case in made.cases:
        image = plica.read(made.folder / f"imagesTr/{case['case']}_0000.nii.gz")
        source = plica.read(real / f"imagesTr/{case['source']}_0000.nii.gz")
        assert image.unit is Unit.HU
        assert image.grid.agrees_with(source.grid)
        assert (case["view"] == "raw") == np.array_equal(image.pixels, source.pixels)


def test_nnunet_finds_the_data_set_in_order(made, tmp_path):
    pytest.importorskip("nnunetv2", reason="nnU-Net is not installed: pip install 'plica[nnunet]'")
    (tmp_path / "check.py").write_text(CHECK)
    done = subprocess.run(
        [sys.executable, tmp_path / "check.py", made.folder],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verify_dataset_integrity Done" in done.stdout
    assert "Error" not in done.stdout
    assert "Warning" not in done.stdout
