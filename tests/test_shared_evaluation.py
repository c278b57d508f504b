"""One command judges codecs of every kind on real images, in two and in three dimensions."""

import csv
import json
import os
from pathlib import Path

import pytest
from tests.codecs.thin import make_thin
from tests.evaluation.browser import PHONE, Visit, launch
from typer.testing import CliRunner

from plica.cli.main import app

FLAT = ("bicubic-4x-2d", "linear-4x3-2d", "compact-4x3-2d", "medvae-8x1-2d")
DEEP = ("bicubic-8x-3d", "linear-8x1-3d", "compact-8x1-3d", "medvae-8x1-3d")
MADE = " (random weights)"  # no official weights are at hand: the path is proved, not the codec


def called(names):
    return {name + MADE if name.startswith("medvae") else name for name in names}


@pytest.fixture(scope="module")
def report(shared, once):
    """The report of one command over radiographs, mammograms, CT and MR."""
    pytest.importorskip("matplotlib", reason="the report's charts need the extra 'eval'")
    return once("judged", lambda folder: judge(shared, folder / "report")) / "report"


def judge(shared, out):
    """Networks without weights are built thin: what they bring back is noise either way."""
    with pytest.MonkeyPatch.context() as patch:
        make_thin(patch)
        judge_as_built(shared, out)


def judge_as_built(shared, out):
    result = CliRunner().invoke(
        app,
        ["evaluate", "reconstruction", str(shared / "data"), "--codec", *FLAT, *DEEP,
         "-o", str(out), "--random-weights", "--limit", "1",
         "--where", "category=cxr|mammo|chest-ct|brain-mri",
         "--crop", "48,48,8", "--metric", "psnr", "ms-ssim", "fsc-resolution",
         "--worst", "1", "--quiet"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output


def rows(report):
    with (report / "cases.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_codec_is_judged_on_every_kind_of_image_it_takes(report):
    judged = {(row["group"], row["codec"]) for row in rows(report)}
    pictures, volumes = ("cxr", "mammo"), ("brain-mri", "chest-ct")
    assert judged == (
        {(group, name) for group in pictures for name in called(FLAT)}
        | {(group, name) for group in volumes for name in called(FLAT + DEEP)}
    )


def test_real_images_come_back_as_codecs_of_their_kind_bring_them(report):
    psnr = {
        (row["group"], row["codec"]): float(row["value"])
        for row in rows(report)
        if row["metric"] == "psnr"
    }
    for group in ("cxr", "mammo", "chest-ct"):
        assert psnr[group, "bicubic-4x-2d"] > 20
        assert psnr[group, "compact-4x3-2d"] > psnr[group, "bicubic-4x-2d"] + 0.5
        assert psnr[group, "medvae-8x1-2d" + MADE] < psnr[group, "bicubic-4x-2d"]
    assert psnr["chest-ct", "compact-8x1-3d"] > psnr["chest-ct", "bicubic-8x-3d"]


def test_the_record_says_what_the_numbers_stand_on(report):
    record = json.loads((report / "report.json").read_text())["record"]
    assert record["protocol"] == {"name": "reconstruction", "version": 2}
    assert {codec["name"] for codec in record["codecs"]} == called(FLAT + DEEP)
    assert all(codec["fingerprint"] for codec in record["codecs"])
    assert record["cohort"]["split"] == "dev-test"


def test_the_page_opens_on_a_phone_and_nothing_is_missing_from_it(report):
    with launch() as browser, Visit(browser, report / "index.html", size=PHONE) as visit:
        assert not visit.complaints
        assert not visit.fetched
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        widths = visit.page.evaluate("[...document.images].map((image) => image.naturalWidth)")
        assert len(widths) >= 8
        assert min(widths) > 0
        if folder := os.environ.get("PLICA_ARTEFACTS"):
            visit.keep(Path(folder) / "reconstruction-phone.png")
