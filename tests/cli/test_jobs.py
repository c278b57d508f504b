"""Many sources and their outputs: names that tell them apart, places that are refused in time."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image as Pillow
from tests.formats.dicom_scenes import make_slice, save_all
from typer.testing import CliRunner

import plica
from plica.cli.jobs import Existing, Job, Manner, find, find_latents, plan
from plica.cli.main import app
from plica.errors import InputError, OutputError
from plica.formats.sources import Source


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def write_picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.random.default_rng(seed).integers(0, 255, (19, 23)).astype(np.uint8)
    Pillow.fromarray(grey).save(path)
    return path


def write_volume(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(seed).integers(0, 900, (9, 10, 7)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([1.0, 1.0, 2.0, 1.0])), path)
    return path


def names(tree: Path, manner: Manner = Manner(quiet=True)) -> list[str]:  # noqa: B008 - frozen
    return [source.name for source in find([tree], manner)]


def outputs(folder: Path) -> list[str]:
    return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())


# -- names -----------------------------------------------------------------------------------------


def test_files_of_one_stem_keep_their_endings_and_the_others_do_not(tmp_path):
    for name in ("a/10.png", "a/10.jpg", "a/11.jpg", "b/10.png"):
        write_picture(tmp_path / name)

    assert names(tmp_path) == ["a/10.jpg", "a/10.png", "a/11", "b/10"]


def test_a_name_with_its_ending_may_not_become_a_thirds(tmp_path):
    for name in ("10.png", "10.jpg", "10.jpg.png"):
        write_picture(tmp_path / name)

    assert sorted(names(tmp_path)) == ["10.jpg", "10.jpg.png", "10.png"]


def test_a_tree_of_twins_is_encoded_and_decoded_whole(tmp_path):
    for name in ("10.png", "10.jpg"):
        write_picture(tmp_path / "in" / name)

    assert run("encode", tmp_path / "in", "-o", tmp_path / "out").exit_code == 0
    assert outputs(tmp_path / "out") == ["10.jpg.latent", "10.png.latent"]
    assert run("decode", tmp_path / "out", "-o", tmp_path / "back").exit_code == 0
    assert outputs(tmp_path / "back") == ["10.jpg.png", "10.png.png"]


def test_the_radiographs_given_as_dicom_and_jpeg_are_all_encoded(shared, tmp_path):
    done = run("encode", shared / "data" / "msk-xray", "-o", tmp_path / "out", "--json")

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["done"] == len(outputs(tmp_path / "out")) > 2


# -- where it goes ---------------------------------------------------------------------------------


def place(out: Path | str, *sources: Source, **existing: bool) -> list[str]:
    given = sources or (Source("one/a.1", Path("a.1.nii")),)
    jobs = plan(given, Path(out), endings=(".nii.gz", ".png"), existing=Existing(**existing))
    return [str(job.target(".png")) for job in jobs]


def test_an_output_is_a_file_a_folder_or_a_pattern(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert place("x.nrrd") == ["x.nrrd"]
    assert place("x") == ["x/one/a.1.png"]
    assert place("x/*.nrrd") == ["x/one/a.1.nrrd"]
    assert place("x/*/decoded.mha") == ["x/one/a.1/decoded.mha"]
    assert place("x/*-decoded") == ["x/one/a.1-decoded.png"]


def test_several_sources_are_not_written_to_one_file():
    two = Source("one/a", Path("a.nii")), Source("b", Path("b.nii"))
    with pytest.raises(OutputError, match=r"2 sources cannot .* such as x/\*\.nii\.gz"):
        place("x/ct.nii.gz", *two)


def test_a_series_written_again_is_not_written_into_itself(tmp_path):
    (tmp_path / "ct.dcm").mkdir()
    (tmp_path / "ct.dcm" / "1.dcm").write_bytes(b"")

    assert place(tmp_path / "ct.dcm", overwrite=True) == [str(tmp_path / "ct.dcm")]
    with pytest.raises(OutputError, match="is there already"):
        place(tmp_path / "ct.dcm")


def test_an_output_of_either_ending_is_found_again(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.1.nii.gz").write_bytes(b"")

    with pytest.raises(OutputError, match=r"a\.1\.nii\.gz is there already"):
        place(tmp_path)
    assert place(tmp_path, resume=True) == []
    assert place(tmp_path, overwrite=True) == [str(tmp_path / "one" / "a.1.png")]


def test_a_source_is_never_replaced_by_its_own_decoded_image(tmp_path):
    volume = write_volume(tmp_path / "ct.nii.gz")
    before = volume.read_bytes()

    for out in (volume, tmp_path, tmp_path / "*.nii.gz"):
        for option in ("--overwrite", "--resume"):
            done = run("reconstruct", volume, "-o", out, option)
            assert isinstance(done.exception, OutputError)
            assert "what it is made of" in str(done.exception)
    assert volume.read_bytes() == before


def test_a_file_where_a_folder_is_needed_is_refused_before_the_work(tmp_path):
    file = tmp_path / "out"
    file.write_bytes(b"mine")

    with pytest.raises(OutputError, match="is a file and not a folder"):
        place(file)
    with pytest.raises(OutputError, match="is a file and not a folder"):
        place(file / "deep" / "x.nrrd")


def test_a_read_only_folder_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda folder, mode: False)  # the superuser may write anywhere

    with pytest.raises(OutputError, match="read-only"):
        place(tmp_path / "x.nrrd")


def test_a_job_without_endings_keeps_its_own():
    job = Job(Source("a", Path("a.nii")), Path("b.nrrd"))

    assert job.target(".png") == Path("b.nrrd")
    assert job.targets == (Path("b.nrrd"),)


# -- the work --------------------------------------------------------------------------------------


def test_a_store_is_shown_the_command_that_decodes_it(tmp_path):
    (tmp_path / "a.store").mkdir()
    (tmp_path / "a.store" / "store.json").write_text("{}")
    said = run("decode", tmp_path / "a.store", "-o", tmp_path / "out")
    assert said.exit_code == 1
    assert isinstance(said.exception, InputError)
    assert f"is a store: `plica bulk decode {tmp_path / 'a.store'}`" in str(said.exception)


def test_one_damaged_latent_stops_no_other(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(tmp_path / "in" / name)
    assert run("encode", tmp_path / "in", "-o", tmp_path / "latents").exit_code == 0
    (tmp_path / "latents" / "a.latent").write_bytes(b"\0" * 100)

    done = run("decode", tmp_path / "latents", "-o", tmp_path / "out", "--json")

    assert done.exit_code == 1
    results = json.loads(done.stdout)["results"]
    assert ["error" in result for result in results] == [True, False]
    assert outputs(tmp_path / "out") == ["b.nii.gz"]
    assert [source.name for source in find_latents([tmp_path / "latents"])] == ["a", "b"]


def test_reconstruct_reads_each_image_once(tmp_path, monkeypatch):
    volume = write_volume(tmp_path / "in" / "ct.nii.gz")
    read = []
    from plica.cli import reading

    whole = reading.read
    monkeypatch.setattr(
        reading, "read", lambda path, **how: (read.append(path), whole(path, **how))[1]
    )

    assert run("reconstruct", volume, "-o", tmp_path / "out").exit_code == 0
    assert read == [volume]
    assert outputs(tmp_path / "out") == ["ct.nii.gz"]


def test_resume_does_the_rest_and_says_what_it_left(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(tmp_path / "in" / name)
    run("encode", tmp_path / "in" / "a.nii.gz", "-o", tmp_path / "out")
    command = ("encode", tmp_path / "in", "-o", tmp_path / "out", "--resume")

    first = json.loads(run(*command, "--json").stdout)
    again = run(*command)

    assert (first["done"], first["left"]) == (1, 1)
    assert again.exit_code == 0
    assert "there already: 2" in again.stderr


def test_what_an_interrupted_reconstruction_left_beside_is_replaced_on_resume(tmp_path):
    volume = write_volume(tmp_path / "in" / "ct.nii.gz")
    (tmp_path / "ct.png").write_bytes(b"of an earlier run")
    command = ("reconstruct", volume, "-o", tmp_path / "out", "--panel", tmp_path / "*.png")

    refused = run(*command)
    assert isinstance(refused.exception, OutputError)
    assert not (tmp_path / "out").exists()
    assert run(*command, "--resume").exit_code == 0
    assert (tmp_path / "ct.png").read_bytes().startswith(b"\x89PNG")


def test_a_panel_or_residual_that_cannot_be_is_refused_before_the_work(tmp_path):
    volume = write_volume(tmp_path / "in" / "ct.nii.gz")
    (tmp_path / "file").write_bytes(b"")

    for option, path in (
        ("--panel", tmp_path / "p.jpg"),
        ("--panel", tmp_path / "file" / "p.png"),
        ("--residual", tmp_path / "out" / "ct.nii.gz"),
        ("--residual", volume),
    ):
        done = run("reconstruct", volume, "-o", tmp_path / "out", option, path, "--overwrite")
        assert isinstance(done.exception, OutputError), (option, path)
    assert not (tmp_path / "out").exists()


def test_weights_that_are_missing_are_said_once_and_before_any_image_is_read(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(tmp_path / "in" / name)

    done = run("encode", tmp_path / "in", "-o", tmp_path / "out", "-c", "medvae-4x1-2d",
               "--weights", tmp_path / "none.ckpt")  # fmt: skip

    assert "no weights file at" in str(done.exception)


def test_quiet_prints_nothing_but_errors_and_those_on_stderr(tmp_path):
    write_volume(tmp_path / "in" / "good.nii.gz")
    (tmp_path / "in" / "bad.nii.gz").write_bytes(b"\x1f\x8b nothing")
    (tmp_path / "in" / "notes.txt").write_text("no image")

    done = run("encode", tmp_path / "in", "-o", tmp_path / "out", "--quiet")

    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [done.stderr.strip()]
    assert done.stderr.startswith("error: bad: ")


def test_an_error_names_its_source_though_it_speaks_of_slices(tmp_path):
    made = [make_slice(at) for at in (0, 1, 2, 9)]
    save_all(made, tmp_path / "thorax")
    for words in (("encode", tmp_path / "thorax", "-o", tmp_path / "out"),
                  ("inspect", tmp_path / "thorax")):  # fmt: skip
        done = run(*words)
        assert done.exit_code == 1
        assert "thorax: slices are" in f"{done.stderr}{done.exception}"


def test_codes_can_be_exported_as_a_series_too(tmp_path):
    volume = write_volume(tmp_path / "ct.nii.gz")

    assert run("encode", volume, "-o", tmp_path / "codes.dcm").exit_code == 0
    assert run("inspect", tmp_path / "codes.dcm").exit_code == 0


def test_a_series_asked_for_is_the_only_one_encoded(tmp_path):
    for mark, slices in (("1.2.3", 3), ("1.2.4", 2)):
        made = [make_slice(at, SeriesInstanceUID=mark) for at in range(slices)]
        save_all(made, tmp_path / "export" / mark)
    done = run("encode", tmp_path / "export", "-o", tmp_path / "out", "--series", "2", "--json")

    assert done.exit_code == 0, done.output
    assert [one["shape"][2] for one in json.loads(done.stdout)["results"]] == [2]
    assert outputs(tmp_path / "out") == ["1.2.4.latent"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("reconstruct", "-o", "out", "--panel", "p.png"), "2 images cannot share p.png"),
        (("reconstruct", "-o", "out", "--residual", "r.nii.gz"), "such as *.nii.gz"),
        (("reconstruct", "-o", "out", "--outside", "report"), "--outside speaks of the windows"),
        (("reconstruct", "-o", "out.mgz"), ".mgz is read but not written; choose one of .nii.gz"),
        (("encode", "-o", "out", "--latent", "project"), "did you mean projected?"),
    ],
)
def test_what_could_not_be_done_is_refused_before_the_work(tmp_path, monkeypatch, words, why):
    for seed, name in enumerate(("a.nii.gz", "b.nii.gz")):
        write_volume(tmp_path / "in" / name, seed)
    monkeypatch.chdir(tmp_path)
    verb, *rest = words

    done = run(verb, "in", *rest, "-c", "bicubic-4x-3d")

    assert why in str(done.exception)
    assert outputs(tmp_path) == ["in/a.nii.gz", "in/b.nii.gz"]


def test_grey_saved_as_colour_is_no_merit_of_the_codec(tmp_path):
    write_picture(tmp_path / "grey.png")
    pixels = plica.read(tmp_path / "grey.png").pixels
    Pillow.fromarray(np.repeat(pixels[0, :, :, 0].T[..., None], 3, -1)).save(
        tmp_path / "colour.png"
    )
    found = {}
    for name in ("grey", "colour"):
        words = ("encode", tmp_path / f"{name}.png", "-o", tmp_path / f"{name}.latent", "--json",
                 "--codec", "linear-4x3-2d")  # fmt: skip
        (found[name],) = json.loads(run(*words).stdout)["results"]

    assert plica.read(tmp_path / "colour.png").channels == 3
    assert found["grey"]["voxels_per_code"] == found["colour"]["voxels_per_code"]
    assert found["grey"]["codes"] == found["colour"]["codes"]
