"""Damaged bytes lead to our own errors, in time and never to a crash or a warning."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.formats.dicom_scenes import make_slice, packaged, save

from plica.errors import NotAnImage, PlicaError
from plica.formats import dicom

FILES = (
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_dcmtk_+eb+cy+np.dcm",
    "rtdose.dcm",
    "image_dfl.dcm",
    "liver_1frame.dcm",
    "SC_rgb_small_odd.dcm",
    "dicomdirtests/DICOMDIR",
)
SETTINGS = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def check_reading(path: Path, content: bytes) -> None:
    """An image or a short sentence of ours."""
    path.write_bytes(content)
    try:
        image = dicom.read(path)
    except PlicaError as refusal:
        said = str(refusal)
    else:
        said = f"{image.pixels.size} values"
    assert 0 < len(said) < 1000
    dicom.find_series([path])


@SETTINGS
@given(st.sampled_from(FILES), st.data())
def test_changed_bytes_are_read_or_refused(tmp_path: Path, name: str, data: st.DataObject) -> None:
    content = bytearray(packaged(name).read_bytes())
    # Most of a file is pixels; attributes, where damage tells, come first.
    places = st.one_of(
        st.integers(132, min(3000, len(content) - 1)), st.integers(0, len(content) - 1)
    )
    for _ in range(data.draw(st.integers(1, 12))):
        content[data.draw(places)] = data.draw(st.integers(0, 255))
    check_reading(tmp_path / "changed.dcm", bytes(content))


@SETTINGS
@given(st.sampled_from(FILES), st.floats(0, 1))
def test_a_file_cut_anywhere_is_read_or_refused(tmp_path: Path, name: str, kept: float) -> None:
    content = packaged(name).read_bytes()
    check_reading(tmp_path / "cut.dcm", content[: int(len(content) * kept)])


@pytest.mark.parametrize("content", [b"", b"\0" * 200, b"DICM", b"\0" * 128 + b"DICM", b"PK\3\4"])
def test_next_to_nothing_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "nothing.dcm"
    path.write_bytes(content)
    with pytest.raises(PlicaError):
        dicom.read(path)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlicaError, match="cannot be opened"):
        dicom.read(tmp_path / "absent.dcm")
    with pytest.raises(PlicaError, match="no DICOM images"):
        dicom.read(tmp_path)
    assert not dicom.is_dicom(tmp_path)
    assert not dicom.is_dicom(tmp_path / "absent.dcm")


@pytest.mark.filterwarnings("ignore")
def test_the_words_of_a_damaged_file_are_cut_off_in_messages_and_kept_out_of_images(tmp_path):
    page = "1.2.\x1b[2JDoe^Jane " + "x" * 5000
    dataset = make_slice(0)
    dataset.Modality = "CT" + page
    dataset.VOILUTFunction = page
    dataset.WindowCenter, dataset.WindowWidth = 40, 400
    image = dicom.read(save(dataset, tmp_path / "words.dcm"))
    assert image.provenance.modality == "CT"
    assert "Doe" not in str(image.provenance)

    dataset.SOPClassUID = page
    del dataset.Rows, dataset.Columns
    with pytest.raises(NotAnImage) as caught:
        dicom.read(save(dataset, tmp_path / "kind.dcm"))
    assert len(str(caught.value)) < 200
    assert "\x1b" not in str(caught.value)
