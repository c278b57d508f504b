"""plica evaluate distribution: sets compared from files to a report, with nothing from the net."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from tests.cli.test_commands import run, write_volume
from tests.networks.published import make_weights_dir

from plica.cli import evaluate_distribution
from plica.cli.distances import list_cases, name_metrics
from plica.codecs import weights
from plica.cohort import Cohort
from plica.errors import InputError, SettingsError, UnknownName, UnreadableFile, WeightsError
from plica.training.cohorts import read_cohort

QUICK = ("--repeats", 3, "--pairs", 16)
ON_LINEAR = ("--features", "codec:linear-4x1-2d")


def write_pictures(folder: Path, *, patients=8, each=1, seed=0, rough=False) -> Path:
    for patient in range(patients):
        for number in range(each):
            chance = np.random.default_rng((seed, patient, number))
            values = chance.normal(size=(44, 36))
            values = values if rough else values.cumsum(axis=0).cumsum(axis=1)
            grey = 255 * (values - values.min()) / np.ptp(values)
            path = folder / f"p{patient}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Pillow.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).save(path)
    return folder


def judge(*words):
    done = run("evaluate", "distribution", *words, *QUICK, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("sets") / "real", each=2)


@pytest.fixture
def no_hub(monkeypatch, tmp_path):
    def refuse(source, given, *, name):
        raise WeightsError("it is not here") from OSError("The hub does not answer")

    monkeypatch.setattr(weights, "resolve", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch-home"))


def test_codecs_are_judged_by_every_number_with_floor_n_and_warnings(real, tmp_path):
    found = judge(real, "--codec", "identity", "nearest-8x-2d", *ON_LINEAR, "-o", tmp_path / "r")

    table = {(one["set"], one["metric"]): one for one in found["distances"]}
    assert {metric for _, metric in table} == {
        "fid", "kid", "precision", "recall", "density", "coverage", "diversity",
    }  # fmt: skip
    for metric in ("fid", "kid", "diversity"):
        assert table["identity", metric]["value"] == pytest.approx(0, abs=1e-9)
    assert table["nearest-8x-2d", "fid"]["value"] > table["identity", "fid"]["value"]
    for one in found["distances"]:
        assert one["n_real"] == one["n_other"] == 16
        assert one["patients"] == [8, 8]
        assert one["floor"]["repeats"] == 3
        assert one["needed"] > 0
        assert any("only 8 patients" in line for line in one["warnings"])
    assert "16 images of 8 patients" in found["setting"]["real images"]
    page = (tmp_path / "r" / "index.html").read_text()
    assert "nearest-8x-2d" in page
    assert "halves of the real set" in page
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert len(report["record"]["distances"]) == 14


def test_generated_images_are_a_cohort_of_their_own(real, tmp_path):
    near = write_pictures(tmp_path / "near", seed=1)
    rough = write_pictures(tmp_path / "rough", seed=2, rough=True)

    found = judge(real, "--other", near, rough, "--metric", "fid", "diversity", *ON_LINEAR)

    value = {(one["set"], one["metric"]): one["value"] for one in found["distances"]}
    assert value["rough", "fid"] > 2 * value["near", "fid"]
    assert value["rough", "diversity"] < value["near", "diversity"]
    assert found["setting"]["set near"] == "8 images of 8 patients"


def test_a_report_goes_on_with_the_features_it_kept(real, tmp_path, monkeypatch):
    words = (real, "--codec", "nearest-8x-2d", "--metric", "kid", *ON_LINEAR, "-o", tmp_path / "r")
    first = judge(*words)
    kept = sorted((tmp_path / "r" / "run" / "features").iterdir())
    assert len(kept) == 32
    from plica.cli import gathering

    monkeypatch.setattr(gathering, "extract_one", None)
    again = judge(*words, "--resume")

    assert again["distances"] == first["distances"]
    done = run("evaluate", "distribution", *words)
    assert done.exit_code == 1
    assert "already" in str(done.exception)


def test_volumes_go_through_a_codec_of_volumes(tmp_path):
    for patient in range(6):
        write_volume(tmp_path / "ct" / f"p{patient}" / "ct.nii.gz", seed=patient)

    found = judge(
        tmp_path / "ct", "--codec", "bicubic-4x-3d", "--features", "codec:linear-4x1-3d",
        "--metric", "fid", "diversity",
    )  # fmt: skip

    distances = {one["metric"]: one for one in found["distances"]}
    assert distances["fid"]["dims"] == 16
    assert distances["fid"]["n_real"] == 6
    assert distances["fid"]["value"] > 0
    assert "64³" in distances["diversity"]["extractor"]["preparation"]


def test_pretrained_networks_are_taken_from_a_folder(real, tmp_path, no_hub):
    folder = make_weights_dir(tmp_path / "weights", ["radimagenet"])

    found = judge(
        real, "--codec", "nearest-8x-2d", "--metric", "kid", "--features", "radimagenet",
        "--weights-dir", folder, "--device", "cpu", "--limit", 6,
    )  # fmt: skip

    (one,) = found["distances"]
    assert one["dims"] == 2048
    assert one["patients"] == [6, 6]
    assert "sha256:" in one["extractor"]["weights"]


def test_weights_that_are_nowhere_are_said_before_any_work(real, tmp_path, no_hub):
    done = run(
        "evaluate", "distribution", real, "--codec", "identity", "--features", "inception",
        "--weights-dir", tmp_path, "-o", tmp_path / "r",
    )  # fmt: skip

    assert isinstance(done.exception, WeightsError)
    assert str(tmp_path / "pt_inception-2015-12-05-6726825d.pth") in str(done.exception)
    assert not (tmp_path / "r").exists()


def test_what_cannot_be_read_is_left_out_and_said(real, tmp_path):
    broken = write_pictures(tmp_path / "set", patients=7)
    (broken / "p6" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")

    found = judge(broken, "--codec", "nearest-8x-2d", "--metric", "kid", *ON_LINEAR)

    assert found["distances"][0]["n_real"] == 6
    assert len(found["notes"]) == 1
    assert "0.png" in found["notes"][0] or "p6/0" in found["notes"][0]


def test_of_what_is_left_out_the_first_are_told_and_the_others_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate_distribution, "MOST_NOTES", 1)
    broken = write_pictures(tmp_path / "set", patients=6)
    for name in ("p0", "p1"):
        (broken / name / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")

    done = run("evaluate", "distribution", broken, "--codec", "nearest-8x-2d", "--metric", "kid",
               *ON_LINEAR, *QUICK)  # fmt: skip

    assert done.stderr.count("left out") == 2
    assert "and 1 more were left out; see the report" in done.stderr


def test_codecs_that_take_no_image_of_the_set_are_an_error(real):
    done = run("evaluate", "distribution", real, "--codec", "bicubic-4x-3d", "--limit", 4,
               "--metric", "kid", "diversity", *ON_LINEAR, *QUICK)  # fmt: skip

    assert done.exit_code == 1
    assert ": bicubic-4x-3d has no image that codec:linear-4x1-2d takes" in done.stderr
    assert "4 pictures were not judged by bicubic-4x-3d, which folds volumes." in done.stderr


def test_features_that_were_damaged_since_are_named(real, tmp_path):
    words = (real, "--codec", "identity", "--metric", "kid", *ON_LINEAR, "-o", tmp_path / "r")
    judge(*words, "--limit", 4)
    for kept in (tmp_path / "r" / "run" / "features").iterdir():
        kept.write_bytes(kept.read_bytes()[:60])

    done = run("evaluate", "distribution", *words, *QUICK, "--limit", 4, "--resume")

    assert isinstance(done.exception, UnreadableFile)
    assert "is damaged" in str(done.exception)
    assert "delete it and go on with --resume" in str(done.exception)


def test_a_number_that_cannot_be_computed_stops_no_other(tmp_path):
    few = write_pictures(tmp_path / "few", patients=4)

    words = ("evaluate", "distribution", few, "--codec", "identity", *ON_LINEAR, *QUICK,
             "--metric", "kid", "recall")  # fmt: skip
    done = run(*words, "--json")

    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert [one["metric"] for one in found["distances"]] == ["kid"]
    assert "recall of identity" in found["failures"][0]
    told = run(*words, "-q")
    assert (told.exit_code, told.stdout) == (1, "")
    assert "error: " in told.stderr
    assert "recall of identity" in told.stderr
    assert "at least 6" in found["failures"][0]


def test_a_codec_that_judges_itself_is_said_to(real, monkeypatch):
    monkeypatch.chdir(real)
    found = judge(".", "--codec", "linear-4x1-2d", "--metric", "fid", *ON_LINEAR, "--limit", 6)

    assert any("features of its own" in line for line in found["distances"][0]["warnings"])
    assert found["setting"]["real images"].startswith("real: "), "by its name, not as a dot"


def test_the_machine_is_the_device_that_was_asked_for(real, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)  # of which nothing is known

    found = judge(real, "--codec", "identity", "--metric", "diversity", "--device", "cpu")

    assert "; CPU, " in found["setting"]["machine"]


def test_people_get_tables_with_floors_and_notes(real):
    done = run("evaluate", "distribution", real, "--codec", "nearest-8x-2d", "--metric", "kid",
               *ON_LINEAR, *QUICK)  # fmt: skip

    assert done.exit_code == 0, done.output
    assert "kid ↓" in done.stdout
    assert "16 (8) / 16 (8)" in done.stdout
    assert "below the 100 it needs" in done.output


def test_of_many_images_one_of_each_patient_comes_first(real):
    cohort = read_cohort(real)

    few = list_cases(cohort, limit=8, seed=3)

    assert len({case.patient for case in few}) == 8
    assert few == list_cases(cohort, limit=8, seed=3)
    assert len(list_cases(cohort, limit=11)) == 11
    assert list_cases(cohort, limit=99) == cohort.cases
    with pytest.raises(InputError, match="has no images: there is nothing to compare"):
        list_cases(Cohort(()))


def test_metrics_are_named_one_by_one_or_together():
    assert name_metrics(["prdc", "recall", "fid"]) == (
        "precision", "recall", "density", "coverage", "fid",
    )  # fmt: skip
    assert name_metrics([])[-1] == "diversity"
    with pytest.raises(UnknownName, match="prdc"):
        name_metrics(["fvd"])


def test_there_must_be_something_to_compare_with(real):
    done = run("evaluate", "distribution", real)

    assert isinstance(done.exception, SettingsError)
    assert "--other" in str(done.exception)
    assert isinstance(
        run("evaluate", "distribution", real, "-c", "identity", "--resume").exception, SettingsError
    )


def test_real_radiographs_lie_within_their_own_floor_after_a_good_codec(shared):
    found = judge(
        shared / "data", "--where", "category=cxr", "--split", "dev-test", "--limit", 9,
        "--codec", "linear-4x3-2d", "--features", "codec:linear-8x1-2d",
        "--metric", "fid", "coverage",
    )  # fmt: skip

    distances = {one["metric"]: one for one in found["distances"]}
    assert distances["fid"]["value"] < distances["fid"]["floor"]["low"]
    assert distances["coverage"]["value"] == 1.0
