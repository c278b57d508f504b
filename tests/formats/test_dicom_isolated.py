"""A decoder that dies takes nothing with it, and the next frame finds another one."""

import io
import os
import signal

import numpy as np
import pydicom
import pytest
from pydicom.encaps import generate_frames
from tests.formats.dicom_scenes import packaged

from plica.errors import UnreadableFile
from plica.formats import dicom, dicom_isolated
from plica.formats.dicom_isolated import DECODER, Decoder

LOSSLESS = "SC_rgb_jpeg_gdcm.dcm"


def test_the_child_decodes_as_pydicom_does_here() -> None:
    image = dicom.read(packaged(LOSSLESS))
    here = pydicom.dcmread(packaged("SC_rgb_rle.dcm")).pixel_array  # the same picture
    assert np.array_equal(image.pixels[..., 0].transpose(2, 1, 0), here)


def test_a_killed_child_is_replaced() -> None:
    dicom.read(packaged(LOSSLESS))
    child = DECODER._child
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert dicom.read(packaged(LOSSLESS)).pixels.shape == (3, 100, 100, 1)


def test_streams_that_end_gdcm_or_are_refused_leave_us_running() -> None:
    dataset = pydicom.dcmread(packaged(LOSSLESS))
    whole = next(iter(generate_frames(dataset.PixelData, number_of_frames=1)))
    attributes = {
        "TransferSyntaxUID": str(dataset.file_meta.TransferSyntaxUID),
        **{
            keyword: dataset[keyword].value
            for keyword in (
                "Rows",
                "Columns",
                "SamplesPerPixel",
                "PhotometricInterpretation",
                "BitsAllocated",
                "BitsStored",
                "HighBit",
                "PixelRepresentation",
                "PlanarConfiguration",
            )
        },
    }
    decoder = Decoder()
    rng = np.random.default_rng(0)
    refused = 0
    try:
        for _ in range(30):
            stream = bytearray(whole)
            for place in rng.integers(20, 120, 4):
                stream[place] = rng.integers(0, 256)
            try:
                decoder.decode("a.dcm", dict(attributes), bytes(stream))
            except UnreadableFile:
                refused += 1
        assert refused > 0
        assert decoder.decode("a.dcm", dict(attributes), whole).shape == (100, 100, 3)
    finally:
        decoder.close()


def test_a_refusal_names_the_file() -> None:
    with pytest.raises(UnreadableFile, match=r"b\.dcm is damaged"):
        DECODER.decode("b.dcm", {"TransferSyntaxUID": "1.2.840.10008.1.2.4.70"}, b"\xff\xd8")


@pytest.mark.parametrize("size", [100, (1 << 16) + 1000, 1 << 20])  # a pipe holds 1 << 16
def test_a_decoder_that_does_not_answer_is_ended_and_replaced(monkeypatch, size: int) -> None:
    monkeypatch.setattr(dicom_isolated, "SECONDS_ALLOWED", 0.05)
    decoder = Decoder()
    try:
        child = decoder._living_child()
        os.kill(child.pid, signal.SIGSTOP)
        with pytest.raises(UnreadableFile, match=r"c\.dcm is damaged: .* ended the decoder"):
            decoder.decode("c.dcm", {}, b"\0" * size)
        assert child.poll() is not None
        assert decoder._living_child().pid != child.pid
    finally:
        decoder.close()


def test_an_answer_that_breaks_off_is_not_taken_for_pixels() -> None:
    whole = io.BytesIO()
    dicom_isolated._send(whole, {"dtype": "|u1", "shape": [4]}, b"abcd")
    assert dicom_isolated._receive(io.BytesIO(whole.getvalue()))[1] == b"abcd"
    for kept in (0, 5, 20, len(whole.getvalue()) - 1):
        with pytest.raises(EOFError):
            dicom_isolated._receive(io.BytesIO(whole.getvalue()[:kept]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX alone forks")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forking beside threads
def test_a_fork_leaves_the_child_of_its_parent_alone() -> None:
    decoder = Decoder()
    try:
        child = decoder._living_child()
        fork = os.fork()
        if fork == 0:
            decoder.close()
            os._exit(0)
        os.waitpid(fork, 0)
        assert child.poll() is None
        assert decoder._living_child() is child
    finally:
        decoder.close()
