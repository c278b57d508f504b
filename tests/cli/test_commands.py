"""The command line, from files to files."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from tests.formats.dicom_scenes import make_slice, save_all
from typer.testing import CliRunner

from plica.cli.encode import describe_losses
from plica.cli.main import app, main
from plica.errors import PlicaError, SettingsError
from plica.grid import Grid
from plica.latent import CodecIdentity, Latent, Record, Trail

AFFINE = np.array([[-0.9, 0.1, 0, 5], [0.1, 0.8, 0.2, -7], [0, -0.1, 2.0, 11], [0, 0, 0, 1.0]])


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def write_volume(path: Path, shape=(21, 18, 13), seed=0, affine=AFFINE) -> Path:
    random = np.random.default_rng(seed)
    smooth = np.cumsum(random.normal(size=shape), axis=0)
    array = np.clip(smooth * 100, -1000, 1500).astype(np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


@pytest.fixture
def volume(tmp_path) -> Path:
    return write_volume(tmp_path / "in" / "ct.nii.gz")


def test_encode_then_decode_ends_on_the_sources_grid(volume, tmp_path):
    encoded = run("encode", volume, "-o", tmp_path / "ct.latent", "--unit", "HU")
    assert encoded.exit_code == 0, encoded.output
    decoded = run("decode", tmp_path / "ct.latent", "-o", tmp_path / "ct.nii.gz")
    assert decoded.exit_code == 0, decoded.output

    before, after = nibabel.load(volume), nibabel.load(tmp_path / "ct.nii.gz")
    np.testing.assert_allclose(after.affine, before.affine, atol=1e-4)
    assert after.shape == before.shape
    assert after.get_data_dtype() == np.int16


def test_what_is_lost_is_told_step_by_step():
    lossy = (Record("window", loss={"clipped_fraction": 0.00212, "voxels": 9}), Record("pad"),
             Record("resize", loss={"from": "5×5"}))  # fmt: skip
    latent = Latent(
        np.zeros((1, 4, 4, 1), np.float32), CodecIdentity("linear", "sha256:0", {}),
        Grid.from_spacing((4, 4, 1)), (1, 1, 1), Grid.from_spacing((4, 4, 1)), trail=Trail(lossy),
    )  # fmt: skip
    said = "window: clipped_fraction 0.00212, voxels 9; resize: from 5×5"
    assert describe_losses(latent) == said


def test_a_tree_keeps_its_names_apart(tmp_path):
    for name in ("one/a.nii.gz", "two/a.nii.gz", "a.1.nii.gz", "a.2.nii.gz"):
        write_volume(tmp_path / "in" / name)

    done = run("encode", tmp_path / "in", "-o", tmp_path / "out", "--unit", "HU", "--json")

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["done"] == 4
    made = sorted(
        str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.latent")
    )
    assert made == ["a.1.latent", "a.2.latent", "one/a.latent", "two/a.latent"]


def test_one_bad_file_stops_nobody_and_leaves_nothing(tmp_path):
    write_volume(tmp_path / "in" / "good.nii.gz")
    whole = (tmp_path / "in" / "good.nii.gz").read_bytes()
    (tmp_path / "in" / "bad.nii.gz").write_bytes(whole[: len(whole) // 2])

    done = run("encode", tmp_path / "in", "-o", tmp_path / "out", "--unit", "HU")

    assert done.exit_code == 1
    assert "bad" in done.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.latent"]


def test_two_sources_for_one_output_are_refused_before_any_work(tmp_path):
    one, two = (write_volume(tmp_path / place / "a.nii.gz") for place in ("one", "two"))

    with pytest.raises(PlicaError, match="would both be written to"):
        CliRunner().invoke(
            app, ["encode", str(one), str(two), "-o", str(tmp_path / "out")], catch_exceptions=False
        )
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_refused_replaced_or_left(volume, tmp_path):
    out = tmp_path / "out"
    assert run("encode", volume, "-o", out, "--unit", "HU").exit_code == 0
    first = (out / "ct.latent").stat().st_mtime_ns

    assert "is there already" in str(run("encode", volume, "-o", out).exception)
    assert run("encode", volume, "-o", out, "--resume").exit_code == 0
    assert (out / "ct.latent").stat().st_mtime_ns == first
    assert run("encode", volume, "-o", out, "--overwrite", "--unit", "HU").exit_code == 0
    assert (out / "ct.latent").stat().st_mtime_ns != first


def test_reconstruct_measures_and_writes_residual_and_panel(volume, tmp_path):
    done = run(
        "reconstruct", volume, "-o", tmp_path / "d.nii.gz", "--unit", "HU", "--json",
        "--residual", tmp_path / "r.nii.gz", "--panel", tmp_path / "p.png",
    )  # fmt: skip

    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)["results"][0]
    source, decoded, residual = (
        np.asarray(nibabel.load(path).dataobj, np.float64)
        for path in (volume, tmp_path / "d.nii.gz", tmp_path / "r.nii.gz")
    )
    np.testing.assert_allclose(residual, decoded - source, atol=1e-3)
    mae = next(value for value in result["values"] if value["metric"] == "mae")
    assert mae["unit"] == "HU"
    assert mae["value"] == pytest.approx(np.abs(decoded - source).mean(), rel=1e-5)
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    said = nibabel.load(tmp_path / "r.nii.gz").header["descrip"].item().decode()
    assert said.startswith("decoded by plica, ")
    assert said.endswith(", less its source")


def test_a_residual_as_dicom_says_that_it_is_one_and_has_no_window_of_the_source(tmp_path):
    made = save_all(
        [make_slice(2.0 * k, WindowCenter=323, WindowWidth=647) for k in range(4)], tmp_path / "ct"
    )
    done = run("reconstruct", made, "-o", tmp_path / "d.dcm", "-c", "linear-4x1-3d",
               "--residual", tmp_path / "r.dcm")  # fmt: skip
    assert done.exit_code == 0, done.output
    decoded, residual = (
        pydicom.dcmread(next(path.glob("*.dcm")))
        for path in (tmp_path / "d.dcm", tmp_path / "r.dcm")
    )
    assert (
        residual.SeriesDescription == "Decoded by linear-4x1-3d, less its source, not for diagnosis"
    )
    assert (
        "Decoded from a latent by linear-4x1-3d, less its source" in residual.DerivationDescription
    )
    assert decoded.get("WindowCenter") == 323
    assert "WindowCenter" not in residual


def test_compare_of_an_image_with_itself_finds_no_difference(volume):
    done = run("compare", volume, volume, "--json")

    values = {value["metric"]: value["value"] for value in json.loads(done.stdout)["values"]}
    assert values["mae"] == 0
    assert values["psnr"] in {None, "Infinity"}


def test_inspect_reads_a_latent_without_torch(volume, tmp_path):
    run("encode", volume, "-o", tmp_path / "ct.latent", "--unit", "HU", "--dtype", "int8")

    code = (
        "import sys; from plica.cli.main import main; sys.argv = sys.argv[:1] + sys.argv[2:]\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'nibabel', 'pydicom', 'PIL'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "plica", "inspect", str(tmp_path / "ct.latent")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "compact-4x1-3d" in done.stdout
    assert "int8" in done.stdout


def test_a_latent_is_exported_onto_its_own_grid(volume, tmp_path):
    out = tmp_path / "codes.nii.gz"
    assert run("encode", volume, "-o", out, "--unit", "HU").exit_code == 0

    codes, source = nibabel.load(out), nibabel.load(volume)
    np.testing.assert_allclose(
        np.abs(np.linalg.det(codes.affine)), 64 * np.abs(np.linalg.det(source.affine)), rtol=1e-4
    )


def test_decoding_to_dicom_gives_a_readable_series(tmp_path):
    volume = write_volume(tmp_path / "ct.nii.gz", affine=np.diag([-0.8, -0.8, 2.5, 1.0]))
    run("encode", volume, "-o", tmp_path / "ct.latent", "--unit", "HU")
    done = run("decode", tmp_path / "ct.latent", "-o", tmp_path / "series.dcm")

    assert done.exit_code == 0, done.output
    back = run("inspect", tmp_path / "series.dcm", "--json")
    record = json.loads(back.stdout)
    assert len(record["grid"]["shape"]) == 3
    assert record["spacing_mm"] == pytest.approx([0.8, 0.8, 2.5], abs=1e-3)
    assert record["unit"] == "HU"
    assert record["range"][0] < record["range"][1]


def test_codecs_lists_cards_for_machines_and_one_card_for_people():
    listed = json.loads(run("codecs", "--json").stdout)
    assert {"name", "dims", "factor", "total_factor", "channels", "licence"} <= set(listed[0])
    assert "medvae-4x1-3d" in run("codecs", "medvae-4x1-3d").output


def test_the_card_of_a_folder_is_shown_and_its_latents_decoded_by_naming_it(volume, tmp_path):
    import torch

    from plica.codecs.card import CodecCard
    from plica.codecs.directory import write_directory
    from plica.codecs.networkcodec import NetworkCodec
    from plica.codecs.weights import fingerprint
    from plica.networks.kl import KlAutoencoder
    from plica.preparation.pipelines import full_range

    settings = {"dims": 2, "in_channels": 1, "code_channels": 2, "blocks": 1}
    torch.manual_seed(0)
    network = KlAutoencoder(**settings, widths=(32, 64))
    card = CodecCard(
        name="mine-2x2-2d", family="mine", summary="A test's own.", dims=2, factor=2, channels=2,
        in_channels=1, expects="", licence="", source="",
        extras={"network": {"kind": "kl", **settings, "widths": [32, 64]},
                "preparation": "full_range"},
    )  # fmt: skip
    mine = write_directory(
        tmp_path / "mine",
        NetworkCodec(card, network, fingerprint(network.state_dict()), full_range),
    )

    assert json.loads(run("codecs", mine, "--json").stdout)["name"] == "mine-2x2-2d"
    for name in (mine, f"stitched:{mine}"):
        latent = tmp_path / "ct.latent"
        done = run("encode", volume, "-o", latent, "-c", name, "--overwrite", "--unit", "HU")
        assert done.exit_code == 0, done.output
        unnamed = run("decode", latent, "-o", tmp_path / "ct.nii.gz", "--overwrite")
        assert "in no table of codecs" in unnamed.stderr
        named = run("decode", latent, "-o", tmp_path / "ct.nii.gz", "-c", name, "--overwrite")
        assert named.exit_code == 0, named.output
    assert nibabel.load(tmp_path / "ct.nii.gz").shape == nibabel.load(volume).shape


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["encode", "x", "-o", "y", "--roi_sise", "64"], 2),
        (["encode"], 2),
        (["encode", "nowhere.nii.gz", "-o", "y"], 1),
        (["encode", "x", "-o", "y", "--codec", "lineer-4x1-3d"], 1),
        (["encode", "x", "-o", "y", "--dtype", "float8"], 1),
        (["decode", "nowhere.latent", "-o", "y"], 1),
        (["--version"], 0),
        (["encode", "--help"], 0),
        (["encode", ".", "-o", "out", "--seed", "3"], 1),
    ],
)
def test_exit_codes(words, code, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["plica", *words])

    with pytest.raises(SystemExit) as stopped:
        main()

    assert stopped.value.code == code
    assert "Traceback" not in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_seed_without_a_sample_is_refused_and_not_passed_over(volume, tmp_path):
    done = run("encode", volume, "-o", tmp_path / "ct.latent", "--seed", "3")

    assert isinstance(done.exception, SettingsError)
    assert "add --sample" in str(done.exception)
    assert not (tmp_path / "ct.latent").exists()


def test_every_command_has_an_example_in_its_help():
    for name in ("encode", "decode", "reconstruct", "compare", "inspect", "codecs", "demo"):
        shown = run(name, "--help").output
        assert f"plica {name}" in shown
        assert "Example" in shown


def test_what_is_written_like_a_series_becomes_a_series(tmp_path):
    volume = write_volume(tmp_path / "ct.nii.gz", affine=np.diag([-0.8, -0.8, 2.5, 1.0]))
    run("encode", volume, "-o", tmp_path / "ct.latent", "--unit", "HU")
    assert run("decode", tmp_path / "ct.latent", "-o", tmp_path / "first.dcm").exit_code == 0

    done = run("decode", tmp_path / "ct.latent", "-o", tmp_path / "out",
               "--like", tmp_path / "first.dcm")  # fmt: skip

    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "ct.dcm").is_dir()


def test_an_ending_that_is_only_read_is_refused_before_the_work(volume, tmp_path):
    refused = run("reconstruct", volume, "-o", tmp_path / "out.jpg", "--unit", "HU")

    assert ".jpg is read but not written" in str(refused.exception)
    assert not (tmp_path / "out.jpg").exists()


def test_a_reader_that_asks_for_an_argument_is_heard_as_an_option(tmp_path):
    array = np.zeros((8, 8, 8, 3), np.int16)
    nibabel.save(nibabel.Nifti1Image(array, AFFINE), tmp_path / "four.nii.gz")
    np.save(tmp_path / "plain.npy", array[..., 0])

    four = run("encode", tmp_path / "four.nii.gz", "-o", tmp_path / "x")
    plain = run("encode", tmp_path / "plain.npy", "-o", tmp_path / "x")
    large = run("encode", tmp_path / "four.nii.gz", "-o", tmp_path / "x", "--volume", 1,
                "--max-bytes", 100)  # fmt: skip

    assert "--volume 0" in four.stderr
    assert "--spacing" in plain.stderr
    assert "--max-bytes" in large.stderr
