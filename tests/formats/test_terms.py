"""What a source says in words of its own never reaches an output."""

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from robustness.markers import find_markers
from tests.formats.dicom_scenes import make_slice, save

from plica.errors import InputError
from plica.formats import dicom, latents, nrrd, terms
from plica.formats.dicom_file import open_header
from plica.formats.dicom_segments import label_values
from plica.formats.doors import read, write
from plica.formats.imprint import Imprint
from plica.grid import Grid
from plica.image import Image, Provenance, Unit
from plica.latent import CodecIdentity, Latent

WORD = "SAMPLE PERSON"
MR = "1.2.840.10008.5.1.4.1.1.4"
FREE = (
    "PatientName", "PatientID", "PatientComments", "OtherPatientIDs", "AccessionNumber",
    "InstitutionName", "StationName", "StudyDescription", "SeriesDescription", "ProtocolName",
    "ImageComments", "DerivationDescription", "OperatorsName", "ReferringPhysicianName",
    "ManufacturerModelName", "DeviceSerialNumber", "ContrastBolusAgent", "BodyPartExamined",
    "RescaleType", "Modality", "Units", "SUVType", "PatientPosition", "ImageType", "ScanOptions",
    "WindowCenterWidthExplanation", "VOILUTFunction", "LossyImageCompression", "PatientOrientation",
    "BurnedInAnnotation", "PresentationLUTShape", "SequenceName", "KVP", "ConversionType",
)  # fmt: skip


def scan(path: Path, **attributes: object) -> Path:
    """A slice that says WORD wherever words are free, or should not be and can."""
    words = {keyword: WORD for keyword in FREE if keyword != "KVP"}
    return save(make_slice(**(words | attributes)), path)


def outputs(image: Image, folder: Path) -> list[Path]:
    """The image in every format plica writes, and as a latent."""
    written = []
    for ending in (".nii", ".nii.gz", ".nrrd", ".mha", ".tiff", ".png", ".npz", ".npy", ".dcm"):
        write(image, folder / f"out{ending}")
        written.append(folder / f"out{ending}")
    codes = np.zeros((1, *image.grid.shape), np.float32)
    codec = CodecIdentity("none", "sha256:0", {})
    latent = Latent(codes, codec, image.grid, (1, 1, 1), image.grid, provenance=image.provenance)
    latents.write(latent, folder / "out.latent")
    return [*written, folder / "out.latent"]


def find_words(path: Path) -> set[str]:
    """Which of the source's words stand in a file, also in what is packed in it."""
    files = [path] if path.is_file() else sorted(path.rglob("*.dcm"))
    wanted = {word: word for word in ("SAMPLE", "SECRET-7", "DOE^")}
    return {word for file in files for word in find_markers(file.read_bytes(), wanted)}


@pytest.mark.parametrize("modality", [WORD, "CT", "PT", "SAMPLE"])
@pytest.mark.parametrize("units", [WORD, "GML"])
def test_no_word_of_a_source_reaches_any_output(tmp_path, modality, units):
    image = read(scan(tmp_path / "scan.dcm", Modality=modality, Units=units))
    assert WORD.split()[0] not in str(image.provenance.to_json()).upper()
    for path in outputs(image, tmp_path):
        assert find_words(path) == set(), path


def test_a_word_in_a_packed_text_of_numpys_would_be_found(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", texts=np.array([f"of {WORD}, again {WORD}"]))
    assert find_words(tmp_path / "a.npz") == {"SAMPLE"}


def test_what_is_asked_for_is_there(tmp_path):
    image = dicom.read(scan(tmp_path / "scan.dcm"), identity=True)
    assert image.provenance.identity["PatientName"] == WORD


def test_a_term_of_dicoms_is_quoted_and_another_word_is_not(tmp_path):
    def notes(**attributes: object) -> str:
        return " ".join(read(save(make_slice(**attributes), tmp_path / "a.dcm")).provenance.notes)

    assert "its rescale type is 'US'" in notes(RescaleType="US")
    assert "its rescale type is none of DICOM's" in notes(RescaleType=WORD)
    assert "its unit is 'CNTS'" in notes(Modality="PT", Units="CNTS")
    assert "its unit is none of DICOM's" in notes(Modality="PT", Units=WORD)
    assert "normalised by 'LBM'" in notes(Modality="PT", Units="GML", SUVType="LBM")
    assert "normalised by none of DICOM's" in notes(Modality="PT", Units="GML", SUVType=WORD)
    assert "modality is none of DICOM's" in notes(Modality=WORD)
    assert "DICOM's" not in notes(Modality="CT")
    other = {"SOPClassUID": MR}
    assert "unit is taken as 'relative'" in notes(Modality="MR", RescaleType=WORD, **other)
    assert "DICOM's" not in notes(Modality="MR", RescaleType="US", **other)


@pytest.mark.parametrize("modality", ["SAMPLE", "CT", ""])
def test_a_ct_of_odd_words_says_why_it_is_not_in_hounsfield_units(tmp_path, modality):
    path = save(make_slice(Modality=modality, RescaleType="SAMPLE"), tmp_path / "a.dcm")
    image = read(path)
    assert image.unit is Unit.RELATIVE
    assert "not taken for Hounsfield units" in " ".join(image.provenance.notes)
    plain = read(save(make_slice(Modality=modality), tmp_path / "b.dcm"))
    assert plain.unit is Unit.HU


@pytest.mark.parametrize(("stated", "kept"), [("CT", "CT"), ("SAMPLE", "CT"), ("MG", "MG")])
def test_a_modality_is_dicoms_or_that_of_its_class(tmp_path, stated, kept):
    image = read(save(make_slice(Modality=stated), tmp_path / "a.dcm"))
    assert image.provenance.modality == kept


def test_an_unknown_modality_is_other_in_dicom_and_nothing_elsewhere(tmp_path):
    grid = Grid((2, 2, 1), read(save(make_slice(), tmp_path / "a.dcm")).grid.affine)
    pixels = np.zeros((1, 2, 2, 1), np.uint8)
    named = Image(pixels, grid, provenance=Provenance(modality="SAMPLE"))
    assert Imprint.of(named).modality == ""
    (file,) = dicom.write(named, tmp_path / "out")
    assert open_header(file).text("Modality") == "OT"


def test_a_segments_label_stays_behind(tmp_path):
    item = Dataset()
    item.SegmentNumber, item.SegmentLabel = 1, WORD
    header = open_header(save(make_slice(Modality="SEG", SegmentSequence=[item]), tmp_path / "s"))
    _, _, notes = label_values(header, np.ones((1, 2, 2, 1), np.uint8), "1")
    assert notes == ["The voxels are those of segment 1."]


def test_a_damaged_files_sentence_quotes_no_value(tmp_path):
    path = save(make_slice(), tmp_path / "a.dcm")
    data = path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"SAMPLE PERSON SAMPLE")
    path.write_bytes(data)
    with pytest.raises(InputError) as refusal:
        read(path)
    assert "SAMPLE PERSON" not in str(refusal.value)


def test_burnt_in_text_is_noted_and_said_again_in_dicom(tmp_path):
    image = read(save(make_slice(BurnedInAnnotation="YES"), tmp_path / "a.dcm"))
    assert any("burnt into its pixels" in note for note in image.provenance.notes)
    (file,) = dicom.write(image, tmp_path / "out", method="codec")
    assert open_header(file).text("BurnedInAnnotation") == "YES"
    plain = read(save(make_slice(BurnedInAnnotation="NO"), tmp_path / "b.dcm"))
    (file,) = dicom.write(plain, tmp_path / "plain")
    assert "BurnedInAnnotation" not in open_header(file)


def test_a_spaces_name_is_not_quoted(tmp_path):
    path = tmp_path / "a.nrrd"
    write(read(save(make_slice(), tmp_path / "a.dcm")), path)
    whole = path.read_bytes()
    assert b"space: left-posterior-superior" in whole
    path.write_bytes(whole.replace(b"space: left-posterior-superior", b"space: SAMPLE PERSON"))
    notes = " ".join(nrrd.read(path).provenance.notes)
    assert "space is not anatomical" in notes
    assert "SAMPLE" not in notes.upper()


def test_terms_are_terms():
    assert all(term == term.strip().upper() for term in terms.MODALITIES)
    assert {"CT", "MR", "DX", "OT", "SEG"} <= terms.MODALITIES
