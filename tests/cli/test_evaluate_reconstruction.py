"""One command judges codecs on a cohort, goes on where it was cut off, and hides nothing."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image as Pillow
from tests.codecs.test_directory import make_codec
from typer.testing import CliRunner

import plica
from plica.cli import judging, worst
from plica.cli.main import app
from plica.codecs.directory import write_directory
from plica.errors import PlicaError
from plica.metrics.metric import measure

CODECS = ("bicubic-4x-2d", "compact-4x3-2d")
SHORT = ("--metric", "mae", "--worst", "0")  # where charts are not what is asked for


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A table of eight pictures of four patients, in two categories."""
    folder = tmp_path_factory.mktemp("pictures")
    rows = []
    for n in range(8):
        rng = np.random.default_rng(n)
        y, x = np.mgrid[:48, :40]
        picture = 128 + 60 * np.sin(x / (3 + n)) * np.cos(y / 5) + rng.normal(0, 4, y.shape)
        plica.write(
            plica.Image(
                np.clip(picture.T, 0, 255).astype(np.uint8)[None, :, :, None],
                plica.Grid.from_spacing((40, 48, 1), (1, 1, 1), calibrated=False),
                plica.Unit.DISPLAY,
            ),
            folder / f"{n}.png",
        )
        rows.append((f"{n}.png", f"p{n // 2}", "test", "ab"[n % 2]))
    with (folder / "images.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "patient", "split", "category"), *rows])
    return folder / "images.csv"


def judge(*words):
    result = CliRunner().invoke(app, ["evaluate", "reconstruction", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def judged(pictures, out, *more):
    return judge(pictures, "--codec", *CODECS, "-o", out, "--json", *more)


def read_cases(report):
    with (report / "cases.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def whole(pictures, tmp_path_factory):
    """A report with everything in it, and what the command said."""
    out = tmp_path_factory.mktemp("judged") / "report"
    return out, json.loads(judged(pictures, out).stdout)


@pytest.fixture(scope="module")
def short(pictures, tmp_path_factory):
    """A report of one metric."""
    out = tmp_path_factory.mktemp("short") / "report"
    judged(pictures, out, *SHORT)
    return out


def test_the_report_holds_what_measuring_by_hand_finds(pictures, whole):
    out, record = whole
    cases = read_cases(out)
    image = plica.read(pictures.parent / "3.png")
    codec = plica.load("compact-4x3-2d")
    by_hand = measure(image, codec.decode(codec.encode(image)), metrics=("psnr",))["psnr"]
    (found,) = (
        row for row in cases
        if row["series"] == "3.png" and row["codec"] == "compact-4x3-2d" and row["metric"] == "psnr"
    )  # fmt: skip
    assert float(found["value"]) == pytest.approx(by_hand, abs=1e-9)
    mean = np.mean([
        float(row["value"]) for row in cases
        if (row["codec"], row["metric"], row["group"]) == ("compact-4x3-2d", "psnr", "b")
    ])  # fmt: skip
    (summary,) = (
        s for s in record["summaries"]
        if (s["codec"], s["metric"], s["group"]) == ("compact-4x3-2d", "psnr", "b")
    )  # fmt: skip
    assert summary["value"] == pytest.approx(mean)
    assert (summary["n"], summary["patients"]) == (4, 4)


def test_a_run_that_was_cut_off_goes_on_and_ends_the_same(pictures, short, tmp_path):
    shutil.copytree(short / "run", tmp_path / "cut" / "run")
    kept = sorted((tmp_path / "cut" / "run" / "results").iterdir())
    for file in kept[:5]:
        file.unlink()
    record = json.loads(judged(pictures, tmp_path / "cut", *SHORT, "--resume").stdout)
    assert record["left"] == 16 - 5
    first, second = ((out / "cases.csv").read_text() for out in (short, tmp_path / "cut"))
    assert first == second


def test_results_of_other_settings_are_not_mixed_in(pictures, short, tmp_path):
    shutil.copytree(short / "run", tmp_path / "report" / "run")
    with pytest.raises(PlicaError, match="other settings"):
        judged(pictures, tmp_path / "report", *SHORT, "--resume", "--crop", "16,16,16")


def test_a_report_is_not_replaced_unasked(pictures, short, tmp_path):
    shutil.copytree(short, tmp_path / "report")
    with pytest.raises(PlicaError, match="--overwrite or --resume"):
        judged(pictures, tmp_path / "report")
    judged(pictures, tmp_path / "report", *SHORT, "--overwrite", "--limit", "1")
    assert len(json.loads((tmp_path / "report" / "report.json").read_text())["results"]) == 4


def test_a_folder_of_other_things_is_never_written_into(pictures, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("all of it")
    with pytest.raises(PlicaError, match="other things"):
        judged(pictures, tmp_path / "thesis", "--overwrite")


def test_an_image_that_cannot_be_read_is_counted_and_named(pictures, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for n in range(2):
        (folder / f"{n}.png").write_bytes((pictures.parent / f"{n}.png").read_bytes())
    (folder / "cut.png").write_bytes((pictures.parent / "0.png").read_bytes()[:300])
    result = judged(folder, tmp_path / "report", *SHORT)
    assert result.exit_code == 1
    record = json.loads(result.stdout)
    assert {failed["image"] for failed in record["failed"]} == {"cut.png"}
    assert all(summary["n"] == 2 for summary in record["summaries"])


def test_two_checkpoints_of_one_recipe_are_judged_together(pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("old", "new"):
        write_directory(name, make_codec())

    done = judge(pictures, "-c", "./old", "./new", "--baseline", "./new", "--limit", "2",
                 "-o", "r", "--json", *SHORT)  # fmt: skip

    record = json.loads(done.stdout)
    called = {"mine-2x2-2d (old)", "mine-2x2-2d (new)"}
    assert {one["name"] for one in record["codecs"]} == called
    assert {one["codec"] for one in record["summaries"]} == called
    assert {row["codec"] for row in read_cases(tmp_path / "r")} == called
    report = json.loads((tmp_path / "r" / "report.json").read_text("utf-8"))
    assert report["record"]["baseline"] == "mine-2x2-2d (new)"


def test_people_are_told_what_failed_and_what_was_there_already(pictures, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "good.png").write_bytes((pictures.parent / "0.png").read_bytes())
    for n in range(7):
        (folder / f"cut{n}.png").write_bytes((pictures.parent / "0.png").read_bytes()[:300])
    words = (folder, "--codec", *CODECS, "--baseline", CODECS[1], "-o", tmp_path / "r",
             *SHORT)  # fmt: skip
    first, again, quiet = judge(*words), judge(*words, "--resume"), judge(*words, "--resume", "-q")

    assert [done.exit_code for done in (first, again, quiet)] == [1, 1, 1]
    assert "already" not in first.stderr
    assert "results that were there already: 16" in again.stderr
    assert quiet.stdout == ""
    assert "each folder or file directly below counts as a patient" in first.stderr
    assert "counts as a patient" not in quiet.stderr
    assert "whoever the files name" in (tmp_path / "r" / "index.html").read_text("utf-8")
    for done in (first, again, quiet):
        assert done.stderr.count("error: cut") == 5
        assert "error: and 9 more, which the report lists" in done.stderr


def test_an_image_that_was_damaged_since_keeps_its_results_and_has_no_figure(pictures, tmp_path):
    image = tmp_path / "images" / "0.png"
    image.parent.mkdir()
    image.write_bytes((pictures.parent / "0.png").read_bytes())
    asked = (image.parent, "-c", "bicubic-4x-2d", "-o", tmp_path / "r", "--metric", "mae", "-q")
    assert judge(*asked).exit_code == 0
    assert list((tmp_path / "r/figures").glob("worst-*.png"))
    image.write_bytes(image.read_bytes()[:300])

    assert judge(*asked, "--resume").exit_code == 0
    assert not list((tmp_path / "r/figures").glob("worst-*.png"))


def test_an_image_that_a_codec_refuses_or_that_needs_too_much_is_named(tmp_path, monkeypatch):
    real = judging.read_case

    def read_case(case):
        if "large" in case.path.parts:
            raise MemoryError
        return real(case)

    monkeypatch.setattr(judging, "read_case", read_case)
    noise = np.random.default_rng(0).normal(size=(1, 40, 48, 1)).astype(np.float32)
    for name, factor in (("good", 1.0), ("beyond", 1e37), ("large", 1.0)):
        (tmp_path / "images" / name).mkdir(parents=True)
        grid = plica.Grid.from_spacing((40, 48, 1))
        image = plica.Image(noise * np.float32(factor), grid, plica.Unit.RELATIVE)
        plica.write(image, tmp_path / "images" / name / "a.nii.gz")

    done = judge(tmp_path / "images", "--codec", "bicubic-4x-2d", "-o", tmp_path / "r",
                 *SHORT, "--json")  # fmt: skip

    failed = {one["image"]: one["error"] for one in json.loads(done.stdout)["failed"]}
    assert done.exit_code == 1
    assert {name.partition("/")[0] for name in failed} == {"beyond", "large"}
    assert "rescale it first" in str(failed)
    assert "there is not enough memory" in str(failed)


def test_boxes_and_a_crop_are_not_joined(pictures, tmp_path):
    protocol = tmp_path / "boxes.toml"
    protocol.write_text(
        'name = "boxed"\nversion = 1\ntitle = "Boxed."\nmetrics = ["mae"]\n'
        '[[groups]]\nname = "a"\nwhere = { category = ["a"] }\nboxes = "lesion"\n'
    )
    table = tmp_path / "images.csv"
    table.write_text(f"path,patient,category,lesion\n{pictures.parent / '0.png'},p0,a,5 5 30 30\n")
    with pytest.raises(PlicaError, match="boxed looks inside boxes: leave out --crop"):
        judged(table, tmp_path / "r", "--protocol", protocol, "--crop", "16,16,1")


def test_where_nothing_is_judged_it_is_said_why_and_nothing_is_left_behind(pictures, tmp_path):
    out = tmp_path / "new" / "report"
    with pytest.raises(PlicaError, match="8 pictures were not judged by bicubic-4x-3d and linear"):
        judge(pictures, "--codec", "bicubic-4x-3d", "linear-4x1-3d", "-o", out)
    assert not (tmp_path / "new").exists()
    assert judge(pictures, "--codec", "bicubic-4x-2d", "-o", out, *SHORT, "-q").exit_code == 0


def test_what_was_there_before_is_left_where_nothing_is_judged(pictures, tmp_path):
    codec = ("--codec", "bicubic-4x-3d", *SHORT)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PlicaError, match="no image could be judged"):
        judge(pictures, *codec, "-o", tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []

    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "a.png").write_bytes((pictures.parent / "0.png").read_bytes()[:300])
    out = tmp_path / "report"
    run = (tmp_path / "cut", "--codec", "bicubic-4x-2d", *SHORT, "-o", out)
    with pytest.raises(PlicaError, match=r"1 failed, such as a\.png"):
        judge(*run)
    assert not out.exists()
    shutil.copytree(pictures.parent, out / "run" / "features")  # another's, in a run of its own
    with pytest.raises(PlicaError, match="is not empty"):
        judge(*run, "--overwrite")
    assert (out / "run" / "features" / "images.csv").is_file()


@pytest.fixture
def mixed(pictures, tmp_path):
    """A folder of two pictures and a volume."""
    for n in range(2):
        (tmp_path / "images" / f"p{n}").mkdir(parents=True)
        shutil.copy(pictures.parent / f"{n}.png", tmp_path / "images" / f"p{n}" / "a.png")
    noise = np.random.default_rng(0).normal(size=(1, 32, 24, 16)).astype(np.float32)
    volume = plica.Image(noise, plica.Grid.from_spacing((32, 24, 16)), plica.Unit.HU)
    (tmp_path / "images" / "p2").mkdir()
    plica.write(volume, tmp_path / "images" / "p2" / "a.nii.gz")
    return tmp_path / "images"


def test_pictures_that_a_codec_of_volumes_leaves_out_are_counted_named_and_no_failure(
    mixed, tmp_path
):
    asked = (mixed, "--codec", "bicubic-4x-2d", "bicubic-4x-3d", "--metric", "psnr",
             "--worst", "0", "-o", tmp_path / "r")  # fmt: skip
    told, again = judge(*asked), judge(*asked, "--resume", "--json")

    assert told.exit_code == again.exit_code == 0
    said = "2 pictures were not judged by bicubic-4x-3d, which folds volumes."
    assert f"note: {said}" in told.stderr
    assert "Not on the same images: bicubic-4x-3d on 1 of 3." in " ".join(told.stdout.split())
    record = json.loads(again.stdout)
    assert [(one["codec"], one["images"], one["cases"]) for one in record["not_judged"]] == [
        ("bicubic-4x-3d", 2, [["p0", "", "p0/a.png"], ["p1", "", "p1/a.png"]])
    ]
    written = json.loads((tmp_path / "r" / "report.json").read_text())
    assert said in written["summary"]
    assert written["record"]["not_judged"] == record["not_judged"]
    (paired,) = written["record"]["comparisons"]
    assert (paired["difference"]["n"], paired["left_out"]) == (1, 2)
    assert "p0/a.png | bicubic-4x-3d" in (tmp_path / "r" / "report.md").read_text("utf-8")


def test_a_codec_without_any_result_and_a_baseline_without_one_are_said(pictures, tmp_path):
    codecs = ("--codec", "bicubic-4x-3d", "bicubic-4x-2d", "nearest-8x-2d")
    done = judge(pictures, *codecs, *SHORT, "-o", tmp_path / "r")

    assert done.exit_code == 0
    assert "8 pictures were not judged by bicubic-4x-3d, which folds volumes and has no" in (
        done.stderr
    )
    assert "Nothing is compared with the baseline bicubic-4x-3d" in done.stderr


def test_a_margin_without_a_second_codec_is_refused(pictures, tmp_path):
    with pytest.raises(PlicaError, match="name a second"):
        judge(pictures, "--codec", "bicubic-4x-2d", "--margin", "psnr=1", "-o", tmp_path / "report")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--baseline", "linear-4x3-2d"), "not judged"),
        (("--margin", "psnr=-1"), "above 0"),
        (("--margin", "psnr=inf"), "above 0"),
        (("--margin", "lpips-vgg=1"), "not measured"),
        (("--crop", "16,16"), "three whole numbers"),
        (("--where", "category"), "LABEL=VALUE"),
        (("--where", "category=c"), "no case"),
        (("--where", "colour=red"), "no case has the label"),
        (("--weights", "compact-8x1-2d=x.safetensors"), "no such codec is judged"),
        (("--metric", "psnr2"), "psnr"),
        (("--protocol", "medvae-table-2"), "needs images of"),
        (("--split", "train"), "no split"),
    ],
)
def test_what_is_asked_wrongly_is_said_before_any_work(pictures, tmp_path, words, said):
    with pytest.raises(PlicaError, match=said):
        judged(pictures, tmp_path / "report", *words)
    assert not (tmp_path / "report" / "index.html").exists()


def test_of_codecs_in_passes_and_of_streams_no_latent_is_drawn_or_spoken_of(
    pictures, tmp_path, monkeypatch
):
    drawn = {}

    def draw(*_, latent, title):
        drawn[title.partition(" · ")[2]] = latent is not None
        return Pillow.new("L", (2, 2))

    monkeypatch.setattr(worst, "panel", draw)
    passes = "bicubic-4x-2d?shifts=2"
    judge(pictures, "--codec", "bicubic-4x-2d", passes, "jpeg2000", "-o", tmp_path / "r",
          "--limit", "1", "--metric", "mae", "--worst", "1", "--quiet")  # fmt: skip

    assert drawn == {"bicubic-4x-2d": True, passes: False, "jpeg2000": False}
    report = (tmp_path / "r" / "report.md").read_text()
    for name, there in drawn.items():
        (caption,) = {line for line in report.splitlines()
                      if f"{name} on " in line and "Source, " in line}  # fmt: skip
        assert ("Source, latent, decoded" in caption) == there


def test_made_weights_are_called_random_wherever_their_numbers_are(pictures, tmp_path):
    judge(pictures, "--codec", "medvae-8x1-2d", "-o", tmp_path / "r", "--random-weights",
          "--limit", "1", "--crop", "16,16,16", *SHORT, "--quiet")  # fmt: skip
    assert "medvae-8x1-2d (random weights)" in (tmp_path / "r" / "report.md").read_text()
    assert {row["codec"] for row in read_cases(tmp_path / "r")} == {
        "medvae-8x1-2d (random weights)"
    }


def test_a_limit_holds_for_groups_that_have_a_sample_of_their_own(pictures, tmp_path):
    table = tmp_path / "images.csv"
    rows = (f"{pictures.parent / f'{n}.png'},p{n},test,mammo\n" for n in range(8))
    table.write_text("path,patient,split,category\n" + "".join(rows))
    record = json.loads(
        judge(table, "--codec", "bicubic-4x-2d", "-o", tmp_path / "r", "--json", "--worst", "0",
              "--protocol", "medvae-table-2", "--group", "FFDMs", "--limit", "2").stdout
    )  # fmt: skip
    assert {summary["n"] for summary in record["summaries"]} == {2}
    assert len(read_cases(tmp_path / "r")) == 2 * 2
    assert record["cohort"]["notes"] == [
        "FFDMs: 2 of 8, in one draw: limited to 2, where the protocol draws 1000 in each of 4 draws"
    ]


def test_nothing_of_the_machine_or_its_folders_stands_in_a_report(pictures, whole):
    for file in whole[0].rglob("*"):
        if file.suffix in {".json", ".md", ".csv", ".html", ".toml", ".jsonl"}:
            assert str(pictures.parent.parent) not in file.read_text(), file.name


def test_distances_between_sets_are_taken_of_what_was_decoded(pictures, tmp_path):
    record = json.loads(
        judged(pictures, tmp_path / "r", *SHORT, "--distance", "fid-codec:linear-4x1-2d").stdout
    )
    full = json.loads((tmp_path / "r" / "report.json").read_text())["record"]
    found = {(d["group"], d["set"]): d for d in full["distances"]}
    assert found.keys() == {(group, codec) for group in "ab" for codec in CODECS}
    # Half of the coarse frequencies are bicubic's to lose: what learned keeps more is nearer.
    assert found["b", "compact-4x3-2d"]["value"] < found["b", "bicubic-4x-2d"]["value"]
    assert all(d["n_real"] == d["n_other"] == 4 for d in found.values())
    again = json.loads(
        judged(pictures, tmp_path / "r", *SHORT, "--distance", "fid-codec:linear-4x1-2d",
               "--resume").stdout
    )  # fmt: skip
    assert again["left"] == 16
    assert again["summaries"] == record["summaries"]


def test_a_distance_that_is_none_is_refused_before_any_work(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name, said in (("inception", "DISTANCE-FEATURES"), ("fid-inception", "inception")):
        with pytest.raises(PlicaError, match=said):
            judged(pictures, tmp_path / "r", "--distance", name)


def test_a_codec_judged_on_what_it_was_trained_on_is_told_of(pictures, tmp_path):
    table = pictures.parent / "known.csv"
    table.write_text("path,patient,split,source\n0.png,p0,train,cdd-cesm\n")

    said = judge(
        table, "--codec", *CODECS, "--metric", "psnr", "--split", "train", "-o", tmp_path / "report"
    )

    words = "1 of 1 images are of sources and a split that compact-4x3-2d was trained on"
    assert words in " ".join(said.output.split())
    assert words in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
