import subprocess
import sys

import numpy as np
import pytest
from tests.formats.scenes import GRIDS, LANDMARK, find_mark, marked, numbers

import plica.formats.dicom
from plica.errors import InputError, NotAnImage, OutputError, UnsupportedFormat
from plica.formats import latents
from plica.formats.doors import FORMATS, WRITERS, read, read_latent, write
from plica.grid import Grid
from plica.image import Image, Unit
from plica.latent import CodecIdentity, Latent

WITH_PLACE = [".nii", ".nii.gz", ".nrrd", ".mha", ".npz", ".tif", ".tiff"]


def make_latent():
    grid = Grid.from_spacing((4, 4, 4))
    codes = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    return Latent(codes, CodecIdentity("x", "sha256:0"), grid, (2, 2, 2), grid)


@pytest.mark.parametrize("ending", WITH_PLACE)
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_marked_voxel_keeps_its_place_through_every_door(tmp_path, ending, grid):
    path = tmp_path / f"a{ending}"
    assert write(marked(grid, unit=Unit.HU), path) == path
    image = read(path)
    assert np.allclose(find_mark(image), grid.to_world(LANDMARK), atol=1e-4)
    assert image.grid.agrees_with(grid, 1e-3)
    assert image.unit is Unit.HU


@pytest.mark.parametrize("ending", [".png", *WITH_PLACE])
@pytest.mark.parametrize("dtype", ["int16", "uint8", "uint16"])
def test_a_radiograph_comes_back_from_every_format(tmp_path, ending, dtype):
    grid = Grid.from_spacing((7, 5, 1), (-0.1, -0.1, 1))
    image = Image(numbers(dtype, shape=(7, 5, 1)), grid, Unit.RELATIVE)
    write(image, tmp_path / f"a{ending}")
    back = read(tmp_path / f"a{ending}")
    assert np.array_equal(back.pixels, image.pixels)
    assert back.pixels.dtype == dtype
    assert back.grid.agrees_with(grid, 1e-6)


def test_all_formats_give_one_image(tmp_path):
    image = Image(numbers("int16"), GRIDS["oblique"], Unit.HU)
    contents = set()
    for ending in WITH_PLACE:
        write(image, tmp_path / f"a{ending}")
        contents.add(read(tmp_path / f"a{ending}").provenance.content)
    assert len(contents) == 1


def test_every_name_in_the_tables_is_there():
    for table in (FORMATS, WRITERS):
        for name in table:
            assert callable(table.get_thing(name)), name


def test_an_array_needs_its_spacing_and_other_files_refuse_one(tmp_path):
    image = Image(numbers("int16"), GRIDS["RAS"])
    write(image, tmp_path / "a.npy")
    write(image, tmp_path / "a.nii")
    assert read(tmp_path / "a.npy", spacing_mm=(1.0, 2.0, 3.0)).grid.spacing_mm == (1, 2, 3)
    with pytest.raises(InputError, match="spacing_mm"):
        read(tmp_path / "a.npy")
    with pytest.raises(InputError, match="spacing_mm"):
        read(tmp_path / "a.nii", spacing_mm=(1.0, 2.0, 3.0))
    with pytest.raises(InputError, match="series"):
        read(tmp_path / "a.nii", series="1")


def test_a_unit_may_be_given_by_name_and_typing_errors_are_said(tmp_path):
    write(Image(numbers("int16"), GRIDS["RAS"]), tmp_path / "a.nii")
    assert read(tmp_path / "a.nii", unit="hu").unit is Unit.HU
    assert read(str(tmp_path / "a.nii"), unit=Unit.SUV).unit is Unit.SUV
    with pytest.raises(InputError, match="no unit 'hounsfield'"):
        read(tmp_path / "a.nii", unit="hounsfield")


def test_latents_go_through_their_own_door(tmp_path):
    latent = make_latent()
    write(latent, tmp_path / "a.latent", dtype="int8")
    assert latents.read(tmp_path / "a.latent").stored["dtype"] == "int8"
    assert np.array_equal(read_latent(str(tmp_path / "a.latent")).codes,
                          latents.read(tmp_path / "a.latent").codes)  # fmt: skip
    with pytest.raises(UnsupportedFormat, match="decode it"):
        read(tmp_path / "a.latent")
    with pytest.raises(OutputError, match="encode it"):
        write(marked(GRIDS["RAS"]), tmp_path / "b.latent")
    write(latent, tmp_path / "a.nii")
    assert np.array_equal(read(tmp_path / "a.nii").pixels, latent.codes)


@pytest.mark.parametrize("name", ["a.jpg", "a.xyz", "a.mgz", "case.1"])
def test_an_ending_nothing_is_written_under_is_refused(tmp_path, name):
    with pytest.raises(OutputError, match=r"\.nii"):
        write(marked(GRIDS["RAS"]), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", [*WITH_PLACE, ".npy"])
def test_what_exists_stays_unless_overwriting_is_asked_for(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="overwrite"):
        write(marked(GRIDS["RAS"]), path)
    assert path.read_bytes() == b"precious"
    write(marked(GRIDS["RAS"]), path, overwrite=True)
    assert path.read_bytes() != b"precious"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_folder_is_a_dicom_series(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        plica.formats.dicom, "write", lambda *given, **options: asked.append((given, options))
    )
    image = marked(GRIDS["RAS"])
    for name in ("series", "series.dcm", "deep.er/"):
        write(image, f"{tmp_path}/{name}", like=tmp_path)
    assert [given[1].name for given, _ in asked] == ["series", "series.dcm", "deep.er"]
    assert all(options["like"] == tmp_path for _, options in asked)
    with pytest.raises(OutputError, match="like"):
        write(image, tmp_path / "a.nii", like=tmp_path)
    with pytest.raises(OutputError, match="dtype"):
        write(image, tmp_path / "series", dtype="int16")


@pytest.mark.parametrize("series", [None, 2])
def test_a_folder_of_other_images_names_one_of_them(tmp_path, series):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(NotAnImage, match="give a folder, zip or file with some"):
        read(tmp_path, series=series)
    write(marked(GRIDS["RAS"]), tmp_path / "b" / "ct.nii.gz")
    with pytest.raises(
        NotAnImage, match=r"but 1 file of other formats: name one, such as .*ct\.nii"
    ):
        read(tmp_path, series=series)


def test_the_door_opens_without_the_libraries_behind_it():
    code = (
        "import sys, plica.formats.doors, plica.formats.sources; "
        "print([m for m in ('nibabel', 'pydicom', 'PIL', 'torch', 'h5py') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
