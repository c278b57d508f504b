"""The worst files we could think of: refused with a sentence, in seconds, in little memory."""

import gzip
import json
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image as Pillow
from robustness.hostile import (
    ZEROS,
    deflated,
    nifti_head,
    nrrd,
    packed_zeros,
    png,
    tensor_of,
    tensors,
)

MOST_SECONDS, MOST_BYTES = 30.0, 1 << 30  # a bomb would take minutes

READ_ALL = """
import json, sys, time
from pathlib import Path
from plica.errors import PlicaError
from plica.formats import latents
from plica.formats.doors import read
from plica.networks.memory import read_peak
for path in sorted(Path(sys.argv[1]).iterdir()):
    begun = time.process_time()
    try:
        if path.suffix == ".latent":
            latents.read_header(path)
        read(path, **({"spacing_mm": (1, 1, 1)} if path.suffix in {".npy", ".npz"} else {}))
        outcome = "read"
    except PlicaError as error:
        outcome = f"{type(error).__name__}: {error}"
    print(json.dumps([path.name, outcome, time.process_time() - begun, read_peak()]))
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    bomb = packed_zeros(3)
    files = {
        "bomb.nii.gz": gzip.compress(nifti_head([1024, 1024, 1024])) + bomb,
        "volumes.nii.gz": gzip.compress(nifti_head([64, 64, 64, 30000])) + bomb,
        "declared.nii": nifti_head([1290, 1290, 1290]) + bytes(100),
        "deep.nii.gz": gzip.compress(gzip.compress(packed_zeros(1))),
        "bomb.nrrd": nrrd("1024 1024 1500", "gzip", bomb),
        "many.nrrd": nrrd("1 1 1", "raw\nkinds:" + " a" * 10**6, b""),
        "line.nrrd": b"NRRD0004\n" + b"a" * (8 << 20),
        "bomb.png": png((40_000, 40_000), deflated(3)),
        "comment.png": png((1, 1), deflated(0)).replace(b"IDAT", b"iTXt"),
        "quarter.npy": b"\x93NUMPY\2\0" + struct.pack("<I", 2**32 - 1) + b"{" * 1000,
        "nested.npy": b"\x93NUMPY\1\0" + struct.pack("<H", 9000) + b"(" * 9000,
        "lists.latent": tensors(b'{"a":[' + b"[]," * (5 << 20) + b"[]]}"),
        "nested.latent": tensors(b'{"a":' + b"[" * (8 << 20)),
        "number.latent": tensors(b'{"a":' + b"9" * (8 << 20) + b"}"),
        "shape.latent": tensor_of([2**31] * 4),
        "long.latent": tensors(b"{}", 2**62),
    }  # fmt: skip
    for name, data in files.items():
        (folder / name).write_bytes(data)
    with (
        zipfile.ZipFile(folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("pixels.npy", "w", force_zip64=True) as member,
    ):
        np.lib.format.write_array_header_1_0(
            member, {"descr": "<i2", "fortran_order": False, "shape": (1024, 1024, 136)}
        )
        for _ in range(17):
            member.write(ZEROS)
    Pillow.new("L", (8, 8)).save(folder / "sides.jpg")
    jpeg = bytearray((folder / "sides.jpg").read_bytes())
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 65_500, 65_500)
    (folder / "sides.jpg").write_bytes(jpeg)
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(folder)], capture_output=True, text=True, check=True
    )
    print(done.stdout)
    return [json.loads(line) for line in done.stdout.splitlines()], len(list(folder.iterdir()))


def test_every_one_is_refused_with_a_short_sentence(outcomes):
    found, count = outcomes
    assert len(found) == count
    for name, outcome, _, _ in found:
        assert outcome != "read", name
        assert len(outcome) < 400, name


def test_none_takes_half_a_minute_or_a_gibibyte(outcomes):
    for name, outcome, seconds, peak in outcomes[0]:
        assert seconds < MOST_SECONDS, (name, outcome)
        assert peak < MOST_BYTES, (name, outcome)
