import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.formats.dicom_scenes import make_slice, save, save_all
from tests.formats.scenes import GRIDS, marked, numbers

from plica.errors import InputError, UnreadableFile
from plica.formats.doors import read, write
from plica.formats.sources import Source, find_sources, strip_ending
from plica.image import Image


def make(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    write(marked(GRIDS["RAS"]), path)
    return path


def names(paths):
    return [source.name for source in find_sources(paths).sources]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.nii.gz", "a"), ("a.1.nii.gz", "a.1"), ("a.2.nii.gz", "a.2"),
        ("1.2.840.99", "1.2.840.99"),
        ("1.2.840.99.dcm", "1.2.840.99"), ("IM_0001", "IM_0001"), ("study.zip", "study"),
        ("a.tar.gz", "a.tar.gz"), (".hidden", ".hidden"),
    ],
)  # fmt: skip
def test_names_lose_known_endings_only(name, stem):
    assert strip_ending(name) == stem


def test_a_tree_keeps_its_folders_in_names_and_its_order(tmp_path):
    for name in ("b/a.nii.gz", "a/a.nii.gz", "a.1.nii.gz", "a.2.nii.gz", "c/d/e.nrrd"):
        make(tmp_path / name)
    assert names([tmp_path]) == ["a.1", "a.2", "a/a", "b/a", "c/d/e"]
    assert names([tmp_path / "c", tmp_path / "b"]) == ["d/e", "a"]


def test_what_is_no_image_is_skipped_with_a_reason_in_a_tree_and_never_when_named(tmp_path):
    make(tmp_path / "a.nii")
    for name in ("LICENSE", "table.csv", "notes.txt", "facts.json"):
        (tmp_path / name).write_text("words, words\n")
    found = find_sources([tmp_path])
    assert [source.name for source in found.sources] == ["a"]
    assert {one.path.name for one in found.skipped if one.reason} == {
        "LICENSE", "table.csv", "notes.txt", "facts.json"}  # fmt: skip
    assert names([tmp_path / "table.csv"]) == ["table.csv"]


def test_damaged_images_stay_so_that_they_fail_by_name(tmp_path):
    (tmp_path / "empty.nii.gz").touch()
    (tmp_path / "table.nii.gz").write_text("a,b\n")
    (tmp_path / "page.png").write_text("<html></html>")
    assert names([tmp_path]) == ["empty", "page", "table"]


def test_hidden_files_and_halves_of_pairs_are_left_out(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    image = Image(numbers("int16"), GRIDS["RAS"])
    sitk.WriteImage(image.to_sitk(), str(tmp_path / "a.mhd"))
    sitk.WriteImage(image.to_sitk(), str(tmp_path / "b.hdr"))
    sitk.WriteImage(image.to_sitk(), str(tmp_path / "c.nhdr"))
    (tmp_path / ".a.nii.gz.part").write_bytes(bytes(10))
    assert names([tmp_path]) == ["a", "b", "c"]


def test_latents_are_left_out_of_images(tmp_path):
    from tests.formats.test_doors import make_latent

    write(make_latent(), tmp_path / "a.latent")
    found = find_sources([tmp_path])
    assert not found.sources
    assert found.skipped[0].reason == "a latent already"


def test_a_path_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(UnreadableFile, match="no such file"):
        find_sources([tmp_path / "gone"])


def test_a_series_is_one_source_named_after_its_folder(tmp_path):
    save_all([make_slice(at) for at in range(3)], tmp_path / "study" / "ct")
    make(tmp_path / "study" / "mr" / "t1.nii.gz")
    found = find_sources([tmp_path / "study"]).sources
    assert [source.name for source in found] == ["ct", "mr/t1"]
    assert found[0] == Source("ct", tmp_path / "study" / "ct")
    assert read(found[0].path).grid.shape[2] == 3
    assert names([tmp_path / "study" / "ct"]) == ["ct"]


def test_every_source_of_the_real_tree_has_one_path_and_most_have_one_name(shared):
    found = find_sources([shared / "data"])
    assert len(found.sources) > 250
    assert found == find_sources([shared / "data"])
    places = [(source.path, source.series) for source in found.sources]
    assert len(set(places)) == len(places)
    taken = {source.path for source in found.sources}
    assert shared / "data/chest-ct/lidc-idri-0314/dicom" in taken
    assert np.all([not source.name.startswith("/") for source in found.sources])


def save_two_series(folder):
    """Three axial slices, two coronal ones of the same series, and two of another series."""
    save_all([make_slice(at) for at in range(3)], folder / "a")
    coronal = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}
    save_all([make_slice(position=(0, at, 0), **coronal) for at in range(2)], folder / "b")
    save_all([make_slice(at, SeriesInstanceUID="1.2.3.5") for at in range(2)], folder / "c")
    return folder


def pack(folder, archive):
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*.dcm")):
            file.write(path, path.relative_to(folder))
    return archive


def test_a_zip_of_several_series_is_as_many_sources(tmp_path):
    (tmp_path / "packed").mkdir()
    archive = pack(save_two_series(tmp_path / "export"), tmp_path / "packed" / "export.zip")
    for paths in ([archive], [archive.parent]):
        found = find_sources(paths).sources
        assert [source.name for source in found] == [f"export/series-{at}" for at in (1, 2, 3)]
        assert [read(one.path, series=one.series).grid.shape[2] for one in found] == [3, 2, 2]


def test_a_zip_of_one_series_and_a_damaged_zip_are_one_source(tmp_path):
    save_all([make_slice(at) for at in range(3)], tmp_path / "ct")
    archive = pack(tmp_path / "ct", tmp_path / "ct.zip")
    (tmp_path / "damaged.zip").write_bytes(archive.read_bytes()[:200])
    assert names([archive, tmp_path / "damaged.zip"]) == ["ct", "damaged"]


def test_a_chosen_series_makes_each_path_one_source(tmp_path):
    folder = save_two_series(tmp_path / "export")
    archive = pack(folder, tmp_path / "export.zip")
    found = find_sources([folder, archive], series="3").sources
    assert [(one.name, one.series) for one in found] == [("c", "3"), ("export/series-3", "3")]
    assert [read(one.path, series=one.series).grid.shape[2] for one in found] == [2, 2]


def test_the_folder_one_stands_in_has_its_name(tmp_path, monkeypatch):
    save_all([make_slice(at) for at in range(3)], tmp_path / "ct")
    monkeypatch.chdir(tmp_path / "ct")
    assert names([Path()]) == ["ct"]
    assert [one.name for one in find_sources([Path()], series="1").sources] == ["ct"]
    for at in (8, 9):
        save(make_slice(at, SeriesInstanceUID="1.2.3.5"), tmp_path / "ct" / f"{at}.dcm")
    assert names([Path()]) == ["ct/series-1", "ct/series-2"]


@pytest.mark.parametrize("hostile", ["/README.txt", "../../README.txt", "a\\..\\README.txt"])
def test_what_a_zip_holds_besides_is_named_as_the_zip_does_and_stays_below_it(tmp_path, hostile):
    save_all([make_slice(at) for at in range(3)], tmp_path / "ct")
    report = make_slice(0, PixelData=None, Rows=None, Columns=None, Modality="SR",
                        SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")  # fmt: skip
    save(report, tmp_path / "ct" / "SE9" / "SR1.dcm")
    archive = pack(tmp_path / "ct", tmp_path / "ct.zip")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(hostile, "not an image")
    skipped = find_sources([archive]).skipped
    below = {one.path.relative_to(archive).as_posix() for one in skipped}
    assert "SE9/SR1.dcm" in below
    assert {name for name in below if name.endswith("README.txt")} <= {"README.txt", "a/README.txt"}
    assert len(below) == 2


def test_a_zip_without_images_is_one_source_and_reading_says_what_is_wrong(tmp_path):
    with zipfile.ZipFile(tmp_path / "notes.zip", "w") as file:
        file.writestr("README.txt", "not an image")
    (found,) = find_sources([tmp_path / "notes.zip"]).sources
    assert found == Source("notes", tmp_path / "notes.zip")
    with pytest.raises(InputError, match="DICOM"):
        read(found.path)
