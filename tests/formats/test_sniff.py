import gzip
import pickle
import zipfile

import numpy as np
import pytest

from plica.errors import NotAnImage, UnreadableFile, UnsupportedFormat
from plica.formats.sniff import find_ending, identify

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
PAGE = b"<!DOCTYPE html>\n<html><body>404 not found</body></html>"
TABLE = b"patient,age\n1,63\n2,57\n"


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("a.nii.gz", ".nii.gz"), ("A.NII.GZ", ".nii.gz"), ("a.nii", ".nii"), ("a.b.png", ".png"),
        ("1.2.840.10008", ""), ("IM_0001", ""), (".png", ""), ("a.gz", ""), ("a.latent", ".latent"),
    ],
)  # fmt: skip
def test_only_known_endings_count(name, ending):
    assert find_ending(name) == ending


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.dcm", "a.png", "a.latent", "a"])
@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"", UnreadableFile, "empty"),
        (LFS, UnreadableFile, "git lfs pull"),
        (PAGE, UnreadableFile, "web page"),
        (pickle.dumps([1, 2]), UnsupportedFormat, "never opened"),
        (b"GIF89a" + bytes(50), UnsupportedFormat, "PNG"),
        (b"%PDF-1.4" + bytes(50), UnsupportedFormat, "PDF"),
        (bytes(300), UnreadableFile, "begins with"),
        (b"\x1f\x8b\x08\x00broken", UnreadableFile, "damaged"),
        (gzip.compress(b"", mtime=0), UnreadableFile, "empty"),
    ],
)
def test_what_is_no_image_is_refused_with_a_sentence_whatever_its_name(
    tmp_path, name, data, error, words
):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(error, match=words):
        identify(tmp_path / name)


def test_text_under_the_name_of_an_image_is_damage_and_else_no_image(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(TABLE)
    with pytest.raises(UnreadableFile, match="named as nifti"):
        identify(tmp_path / "a.nii.gz")
    (tmp_path / "NOTES").write_bytes(TABLE)
    with pytest.raises(NotAnImage, match="text"):
        identify(tmp_path / "NOTES")


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.png", "a.mnc", "a.dcm", "a.latent"])
def test_what_no_reader_unpacks_is_not_called_damaged(tmp_path, name):
    heads = {
        ".npy": b"\x93NUMPY", ".npz": b"PK\3\4", ".png": b"\x89PNG\r\n\x1a\n", ".mnc": b"CDF\1",
        ".dcm": bytes(128) + b"DICM", ".latent": bytes([9, *[0] * 7]) + b'{"',
    }  # fmt: skip
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(heads[name[1:]] + bytes(200), mtime=0))
    with pytest.raises(UnsupportedFormat, match=rf"unpack it first: gunzip -k {name}\.gz"):
        identify(packed)


def test_packed_text_is_no_image_as_text_is_not(tmp_path):
    (tmp_path / "labels.csv.gz").write_bytes(gzip.compress(TABLE, mtime=0))
    with pytest.raises(NotAnImage, match="text"):
        identify(tmp_path / "labels.csv.gz")


def test_a_name_that_promises_another_format_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    (tmp_path / "a.npy").rename(tmp_path / "a.png")
    with pytest.raises(UnreadableFile, match="named as picture and holds array"):
        identify(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.unheard")
    assert identify(tmp_path / "a.unheard") == "array"


def test_archives_are_told_by_what_is_in_them(tmp_path):
    for name, member, expected in (
        ("a.npz", "pixels.npy", "array"),
        ("b.zip", "ct/1.dcm", "dicom"),
        ("c.zip", "IM0001", "dicom"),
    ):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(member, b"")
        assert identify(tmp_path / name) == expected
    for name, member, words in (("d.zip", "a.nii", "unpack"), ("e.pt", "x/data.pkl", "PyTorch")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(member, b"")
        with pytest.raises(UnsupportedFormat, match=words):
            identify(tmp_path / name)


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(UnreadableFile, match="no such file"):
        identify(tmp_path / "gone.nii")
