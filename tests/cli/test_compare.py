"""plica compare: metrics by name, within a mask, and of drawings."""

import json

import numpy as np
import pytest
from PIL import Image as Pillow
from tests.cli.exports import make_export, pack
from typer.testing import CliRunner

from plica.cli.console import speak_shell
from plica.cli.main import app
from plica.evaluation import figures
from plica.formats.doors import read, write
from plica.grid import Grid
from plica.image import Image, Unit

SHAPE, SPACING = (30, 26, 20), (0.8, 0.8, 2.0)
GRID = Grid.from_spacing(SHAPE, SPACING)


@pytest.fixture
def files(tmp_path):
    """A volume, the same decoded, a mask of its middle, and two drawings."""
    generator = np.random.default_rng(0)
    source = generator.normal(0, 50, SHAPE).cumsum(0).astype(np.int16)
    decoded = (source + generator.normal(0, 5, SHAPE)).astype(np.int16)
    mask, moved = np.zeros((2, *SHAPE), np.uint8)
    mask[8:20, 8:20, 6:14] = 1
    moved[9:21, 8:20, 6:14] = 1
    paths = {}
    for name, pixels in {"a": source, "b": decoded, "mask": mask, "moved": moved}.items():
        unit = Unit.LABEL if name in {"mask", "moved"} else Unit.HU
        paths[name] = tmp_path / f"{name}.nii.gz"
        write(Image(pixels[None], GRID, unit), paths[name])
    paths["decoded"] = decoded
    paths["source"] = source
    return paths


def run(*words):
    return CliRunner().invoke(app, ["compare", *map(str, words)])


def test_only_the_metrics_that_were_named_are_printed(files):
    done = run(files["a"], files["b"], "--metric", "psnr", "wavelet-detail", "--unit", "HU",
               "--json")  # fmt: skip

    assert done.exit_code == 0, done.output
    values = json.loads(done.stdout)["values"]
    assert [value["metric"] for value in values] == ["psnr", "wavelet-detail"]
    assert values[1]["detail"]["bands"]


def test_without_names_there_are_bands_and_frequencies_too(files):
    done = run(files["a"], files["b"], "--unit", "HU")

    assert done.exit_code == 0, done.output
    for words in ("wavelet-detail", "fsc-resolution", "cycles/mm", "native Nyquist 0.625"):
        assert words in " ".join(done.stdout.split())


def test_a_region_is_read_from_a_mask(files):
    done = run(files["a"], files["b"], "--region", files["mask"], "--metric", "mae", "--json")

    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    error = np.abs(files["decoded"].astype(float) - files["source"])[8:20, 8:20, 6:14]
    assert record["values"][0]["value"] == pytest.approx(error.mean())
    assert (record["n_values"], record["n_outside"]) == (error.size, 30 * 26 * 20 - error.size)


def test_a_region_on_another_grid_is_refused(files, tmp_path):
    other = tmp_path / "other.nii.gz"
    pixels = np.ones((1, *SHAPE), np.uint8)
    write(Image(pixels, Grid.from_spacing(SHAPE, (1, 1, 1)), Unit.LABEL), other)

    done = run(files["a"], files["b"], "--region", other)

    assert done.exit_code
    assert "the images and the region are not on one grid" in str(done.exception)


@pytest.mark.parametrize("pixels", [np.ones((3, *SHAPE), np.uint8),
                                    np.full((1, *SHAPE), np.nan, np.float32)])  # fmt: skip
def test_a_region_is_one_channel_of_finite_values(files, tmp_path, pixels):
    write(Image(pixels, GRID, Unit.RELATIVE), tmp_path / "region.npz")

    done = run(files["a"], files["b"], "--region", tmp_path / "region.npz")

    assert "a region is a mask of one channel of finite values" in str(done.exception)


def test_drawings_are_compared_within_a_tolerance(files):
    done = run(files["mask"], files["moved"], "--tolerance", "0.8", "--json")

    assert done.exit_code == 0, done.output
    (label,) = json.loads(done.stdout)
    values = {value["metric"]: value["value"] for value in label["values"]}
    assert values["dice"] == pytest.approx(2 * 11 / 24)
    assert values["hd"] == pytest.approx(0.8, abs=1e-5)
    assert values["nsd"] == 1
    printed = run(files["mask"], files["moved"], "--tolerance", "0.8", "--metric", "nsd").stdout
    assert "tolerance of nsd: 0.8 mm" in printed


def test_drawings_without_a_tolerance_are_told_of_it(files):
    refused = run(files["mask"], files["moved"], "--unit", "label")
    mixed = run(files["mask"], files["moved"], "--tolerance", "1", "--region", files["mask"])

    assert "--tolerance" in str(refused.exception)
    assert "leave them out" in str(mixed.exception)


def test_what_has_no_range_is_told_in_the_words_of_the_shell(files, tmp_path):
    flat = tmp_path / "flat.nii.gz"
    write(Image(np.full((1, *SHAPE), 7, np.int16), GRID, Unit.RELATIVE), flat)

    done = run(flat, files["a"], "--unit", "relative", "--metric", "psnr")

    assert speak_shell(str(done.exception)).endswith("such as --data-range 4095")


def test_a_series_is_chosen_of_the_source_only(tmp_path):
    export = pack(make_export(tmp_path))
    write(read(export, series=1), tmp_path / "decoded.nii.gz")

    done = run(export, tmp_path / "decoded.nii.gz", "--series", 1, "--metric", "mae", "--json")

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["values"][0]["value"] == 0


def test_of_several_decoded_series_one_is_named_by_its_place_and_not_by_a_number(tmp_path):
    export = make_export(tmp_path)
    for number in (1, 2):
        image = read(export, series=number)
        write(image, tmp_path / f"decoded/export/series-{number}.dcm")

    refused = run(export, tmp_path / "decoded", "--series", 2)

    place = tmp_path / "decoded/export/series-2.dcm"
    assert speak_shell(str(refused.exception)) == (
        "decoded holds 2 series, and --series chooses from the source, the first argument, alone: "
        f"give one by itself, such as {place}"
    )
    done = run(export, place, "--series", 2, "--metric", "mae", "--json")
    assert json.loads(done.stdout)["values"][0]["value"] == 0


@pytest.mark.parametrize("packed", [False, True])
def test_of_decoded_series_that_lie_in_one_place_none_is_named(tmp_path, packed):
    export, mixed = make_export(tmp_path), tmp_path / "mixed"
    for file in export.glob("SE[01]/*"):
        mixed.mkdir(exist_ok=True)
        (mixed / f"{file.parent.name}-{file.name}").write_bytes(file.read_bytes())

    said = str(run(export, pack(mixed) if packed else mixed, "--series", 2).exception)

    assert said.endswith(" alone: put the one meant into a folder of its own")


def test_a_region_of_several_series_is_chosen_by_its_place(tmp_path):
    export = make_export(tmp_path)

    said = str(run(export / "SE1", export / "SE1", "--region", export).exception)

    assert said.endswith(f"give one by itself, such as {export / 'SE1'}")


def test_on_two_grids_each_number_stands_beside_its_file_and_the_fitting_series_is_named(tmp_path):
    export = pack(make_export(tmp_path))
    write(read(export, series=1), tmp_path / "decoded.nii.gz")

    said = str(run(export, tmp_path / "decoded.nii.gz", "--series", 2).exception)

    columns, rows, slices = read(export, series=2).grid.shape
    assert f"EXPORT.zip: ({columns}, {rows}, {slices}) voxels, decoded.nii.gz: (" in said
    assert said.endswith("of EXPORT.zip, series 1 has the voxels of the other: --series 1")


def test_on_two_grids_without_series_none_is_named(files, tmp_path):
    other = tmp_path / "other.nii.gz"
    write(Image(files["source"][None], Grid.from_spacing(SHAPE, (1, 1, 1)), Unit.HU), other)

    said = str(run(files["a"], other).exception)

    assert "are not on one grid" in said
    assert "--series" not in said


def test_two_dashes_end_the_names_of_metrics(files):
    done = run("--json", "--unit", "HU", "--metric", "mae", "psnr", "--", files["a"], files["b"])

    assert done.exit_code == 0, done.output
    assert [one["metric"] for one in json.loads(done.stdout)["values"]] == ["mae", "psnr"]


def test_a_series_of_what_is_not_dicom_may_be_two_swapped_images(tmp_path):
    export = pack(make_export(tmp_path))
    write(read(export, series=1), tmp_path / "decoded.nii.gz")

    said = str(run(tmp_path / "decoded.nii.gz", export, "--series", 1).exception)

    assert "chooses from the source, the first argument, and decoded.nii.gz is not DICOM" in said
    assert "swapped?" in said


def test_a_panel_names_the_series_and_the_decoded_file(tmp_path, monkeypatch):
    export = pack(make_export(tmp_path))
    write(read(export, series=1), tmp_path / "decoded.nii.gz")
    seen = []
    monkeypatch.setattr(
        figures, "panel", lambda *_, **how: seen.append(how["title"]) or Pillow.new("L", (2, 2))
    )

    done = run(export, tmp_path / "decoded.nii.gz", "--series", 1, "--metric", "mae", "-q", "-o",
               tmp_path / "a.png")  # fmt: skip

    assert done.exit_code == 0, done.output
    assert seen == ["EXPORT.zip, series 1; decoded: decoded.nii.gz"]


def test_tissues_are_ranges_of_the_source_and_their_errors_are_told(tmp_path):
    source = np.full((12, 12, 3), -1000, np.int16)
    source[4:8], source[8:] = 40, 800
    decoded = source.copy()
    decoded[4:8, ::2] += 10
    decoded[8:] -= 100
    for name, pixels in (("a", source), ("b", decoded)):
        grid = Grid.from_spacing(source.shape)
        write(Image(pixels[None], grid, Unit.HU), tmp_path / f"{name}.nii.gz")

    done = run(
        tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", "--tissues", "--metric", "mae", "--json"
    )

    found = {one["name"]: one for one in json.loads(done.stdout)["tissues"]}
    assert list(found) == ["air", "soft tissue", "bone"]
    assert (found["soft tissue"]["mae"], found["soft tissue"]["bias"]) == (5, 5)
    assert (found["bone"]["mae"], found["bone"]["bias"]) == (100, -100)
    assert found["air"]["voxels"] == 12 * 12
    said = run(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", "--tissues").stdout
    assert "-29.5 … 150" in said
    told = " ".join(said.split())
    assert "Part of each error is the scan's own noise" in told
    assert "plica evaluate faithfulness (docs/faithfulness.md), whose ranges and crop" in told


def test_tissues_of_what_is_not_in_hounsfield_units_are_refused(files):
    done = run(files["a"], files["b"], "--tissues", "--unit", "relative")
    assert "tissues are ranges of HU" in str(done.exception)


def test_a_panel_is_drawn_in_the_window_and_at_the_slice_asked_for(files, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        figures, "panel", lambda *_, **how: seen.append(how) or Pillow.new("L", (2, 2))
    )

    for words in (
        ("--display", "soft", "--slice", 7),
        ("--display", "-10:90"),
        ("--region", files["mask"]),
        ("--residual-range", "60"),
    ):
        done = run(files["a"], files["b"], "-o", tmp_path / "p.png", "--overwrite", "-q", *words)
        assert done.exit_code == 0, done.exception

    assert seen[0]["window"] == (-160, 240)
    assert seen[0]["focus"].centre[2] == 7
    assert seen[1]["window"] == (-10, 90)
    assert seen[2]["focus"].centre == (13, 13, 9)
    assert seen[2]["focus"].region.sum() == 12 * 12 * 8
    assert seen[3]["focus"].residual_range == 60


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--display", "liver"), "--display takes lung, soft, bone or low:high"),
        (("--display", "90:10"), "low below high"),
        (("--slice", "20"), "the image has slices 0 to 19"),
        (("--residual-range", "0"), "--residual-range takes a number above 0"),
        (("--display", "soft", "--unit", "relative"), "is a window in HU"),
    ],
)
def test_what_cannot_be_shown_is_refused(files, tmp_path, words, why):
    done = run(files["a"], files["b"], "-o", tmp_path / "p.png", *words)
    assert why in str(done.exception)


def test_how_a_panel_is_drawn_needs_a_panel(files):
    assert "none was asked for" in str(run(files["a"], files["b"], "--slice", "3").exception)


def test_what_cannot_be_measured_is_named(tmp_path):
    labels = Image(np.zeros((1, 8, 8, 1), np.uint8), Grid.from_spacing((8, 8, 1)), Unit.LABEL)
    for name in ("drawn.nii.gz", "found.nii.gz"):
        write(labels, tmp_path / name)
    words = ["compare", str(tmp_path / "drawn.nii.gz"), str(tmp_path / "found.nii.gz")]

    done = CliRunner().invoke(app, words)

    assert done.exit_code == 1
    assert str(done.exception).startswith("found.nii.gz against drawn.nii.gz: ")


@pytest.mark.parametrize("which", ["a", "b", "mask"])
def test_a_panel_never_replaces_what_is_compared(files, tmp_path, which):
    taken = tmp_path / "taken.png"
    files = {**files, which: files[which].rename(taken)}

    done = run(files["a"], files["b"], "--region", files["mask"], "-o", taken, "--overwrite")

    assert "would replace what it is made of" in str(done.exception)
    assert taken.read_bytes()[:2] == b"\x1f\x8b"  # as it was, a packed NIfTI


def test_a_panel_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "there.png").touch()

    for out, why in (("file/p.png", "is a file and not a folder"), ("there.png", "exists")):
        done = run("no-such.nii.gz", "no-such-either.nii.gz", "-o", tmp_path / out)
        assert why in str(done.exception)


def test_a_volume_is_chosen_of_the_source_and_of_the_other_where_it_has_several(tmp_path):
    series, one = tmp_path / "bold.nii.gz", tmp_path / "decoded.nii.gz"
    pixels = np.random.default_rng(1).integers(0, 99, (6, 5, 4, 1, 3)).astype(np.int16)
    nibabel = pytest.importorskip("nibabel")
    nibabel.save(nibabel.Nifti1Image(pixels[..., 0, :], np.eye(4)), series)
    write(read(series, volume=2), one)

    for other in (one, series):
        done = run(series, other, "--volume", 2, "--metric", "mae", "--unit", "HU", "--json")
        assert done.exit_code == 0, done.exception
        assert json.loads(done.stdout)["values"][0]["value"] == 0
    assert "holds 3 volumes" in str(run(one, series, "--metric", "mae").exception)
    damaged = tmp_path / "damaged.nii.gz"
    damaged.write_bytes(b"\x1f\x8b rest")
    assert "damaged.nii.gz" in str(run(one, damaged).exception)


def test_tissues_within_a_region_are_of_the_region_alone(tmp_path):
    source = np.full((8, 8, 4), 40, np.int16)
    decoded, mask = source + 6, np.zeros(source.shape, np.uint8)
    mask[2:4, 2:4, 1] = 1
    decoded[mask == 1] = 42
    grid = Grid.from_spacing(source.shape)
    units = {"a": (source, Unit.HU), "b": (decoded, Unit.HU), "mask": (mask, Unit.LABEL)}
    for name, (pixels, unit) in units.items():
        write(Image(pixels[None], grid, unit), tmp_path / f"{name}.nii.gz")
    words = [tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", "--tissues", "--metric", "mae",
             "--region", tmp_path / "mask.nii.gz"]  # fmt: skip

    (tissue,) = json.loads(run(*words, "--json").stdout)["tissues"]

    assert (tissue["voxels"], tissue["mae"], tissue["bias"]) == (4, 2, 2)
    assert "By tissue, within the region" in run(*words).stdout


def test_drawings_have_no_tissues_whatever_their_unit(files):
    done = run(files["mask"], files["moved"], "--tolerance", "1", "--tissues")
    assert "label images have no --region, no --data-range and no --tissues" in str(done.exception)
