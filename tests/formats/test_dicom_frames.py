"""Multi-frame and enhanced objects stand where their frames say they are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from tests.formats.dicom_scenes import COLUMNS, ROWS, make_slice, packaged, save

from plica.errors import AmbiguousSource, NotAVolume, UnreadableFile
from plica.formats import dicom
from plica.image import Unit

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
STACK = tuple[tuple[float, int], ...]


def item(**attributes: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def make_enhanced(frames: STACK, slopes: tuple[float, ...] = ()) -> Dataset:
    """An enhanced MR whose frame n is full of n, at the places and b-values given."""
    dataset = make_slice(0, Modality="MR", SOPClassUID=ENHANCED_MR, NumberOfFrames=len(frames))
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        del dataset[keyword]
    del dataset.RescaleSlope, dataset.RescaleIntercept, dataset.SliceThickness
    shared = Dataset()
    shared.PlaneOrientationSequence = [item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    shared.PixelMeasuresSequence = [item(PixelSpacing=[0.5, 0.75], SliceThickness=3)]
    dataset.SharedFunctionalGroupsSequence = [shared]
    each = []
    for number, (z, b_value) in enumerate(frames):
        group = Dataset()
        group.PlanePositionSequence = [item(ImagePositionPatient=[-10, -20, z])]
        group.MRDiffusionSequence = [item(DiffusionBValue=float(b_value))]
        if slopes:
            values = item(RescaleSlope=slopes[number], RescaleIntercept=0, RescaleType="US")
            group.PixelValueTransformationSequence = [values]
        each.append(group)
    dataset.PerFrameFunctionalGroupsSequence = each
    pixels = np.arange(len(frames), dtype=np.int16)[:, None, None]
    dataset.PixelData = np.broadcast_to(pixels, (len(frames), ROWS, COLUMNS)).tobytes()
    return dataset


def test_frames_are_ordered_by_place(tmp_path: Path) -> None:
    frames = ((4.0, 0), (0.0, 0), (2.0, 0))
    image = dicom.read(save(make_enhanced(frames), tmp_path / "a.dcm"))
    assert image.pixels[0, 0, 0].tolist() == [1, 2, 0]
    assert image.grid.shape == (COLUMNS, ROWS, 3)
    assert image.grid.to_world((0, 0, 2)).tolist() == [10.0, 20.0, 4.0]
    assert image.grid.spacing_mm == (0.75, 0.5, 2.0)


def test_b_values_are_volumes_to_choose_from(tmp_path: Path) -> None:
    frames = ((0.0, 1000), (0.0, 0), (2.0, 1000), (2.0, 0))
    path = save(make_enhanced(frames), tmp_path / "a.dcm")
    with pytest.raises(AmbiguousSource, match=r"2 volumes \(0: DiffusionBValue 0"):
        dicom.read(path)
    assert dicom.read(path, volume=0).pixels[0, 0, 0].tolist() == [1, 3]
    assert dicom.read(path, volume=1).pixels[0, 0, 0].tolist() == [0, 2]


def test_each_frame_has_its_own_slope(tmp_path: Path) -> None:
    frames = ((0.0, 0), (2.0, 0), (4.0, 0))
    path = save(make_enhanced(frames, slopes=(1.0, 0.5, 0.25)), tmp_path / "a.dcm")
    assert dicom.read(path).pixels[0, 0, 0].tolist() == [0.0, 0.5, 0.5]


def test_a_missing_frame_is_named(tmp_path: Path) -> None:
    frames = ((0.0, 0), (2.0, 0), (6.0, 0), (8.0, 0))
    with pytest.raises(NotAVolume, match=r"frame 2 of a\.dcm and frame 3"):
        dicom.read(save(make_enhanced(frames), tmp_path / "a.dcm"))


def test_frames_and_descriptions_of_another_number_are_refused(tmp_path: Path) -> None:
    dataset = make_enhanced(((0.0, 0), (2.0, 0)))
    dataset.NumberOfFrames = 1
    with pytest.raises(UnreadableFile, match="contradicts itself"):
        dicom.read(save(dataset, tmp_path / "a.dcm"))


def test_a_dose_grid_stands_by_its_offsets() -> None:
    image = dicom.read(packaged("rtdose.dcm"))
    assert image.grid.shape == (10, 10, 15)
    assert image.grid.spacing_mm == (10.0, 10.0, 5.0)


def test_a_dose_in_gray_says_so_and_absolute_offsets_are_understood(tmp_path: Path) -> None:
    attributes = {"RescaleSlope": None, "RescaleIntercept": None, "Modality": "RTDOSE"}
    dataset = make_slice(7.0, **attributes, DoseUnits="GY", DoseGridScaling=0.5, NumberOfFrames=2)
    dataset.PixelData = np.repeat([2, 8], ROWS * COLUMNS).astype(np.int16).tobytes()
    for offsets in ([0, 3], [7, 10]):
        dataset.GridFrameOffsetVector = offsets
        image = dicom.read(save(dataset, tmp_path / "dose.dcm"))
        assert image.unit is Unit.GRAY
        assert image.pixels[0, 0, 0].tolist() == [1.0, 4.0]
        assert image.grid.to_world((0, 0, 1)).tolist() == [10.0, 20.0, 10.0]


def test_a_cine_loop_counts_frames_along_k() -> None:
    image = dicom.read(packaged("examples_ybr_color.dcm"))
    assert image.grid.shape == (320, 240, 30)
    assert not image.grid.calibrated
    assert any("counts frames" in note for note in image.provenance.notes)


def make_segments() -> Dataset:
    """Two segments of two slices each, the second in all pixels of the second slice."""
    dataset = make_enhanced(((0.0, 0), (2.0, 0), (0.0, 0), (2.0, 0)))
    dataset.Modality, dataset.SOPClassUID = "SEG", "1.2.840.10008.5.1.4.1.1.66.4"
    dataset.SegmentationType = "BINARY"
    dataset.SegmentSequence = [item(SegmentNumber=n, SegmentLabel=f"organ {n}") for n in (1, 2)]
    for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        which = item(ReferencedSegmentNumber=number // 2 + 1)
        group.SegmentIdentificationSequence = [which]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    dataset.PixelData = np.repeat([1, 1, 0, 1], ROWS * COLUMNS).astype(np.uint8).tobytes()
    return dataset


def test_segments_are_chosen_by_number_and_carry_it(tmp_path: Path) -> None:
    path = save(make_segments(), tmp_path / "seg.dcm")
    with pytest.raises(AmbiguousSource, match=r"2 segments \(0: organ 1; 1: organ 2\)"):
        dicom.read(path)
    image = dicom.read(path, volume=1)
    assert image.pixels[0, 0, 0].tolist() == [0, 2]
    assert image.unit is Unit.LABEL
    with pytest.raises(AmbiguousSource, match="no volume 2"):
        dicom.read(path, volume=2)


def test_a_segment_whose_empty_slices_were_left_out_is_refused(shared: Path) -> None:
    folder = shared / "data" / "odd-formats" / "highdicom"
    with pytest.raises(NotAVolume, match=r"202\.500 mm"):
        dicom.read(folder / "seg_image_ct_binary_overlap.dcm", volume=1)


def test_tiles_are_put_together_as_highdicom_does(shared: Path) -> None:
    import highdicom

    folder = shared / "data" / "odd-formats" / "highdicom"
    for name in ("sm_image.dcm", "sm_image_grayscale.dcm", "sm_image_jpegls.dcm"):
        theirs = highdicom.imread(folder / name).get_total_pixel_matrix(
            dtype=np.uint16, apply_palette_color_lut=False, apply_icc_profile=False
        )
        ours = dicom.read(folder / name).pixels[..., 0]
        theirs = theirs if theirs.ndim == 3 else theirs[..., None]
        assert np.array_equal(ours.transpose(2, 1, 0), theirs)


def test_a_frame_without_a_place_among_others_is_named(tmp_path: Path) -> None:
    dataset = make_enhanced(((0.0, 0), (2.0, 0)))
    lost = dataset.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0]
    del lost.ImagePositionPatient
    said = r"frame 2 of a\.dcm does not say where it is, but frame 1 of a\.dcm does"
    with pytest.raises(NotAVolume, match=said):
        dicom.read(save(dataset, tmp_path / "a.dcm"))


def test_tomograms_stand_at_equal_steps(tmp_path: Path) -> None:
    stated = {"ImageType": ["ORIGINAL", "PRIMARY", "RECON TOMO"], "SpacingBetweenSlices": 4}
    dataset = make_slice(7.0, Modality="NM", NumberOfFrames=3, **stated)
    dataset.PixelData = dataset.PixelData * 3
    image = dicom.read(save(dataset, tmp_path / "a.dcm"))
    assert image.grid.calibrated
    assert image.grid.spacing_mm == (0.75, 0.5, 4.0)
    assert image.grid.to_world((0, 0, 2)).tolist() == [10.0, 20.0, 15.0]


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"GridFrameOffsetVector": [0]}, "GridFrameOffsetVector has 1 offsets for 2 frames"),
        (
            {"GridFrameOffsetVector": [7, 9], "ImageOrientationPatient": [0, 1, 0, 0, 0, -1]},
            "holds z coordinates, but its planes are not axial",
        ),
        ({"NumberOfFrames": 70_000}, r"a\.dcm announces 70000 frames; at most 65536 do"),
    ],
)
def test_frames_that_cannot_be_placed_are_refused(
    tmp_path: Path, attributes: dict[str, Any], said: str
) -> None:
    dataset = make_slice(7.0, **{"NumberOfFrames": 2, **attributes})
    with pytest.raises(UnreadableFile, match=said):
        dicom.read(save(dataset, tmp_path / "a.dcm"))


def test_a_loop_has_one_volume(tmp_path: Path) -> None:
    dataset = make_slice(0, NumberOfFrames=2, ImagePositionPatient=None)
    dataset.PixelData = dataset.PixelData * 2
    path = save(dataset, tmp_path / "a.dcm")
    assert dicom.read(path, volume=0).grid.shape == (COLUMNS, ROWS, 2)
    with pytest.raises(AmbiguousSource, match="has no volume 1: it holds one, volume=0"):
        dicom.read(path, volume=1)
