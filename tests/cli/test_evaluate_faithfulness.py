"""plica evaluate faithfulness: a report of a small cohort, gone on with after an interruption."""

import json
import shutil

import numpy as np
import pytest
from tests.evaluation.phantoms import body, make, smooth_noise
from typer.testing import CliRunner

from plica.cli import console, evaluate_faithfulness, faithful, needing
from plica.cli.console import EXIT_FAILED
from plica.cli.faithful import factor_of, group_of
from plica.cli.main import app
from plica.codecs.catalogue import load
from plica.formats.doors import write
from plica.grid import Grid
from plica.image import Image, Unit


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Two patients of one slice each, and one of a small volume."""
    folder = tmp_path_factory.mktemp("cohort")
    for patient, seed in (("ann", 1), ("bob", 2)):
        write(body((80, 72, 1), seed=seed), folder / patient / "slice.nii.gz")
    write(body((40, 32, 12), (1.8, 1.8, 4.0), seed=3), folder / "eve" / "volume.nii.gz")
    return folder


def said_by(done):
    """What was printed, and the error that `plica` itself would print."""
    return " ".join(f"{done.output} {done.exception or ''}".split())


def run(cohort, out, *words):
    codecs = [] if "--codec" in words else ["--codec", "bicubic-4x-2d", "identity"]
    return CliRunner().invoke(
        app, ["evaluate", "faithfulness", str(cohort), *codecs, "-o", str(out), *map(str, words)]
    )


@pytest.fixture(scope="module")
def report(cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("reports") / "report"
    done = run(cohort, out, "--control", "tv")
    return out, done


def test_the_report_has_pages_figures_and_cases(report):
    out, done = report

    assert done.exit_code == EXIT_FAILED, done.output  # identity has no loss that a control matches
    for name in ("index.html", "report.md", "report.json", "cases.csv"):
        assert (out / name).is_file()
    names = {path.name for path in (out / "figures").glob("*.png")}
    assert "retention-slices-in-hu.png" in names
    assert any(name.startswith("invention-bicubic-4x-2d") for name in names)


def test_the_terminal_says_what_the_report_says(report):
    _, done = report
    said = said_by(done)

    assert "slices in HU" in said
    assert "volumes in HU" in said
    assert "the codec loses nothing, so there is no loss a control could match" in said
    assert "planted lesion was found in 9 " in said
    assert "accused in 0" in said
    assert "slices in HU: contrast kept by lesions" in said
    assert "retention 6 mm 20 HU" in said
    assert "None stood in lung" in said


def test_the_record_holds_the_self_test_and_summaries(report):
    out, _ = report
    record = json.loads((out / "report.json").read_text())["record"]

    assert record["self_test"]["passed"] is True
    kept = {(row["group"], row["codec"]): row for row in record["summary"]
            if row["metric"].startswith("retention 6 mm 80 HU")}  # fmt: skip
    assert kept["slices in HU", "identity"]["mean"] == pytest.approx(1.0)
    plain = kept["slices in HU", "bicubic-4x-2d"]
    assert 0.3 < plain["mean"] < 0.95
    assert (plain["patients"], plain["cases"]) == (2, 2)


def test_a_control_loses_as_much_as_its_codec(report):
    out, _ = report
    rows = json.loads((out / "report.json").read_text())["record"]["summary"]
    rms = {row["codec"]: row["mean"] for row in rows
           if row["metric"] == "residual RMS" and row["group"] == "slices in HU"}  # fmt: skip

    assert rms["tv at the loss of bicubic-4x-2d"] == pytest.approx(rms["bicubic-4x-2d"], rel=0.02)
    assert rms["identity"] == 0


def test_what_is_there_is_not_judged_again(report, cohort, tmp_path, monkeypatch):
    out = tmp_path / "again"
    asked = ("--codec", "bicubic-4x-2d", "--limit", 2, "--worst", 0)
    assert run(cohort, out, *asked).exit_code == 0
    (kept, *_) = sorted((out / "run" / "results").glob("*.json"))
    kept.unlink()
    judged = []
    real = faithful.judge_faithfulness

    def counting(*args, **options):
        judged.append(1)
        return real(*args, **options)

    monkeypatch.setattr(faithful, "judge_faithfulness", counting)
    refused = run(cohort, out, *asked)
    done = run(cohort, out, *asked, "--resume", "--json")

    assert refused.exit_code != 0
    assert "already" in said_by(refused)
    assert done.exit_code == 0, done.output
    assert len(judged) == 1
    assert json.loads(done.stdout)["left"] == 1
    other = run(cohort, out, "--codec", "bicubic-8x-2d", "--resume")
    assert "begun with other settings" in said_by(other)


def test_a_report_is_gone_on_with_and_then_begun_anew(cohort, tmp_path, monkeypatch):
    asked = ("--codec", "bicubic-4x-2d", "--limit", 1, "--worst", 0)
    assert run(cohort, tmp_path / "r", *asked, "--quiet").exit_code == 0
    judged = []
    real = faithful.judge_faithfulness
    monkeypatch.setattr(
        faithful, "judge_faithfulness", lambda *a, **o: judged.append(1) or real(*a, **o)
    )

    again = run(cohort, tmp_path / "r", *asked, "--resume")
    assert "1 results were there already" in again.stderr
    assert not judged
    assert run(cohort, tmp_path / "r", *asked, "--overwrite").exit_code == 0
    assert judged


def test_a_control_that_is_missing_is_judged_and_what_is_there_stays(report, cohort, tmp_path):
    out = tmp_path / "again"
    shutil.copytree(report[0], out)
    kept = {path: path.stat().st_mtime_ns for path in (out / "run/results").glob("*.json")}
    lost = next(path for path in kept if json.loads(path.read_text())["codec"].startswith("tv at"))
    lost.unlink()

    assert run(cohort, out, "--control", "tv", "--resume").exit_code == EXIT_FAILED
    made = [path for path, time in kept.items() if path.stat().st_mtime_ns != time]
    assert made == [lost]


def test_an_image_that_was_damaged_since_keeps_its_results_and_has_no_figure(tmp_path):
    image = tmp_path / "images" / "ann" / "slice.nii.gz"
    write(body((80, 72, 1), seed=1), image)
    asked = (tmp_path / "images", tmp_path / "r", "--codec", "bicubic-4x-2d", "--worst", 1,
             "--diameter", 8, "--contrast", 40)  # fmt: skip
    assert run(*asked).exit_code == 0
    assert list((tmp_path / "r/figures").glob("invention-*.png"))
    image.write_bytes(image.read_bytes()[:100])

    assert run(*asked, "--resume").exit_code == 0
    assert not list((tmp_path / "r/figures").glob("invention-*.png"))
    assert "8 mm 40 HU" in (tmp_path / "r/report.md").read_text()
    for kept in (tmp_path / "r/run/results").glob("*.json"):
        kept.unlink()
    assert "no image could be judged: 1 failed, such as ann/slice.nii.gz" in said_by(
        run(*asked, "--resume")
    )
    assert (tmp_path / "r/run").is_dir()


def test_of_many_failures_the_first_are_told_and_a_group_of_failures_has_no_table(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(evaluate_faithfulness, "MOST_SAID", 1)
    write(body((80, 72, 1), seed=1), tmp_path / "images" / "ann" / "slice.nii.gz")
    tiny = make(smooth_noise((6, 6, 2), 1))
    write(tiny, tmp_path / "images" / "bob" / "tiny.nii.gz")
    (tmp_path / "images" / "cut.nii.gz").write_bytes(b"\x1f\x8bdamaged")

    done = run(tmp_path / "images", tmp_path / "r", "--codec", "bicubic-4x-2d", "bicubic-4x-3d",
               "--worst", 0)  # fmt: skip

    assert done.exit_code == EXIT_FAILED
    assert "and 2 more failed; see the report" in said_by(done)
    assert "slices in HU" in done.stdout
    assert "volumes in HU" not in done.stdout


def test_quiet_prints_nothing_where_all_is_well(cohort, tmp_path):
    done = run(
        cohort, tmp_path / "r", "--codec", "bicubic-4x-2d", "--limit", 1, "--worst", 0, "--quiet"
    )

    assert done.exit_code == 0
    assert done.output.strip() == ""


def test_what_goes_on_is_told_where_there_is_no_terminal(cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(console, "LINE_EACH", 0.0)
    monkeypatch.setattr(console, "LINE_MEANWHILE", 0.0)

    done = run(cohort, tmp_path / "r", "--codec", "bicubic-4x-2d", "--limit", 1, "--worst", 0)

    told = [line for line in done.stderr.splitlines() if "bicubic-4x-2d" in line]
    assert any(line.startswith("1 of 1 done") for line in told), done.stderr
    for question in ("tissues", "planted lesions", "edges", "hallucination"):
        assert any(line.endswith(f"bicubic-4x-2d: {question}") for line in told), question


def test_volumetric_codecs_judge_volumes_alone(cohort, tmp_path, monkeypatch):
    monkeypatch.chdir(cohort)
    done = run(".", tmp_path / "r", "--codec", "bicubic-4x-3d", "--worst", 0, "--json")
    record = json.loads(done.stdout)

    assert done.exit_code == 0, done.output
    assert {row["group"] for row in record["summary"]} == {"volumes in HU"}
    assert record["failures"] == []
    assert [(one["codec"], one["images"]) for one in record["not_judged"]] == [("bicubic-4x-3d", 2)]
    said = "2 pictures were not judged by bicubic-4x-3d, which folds volumes."
    assert (tmp_path / "r" / "report.md").read_text().count(said) == 2
    again = run(".", tmp_path / "r", "--codec", "bicubic-4x-3d", "--worst", 0, "--resume")
    assert said in said_by(again)
    assert f"{cohort.name}: 3 images" in (tmp_path / "r" / "report.md").read_text()


@pytest.mark.parametrize(("words", "said"), [
    (("--control", "bm3d"), "there is no control 'bm3d'; there are: tv, nlm"),
    (("--crop", "12"), "three whole numbers such as 256,256,64"),
    (("--crop", "0,4,4"), "1 voxel or more"),
    (("--codec", "bicubi-4x-2d"), "bicubi-4x-2d"),
    (("--where", "modality=CT"), "no case has the label"),
    (("--diameter", "-3"), "diameters above zero"),
    (("--lesions-in", "liver"), "cannot be planted in 'liver'"),
])  # fmt: skip
def test_what_cannot_be_is_refused_in_a_sentence(cohort, tmp_path, words, said):
    done = run(cohort, tmp_path / "r", *words)

    assert done.exit_code != 0
    assert said in said_by(done)


def test_what_is_not_installed_is_said_before_anything_is_read(tmp_path, monkeypatch):
    absent = {"scipy", "skimage"}
    monkeypatch.setattr(needing, "find_spec", lambda name: None if name in absent else True)

    done = run(tmp_path / "nowhere", tmp_path / "r")

    assert "judging faithfulness needs the package 'scipy'" in said_by(done)
    assert not (tmp_path / "r").exists()
    absent.remove("scipy")
    assert "'scikit-image'" in said_by(run(tmp_path / "nowhere", tmp_path / "r", "--control", "tv"))


def test_a_run_begun_before_is_refused_with_what_can_be_done(cohort, tmp_path):
    (tmp_path / "r" / "run").mkdir(parents=True)
    (tmp_path / "r" / "run" / "recipe.toml").touch()

    said = said_by(run(cohort, tmp_path / "r"))

    assert "--resume" in said
    assert "--overwrite" in said


def test_an_empty_cohort_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()

    done = run(tmp_path / "empty", tmp_path / "r")

    assert done.exit_code != 0
    assert "holds no images" in said_by(done)


def test_images_nothing_can_be_told_of_are_refused(tmp_path):
    write(make(smooth_noise((6, 6, 1), 1)), tmp_path / "images" / "ann" / "tiny.nii.gz")

    done = run(tmp_path / "images", tmp_path / "r", "--codec", "bicubic-4x-2d")

    assert done.exit_code != 0
    assert "no image could be judged" in said_by(done)
    assert not (tmp_path / "r").exists()


# -- factors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "expected"), [
    ("bicubic-4x-2d", (1, 4, 4)),
    ("bicubic-8x-3d", (8, 8, 8)),
    ("identity", (1, 2, 2)),
])  # fmt: skip
def test_factors_lie_along_the_images_own_axes(codec, expected):
    grid = Grid.from_spacing((40, 40, 24), (1.0, 1.0, 4.0)).reaxed((2, 0, 1), (True, False, False))
    image = Image(smooth_noise(grid.shape, 1)[None].astype(np.float32), grid, Unit.HU)

    latent = load(codec, device="cpu").encode(image)

    assert factor_of(image, latent) == expected


def test_groups_hold_numbers_of_one_unit():
    assert group_of(body()) == "slices in HU"
    picture = make(smooth_noise((20, 20, 1), 1), unit=Unit.DISPLAY, calibrated=False)
    assert group_of(picture) == "slices in display, pixels"
