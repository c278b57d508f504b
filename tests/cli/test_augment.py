"""plica augment and plica evaluate segmentation, from files to files."""

import json

import numpy as np
import pytest
from tests.augmentation.made import AFFINE, list_bytes, read_array, save, write_nnunet
from typer.testing import CliRunner

from plica.cli.main import app
from plica.errors import InputError, OutputError, SettingsError, UnknownName


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def source(tmp_path):
    return write_nnunet(tmp_path / "Dataset009_Organs")


def test_one_command_makes_a_data_set_and_says_what_is_in_it(source, tmp_path):
    out = tmp_path / "nnUNet_raw" / "Dataset501_Views"
    words = ("augment", source, "-o", out, "-c", "bicubic-4x-3d", "--view", "mixed", "--strength",
             "0.5", "--folds", "3", "--patient-pattern", r"(\w+)_.")  # fmt: skip
    done = run(*words)
    assert done.exit_code == 0, done.output
    for word in ("raw", "residual-0.5", "reconstructed", "3 patients", "nnUNet_preprocessed"):
        assert word in done.output
    before = list_bytes(out)
    assert json.loads(before["dataset.json"])["numTraining"] == 12
    record = json.loads(before["plica-augmentation.json"])
    assert record["asked"]["maker"]["codec"] == "bicubic-4x-3d"
    assert record["asked"]["unit"] == "HU"

    assert isinstance(run(*words).exception, OutputError)
    again = json.loads(run(*words, "--resume", "--json").stdout)
    assert (again["cases"], again["left"]) == (12, 12)
    assert list_bytes(out) == before


def test_a_codec_with_a_network_is_shown_windows(source, tmp_path):
    out = tmp_path / "Dataset502_Windows"
    done = run("augment", source, "-o", out, "-c", "linear-4x1-3d", "--view", "reconstructed",
               "--windows", "wide,soft", "--shifts", "2", "--folds", "0")  # fmt: skip
    assert done.exit_code == 0, (done.output, done.exception)
    record = json.loads((out / "plica-augmentation.json").read_text())
    assert record["asked"]["maker"]["policy"] == {
        "windows": ["wide", "soft"], "shifts": 2, "outside": "keep",
    }  # fmt: skip
    assert len(record["cases"]) == 4
    x, y = (read_array(f / f"imagesTr/p1_a{n}_0000.nii.gz")
            for f, n in ((source, ""), (out, "-reconstructed")))  # fmt: skip
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y[x > 1000], x[x > 1000])  # beyond the window: as they were


def test_images_alone_need_no_codec_and_what_is_whole_is_said_to_be_left(source, tmp_path):
    out = tmp_path / "Dataset503_Raw"
    words = ("augment", source, "-o", out, "--view", "raw", "--folds", 2)
    words += ("--name", "liver=1", "--name", "spleen=2")
    quiet = run(*words, "--quiet")
    assert (quiet.exit_code, quiet.output) == (0, "")
    labels = json.loads((out / "dataset.json").read_text())["labels"]
    assert labels == {"background": 0, "liver": 1, "spleen": 2}

    again = run(*words, "--resume")
    assert "4 cases were there already, whole, and were left as they are" in again.output


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (("--view", "blurred"), UnknownName, "no view 'blurred'"),
        (("--view", "residual"), SettingsError, "--strength 0.5"),
        ((), SettingsError, "name it with --codec"),
        (("--resume", "--overwrite"), SettingsError, "say one"),
        (("--validate-on", "some"), SettingsError, "raw or all"),
        (("--name", "liver"), SettingsError, "liver=1"),
        (("-c", "identity", "--shifts", "2"), SettingsError, "no network"),
        (("-c", "identity", "--folds", "9"), InputError, "4 patients"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(source, tmp_path, words, kind, said):
    out = tmp_path / "Dataset504_None"
    done = run("augment", source, "-o", out, *words)
    assert isinstance(done.exception, kind), (done.output, done.exception)
    assert said in str(done.exception)
    assert not out.exists()


def test_a_folder_nnunet_would_not_find_is_refused(source, tmp_path):
    done = run("augment", source, "-o", tmp_path / "views", "-c", "identity")
    assert "Dataset501_Liver" in str(done.exception)


def test_hashed_names_say_nothing_of_the_files_they_were(source, tmp_path):
    out = tmp_path / "Dataset505_Hashed"
    run("augment", source, "-o", out, "-c", "identity", "--hash-names", "--folds", 2)
    assert not any("p1_a" in name for name in list_bytes(out))


def test_segmentation_is_compared_by_one_command(tmp_path):
    random = np.random.default_rng(0)
    for number in range(6):
        i, j = np.mgrid[:40, :40]
        inside = (i - 16 - number) ** 2 + (j - 20) ** 2 < 80
        values = np.where(inside, 300, -500)[..., None] + random.normal(0, 30, (40, 40, 1))
        save(tmp_path / "images" / f"p{number}.nii.gz", values.astype(np.int16), AFFINE)
        save(tmp_path / "labels" / f"p{number}.nii.gz", inside.astype(np.uint8)[..., None], AFFINE)
    source = tmp_path / "pairs.csv"
    rows = [f"p{n},images/p{n}.nii.gz,labels/p{n}.nii.gz" for n in range(6)]
    source.write_text("\n".join(["patient,image,label", *rows]))

    done = run("evaluate", "segmentation", source, "-o", tmp_path / "report", "--tolerance", 1,
               "-c", "bicubic-4x-2d", "--view", "reconstructed", "--steps", 2, "--seeds", 1,
               "--folds", 2, "--unit", "HU", "--json")  # fmt: skip
    assert done.exit_code == 0, (done.output, done.exception)
    found = json.loads(done.stdout)["differences"]
    assert {(one["arm"], one["metric"]) for one in found} == {
        ("reconstructed", "dice of label_1"), ("reconstructed", "nsd of label_1"),
    }  # fmt: skip
    assert all(one["difference"]["patients"] == 6 for one in found)
    report = (tmp_path / "report" / "report.md").read_text()
    assert "NSD tolerance" in report
    assert "says nothing of nnU-Net" in report
    assert (tmp_path / "report" / "index.html").is_file()


def test_residuals_are_arms_and_slices_without_a_label_are_not_measured(tmp_path):
    for number in range(2):
        values = np.random.default_rng(number).normal(0, 200, (16, 16, 2)).astype(np.int16)
        labels = np.zeros((16, 16, 2), np.uint8)
        labels[4:9, 4:9, 0] = 1
        save(tmp_path / "images" / f"p{number}.nii.gz", values, AFFINE)
        save(tmp_path / "labels" / f"p{number}.nii.gz", labels, AFFINE)
    rows = [f"p{n},images/p{n}.nii.gz,labels/p{n}.nii.gz" for n in range(2)]
    (tmp_path / "pairs.csv").write_text("\n".join(["patient,image,label", *rows]))

    done = run("evaluate", "segmentation", tmp_path / "pairs.csv", "-o", tmp_path / "report",
               "--tolerance", 1, "-c", "bicubic-4x-2d", "--view", "residual", "--strength", 0.5,
               "--steps", 1, "--seeds", 1, "--folds", 2, "--unit", "HU", "--json")  # fmt: skip

    assert done.exit_code == 0, (done.output, done.exception)
    found = json.loads(done.stdout)["differences"]
    assert {one["arm"] for one in found} == {"residual-0.5"}
    cases = (tmp_path / "report" / "cases.csv").read_text()
    assert "#0" in cases
    assert "#1" not in cases


def test_nothing_is_said_by_a_quiet_comparison_of_segmentations(tmp_path):
    for number in range(3):
        values = np.full((40, 40, 1), 30 + number)
        values[:3], values[12:18, 12:18], values[24:28] = -1000, -900, 400
        save(tmp_path / "images" / f"p{number}" / "ct.nii.gz", values.astype(np.int16), AFFINE)
    (tmp_path / "images" / "p2" / "ct.nii.gz").write_bytes(b"\x1f\x8bdamaged")
    words = ("evaluate", "segmentation", tmp_path / "images", "-o", tmp_path / "report",
             "--rule", "air-and-dense", "--tolerance", 1, "-c", "bicubic-4x-2d", "--steps", 1,
             "--seeds", 1, "--folds", 2, "--unit", "HU", "--overwrite")  # fmt: skip

    assert "left out: " in run(*words).stderr
    done = run(*words, "--quiet")

    assert (done.exit_code, done.output) == (0, "")


def test_a_rule_there_is_not_and_raw_alone_are_refused(tmp_path):
    words = ("evaluate", "segmentation", tmp_path, "-o", tmp_path / "r", "--tolerance", 1)
    alone = run(*words, "--view", "raw", "-c", "identity")
    assert "compared with nothing" in str(alone.exception)
    unknown = run(*words, "--rule", "guess", "-c", "identity")
    assert "air-and-dense" in str(unknown.exception)
