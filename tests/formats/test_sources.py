import numpy as np
import pytest
from tests.formats.dicom_scenes import make_slice, save_all
from tests.formats.scenes import GRIDS, marked, numbers

from plica.errors import UnreadableFile
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
    assert {path.name for path, reason in found.skipped if reason} == {
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
