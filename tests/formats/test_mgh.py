import gzip

import numpy as np
import pytest
from tests.formats.scenes import GRIDS, LANDMARK, find_mark, marked, numbers

from plica.errors import AmbiguousSource, PlicaError, UnreadableFile
from plica.formats import mgh

nibabel = pytest.importorskip("nibabel")


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("ending", [".mgh", ".mgz"])
def test_a_marked_voxel_of_a_file_nibabel_wrote_is_in_its_place(tmp_path, grid, ending):
    nibabel.save(nibabel.MGHImage(marked(grid).pixels[0], grid.affine), tmp_path / f"a{ending}")

    image = mgh.read(tmp_path / f"a{ending}")
    assert np.allclose(find_mark(image), grid.to_world(LANDMARK), atol=1e-3)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32"])
def test_every_type_is_read_bit_for_bit(tmp_path, dtype):
    array = np.clip(numbers(dtype)[0], -(2**31), 2**31 - 1).astype(dtype)
    nibabel.save(nibabel.MGHImage(array, np.eye(4)), tmp_path / "a.mgz")

    read = mgh.read(tmp_path / "a.mgz")
    assert read.pixels.dtype == dtype
    assert np.array_equal(read.pixels[0], array)


def test_the_real_file_reads_as_nibabel_reads_it(shared):
    file = shared / "data/odd-formats/other-containers/nibabel_test.mgz"
    other = nibabel.load(file)
    with pytest.raises(AmbiguousSource):
        mgh.read(file)
    for volume in range(2):
        image = mgh.read(file, volume=volume)
        assert np.array_equal(image.pixels[0], np.asanyarray(other.dataobj)[..., volume])
        assert np.allclose(image.grid.affine, other.affine, atol=1e-5)


def test_a_file_that_says_nothing_of_its_place_is_coronal_as_freesurfer_takes_it(tmp_path):
    nibabel.save(nibabel.MGHImage(numbers("int16")[0], GRIDS["oblique"].affine), tmp_path / "a.mgh")
    raw = bytearray((tmp_path / "a.mgh").read_bytes())
    raw[28:30] = bytes(2)
    (tmp_path / "a.mgh").write_bytes(raw)

    image = mgh.read(tmp_path / "a.mgh")
    assert image.grid.orientation == "LIA"
    assert np.allclose(image.grid.to_world(np.array(image.grid.shape) / 2), 0)
    assert "coronal" in image.provenance.notes[0]


@pytest.mark.parametrize(("at", "value"), [(0, 9), (4, 0), (4, 2**31 - 1), (20, 77), (30, 0)])
def test_damaged_headers_are_refused(tmp_path, at, value):
    nibabel.save(nibabel.MGHImage(numbers("int16")[0], np.eye(4)), tmp_path / "a.mgh")
    raw = bytearray((tmp_path / "a.mgh").read_bytes())
    raw[at : at + 4] = value.to_bytes(4, "big")
    (tmp_path / "a.mgh").write_bytes(raw)
    with pytest.raises(PlicaError):
        mgh.read(tmp_path / "a.mgh")


@pytest.mark.parametrize("kept", [0, 100, 290])
def test_truncated_files_are_refused(tmp_path, kept):
    nibabel.save(nibabel.MGHImage(numbers("int16")[0], np.eye(4)), tmp_path / "a.mgh")
    (tmp_path / "b.mgh").write_bytes((tmp_path / "a.mgh").read_bytes()[:kept])
    with pytest.raises(UnreadableFile):
        mgh.read(tmp_path / "b.mgh")


@pytest.mark.parametrize("frame", [0, 1])
def test_a_packed_file_whose_checksum_is_wrong_is_refused_whichever_frame_is_read(tmp_path, frame):
    array = np.arange(48, dtype=np.float32).reshape(2, 3, 4, 2)
    nibabel.save(nibabel.MGHImage(array, np.eye(4)), tmp_path / "a.mgh")
    packed = bytearray(gzip.compress((tmp_path / "a.mgh").read_bytes()))
    packed[-6] ^= 1
    (tmp_path / "a.mgz").write_bytes(packed)
    with pytest.raises(UnreadableFile, match="CRC"):
        mgh.read(tmp_path / "a.mgz", volume=frame)
