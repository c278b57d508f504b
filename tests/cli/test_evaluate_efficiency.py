import json
import math

import numpy as np
import pytest
from PIL import Image as Pillow

from plica.cli import needing
from plica.cli.main import main
from plica.evaluation.storage import Match, Point
from plica.formats.doors import write
from plica.grid import Grid
from plica.image import Image, Unit

SMALL = ("--probe", "small-2d", "--sides", "64", "32", "16", "--repeats", "2")


@pytest.fixture
def cohort(tmp_path):
    """Three pictures of three patients, one of them larger than the others."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    for n, side in enumerate((128, 128, 160)):
        waves = 120 + 60 * np.sin(np.arange(side) / (9 + n))[:, None] * np.ones(side)
        pixels = np.clip(waves + rng.normal(0, 5, (side, side)), 0, 255).astype(np.uint8)
        Pillow.fromarray(pixels).save(folder / f"p{n}.png")
    return folder


def run(capsys, *words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["plica", "evaluate", "efficiency", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
    out = capsys.readouterr()
    return ended.value.code, out.out, out.err


def test_the_row_of_hrnet_is_printed_exactly(capsys):
    pytest.importorskip("timm", reason="timm is not installed")
    code, out, _ = run(capsys, "--only", "flops", "--json")
    rows = json.loads(out)["flops"]["rows"]
    assert code == 0
    assert [row["shape"] for row in rows] == [[1, n, n] for n in (1024, 256, 128, 64)]
    published = [607.33, 37.96, 9.49, 2.37]
    assert [row["published_giga"] for row in rows] == published
    for key in ("giga_multiply_adds", "giga_with_normalisation"):
        assert [row[key] for row in rows] == pytest.approx(published, rel=0.01)


def test_images_and_latents_are_measured_side_by_side(capsys):
    words = ("-c", "linear-4x1-2d", "bicubic-4x-2d", "--only", "flops", "latency", "--train")
    code, out, _ = run(capsys, *SMALL, *words, "--json")
    inputs = {one["name"]: one for one in json.loads(out)["inputs"]}
    assert code == 0
    assert list(inputs) == ["64×64", "32×32", "16×16", "linear-4x1-2d", "bicubic-4x-2d"]
    assert inputs["linear-4x1-2d"]["shape"] == [1, 16, 16]
    assert inputs["linear-4x1-2d"]["multiply_adds"] == inputs["16×16"]["multiply_adds"]
    for one in inputs.values():
        assert len(one["forward"]) == len(one["step"]) == 2
        assert one["images_per_second"] > 0
        assert bool(one["encode"]) == bool(one["codec"])


def test_what_would_take_too_long_is_left_out_and_said(capsys):
    words = ("--probe", "small-2d", "--sides", "2048", "16", "--seconds", "0.1", "--repeats", "1")
    code, out, err = run(capsys, *words, "--only", "latency")
    assert code == 0
    assert "2048×2048: forward pass: foretold to take" in " ".join(err.split())
    assert "What" not in out


def test_the_largest_batch_is_foretold_on_a_processor(capsys):
    words = ("--probe", "small-2d", "--sides", "512", "--only", "memory", "--memory", "2G")
    code, out, _ = run(capsys, *words, "--device", "cpu", "--json")
    capacity = json.loads(out)["inputs"][0]["forward_capacity"]
    assert code == 0
    assert capacity["memory"] == 2 * 2**30
    assert capacity["how"].startswith("foretold from the most memory")
    assert 10 < capacity["batch"] < 60


def test_storage_is_measured_on_a_cohort_and_reported(cohort, capsys, tmp_path, monkeypatch):
    out = tmp_path / "report"
    words = (cohort, "-c", "bicubic-4x-2d", "--only", "flops", "storage", *SMALL, "-o", out,
             "--most-pixels", 128 * 128, "--standard", "jpeg2000", "--dtype", "float32", "int8",
             "--json")  # fmt: skip
    monkeypatch.chdir(cohort)
    code, printed, _ = run(capsys, ".", *words[1:])
    record = json.loads(printed)
    assert "images, 3 images" in (out / "report.md").read_text(), "by its name, not as a dot"
    assert code == 1, "an image was left out, and scripts must know"
    by_codec = [(one["codec"], bool(one["error"])) for one in record["storage"]]
    assert by_codec == [("bicubic-4x-2d", False), ("jpeg2000", False)] * 2 + [
        ("bicubic-4x-2d", True), ("jpeg2000", True)
    ]  # fmt: skip
    facts = record["storage"][0]["facts"]
    assert facts["source_bytes"] == (cohort / "p0.png").stat().st_size
    assert facts["raw_bytes"] == 128 * 128
    points = [Point.from_json(point) for point in facts["points"]]
    assert [point.setting for point in points] == ["float32", "int8"]
    match = Match.from_json(facts["at_bytes"]["jpeg2000"]["float32"])
    assert match.point.bytes == pytest.approx(points[0].bytes, rel=0.5)
    assert math.isfinite(points[0].psnr)
    assert {path.name for path in out.iterdir()} >= {"index.html", "report.json", "run", "figures"}
    assert list((out / "figures").glob("rate-distortion-*.pdf"))
    resumed = run(capsys, *words, "--resume")[1]
    assert json.loads(resumed)["storage"] == record["storage"], "nothing was measured again"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--only", "storage"), "name a cohort"),
        (("--only", "flops", "--resume"), "--resume goes on in a report's folder: name it"),
        (("--resume", "-o", "no-such"), "the storage of none is measured"),
        (("--only", "speed"), "--only takes flops, latency, memory or storage"),
        (("-c", "jpeg2000", "--only", "flops"), "no latents a probe could look at"),
        (("-c", "identity", *SMALL), "no latents a probe could look at"),
        (("-c", "linear-4x1-3d", *SMALL), "folds volumes"),
        (("-c", "linear-16x1-2d", *SMALL), "linear-16x1-2d"),
        (("-c", "linear-8x1-2d", "--probe", "small-2d", "--sides", "16"), "larger first --sides"),
        (("--probe", "small-2d", "--sides", "2"), "sides of 4 at least"),
        (("--probe", "small-2d", "--sides", "64", "64"), "one side twice"),
        (("--probe", "large-2d"), "no probe 'large-2d'"),
        (("--memory", "much", *SMALL), "--memory takes an amount"),
        (("--device", "cuda:77", *SMALL), "no device"),
    ],
)
def test_what_cannot_be_done_is_said(words, said, capsys):
    code, out, err = run(capsys, *words)
    assert code == 1
    assert said in " ".join(err.split())
    assert not out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--only", "flops"), "would not be read"),
        ((), "no codec whose latents are to be kept"),
        (("-c", "jpegxl"), "stream of bytes"),
        (("-c", "bicubic-4x-2d", "--standard", "jpeg"), "--standard takes jpeg2000 and jpegxl"),
        (("-c", "bicubic-4x-2d", "--dtype", "int4"), "--dtype takes float32"),
        (("-c", "bicubic-4x-2d", "--split", "night"), "no split 'night'"),
    ],
)
def test_what_cannot_be_kept_is_said(words, said, cohort, capsys):
    code, _, err = run(capsys, cohort, *words)
    assert code == 1
    assert said in " ".join(err.split())


def test_storage_alone_is_told_without_a_report_and_what_was_left_out_is_an_error(cohort, capsys):
    words = (cohort, "-c", "bicubic-4x-2d", "--only", "storage", "--standard", "jpeg2000",
             "--dtype", "int8")  # fmt: skip
    code, out, err = run(capsys, *words, "--most-pixels", 128 * 128)
    assert code == 1
    assert "bicubic-4x-2d" in out
    assert err.count("error: p2.png, ") == 2
    quiet = run(capsys, *words, "--most-pixels", 128 * 128, "-q")
    assert quiet[:2] == (1, "")
    assert quiet[2].count("error: p2.png, ") == 2
    code, out, err = run(capsys, *words, "--most-pixels", 9)
    assert (code, out) == (1, "")
    assert "no image could be judged: 6 failed, such as p0.png: " in " ".join(err.split())
    kept = cohort.parent / "report"
    assert run(capsys, *words, "--most-pixels", 9, "-o", kept)[0] == 1
    assert not kept.exists()


def test_what_cannot_be_stored_is_an_error_of_the_codec_that_takes_it(tmp_path, capsys):
    grid = Grid.from_spacing((40, 48, 1))
    noise = np.random.default_rng(0).normal(size=(1, 40, 48, 1)).astype(np.float32)
    for name, factor in (("good", 1.0), ("none", np.nan)):
        (tmp_path / name).mkdir()
        image = Image(noise * np.float32(factor), grid, Unit.HU)
        write(image, tmp_path / name / "a.nii.gz")

    code, out, err = run(capsys, tmp_path, "-c", "bicubic-4x-2d", "bicubic-4x-3d", "--only",
                         "storage", "--standard", "jpeg2000", "--dtype", "int8")  # fmt: skip

    said = " ".join(err.split())
    assert code == 1
    assert "bicubic-4x-2d" in out
    assert "a.nii.gz, bicubic-4x-2d: the image holds no finite value at all" in said
    assert said.count("error: ") == 1
    assert "note: 2 pictures were not judged by bicubic-4x-3d, which folds volumes" in said
    assert "Pictures beside codecs of volumes" not in out


def test_a_missing_extra_is_said_before_any_work(cohort, capsys, monkeypatch):
    monkeypatch.setattr(needing, "find_spec", lambda name: None)
    code, _, err = run(capsys, cohort, "-c", "bicubic-4x-2d", *SMALL)
    assert code == 1
    assert "plica[eval]" in err
