"""Weights, latents and images from strangers: code that would run, sizes that take all memory."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import pickle
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
from pydicom.data import get_testdata_file

import plica
from plica.codecs.catalogue import load
from robustness import hostile
from robustness.bases import CODEC
from robustness.cases import CANARY, Case, name_canary
from robustness.samples import NAME, PLACE, make_image

MOST_BYTES = 256 << 20
ZEROS = 600 << 20
ENDINGS = (".ckpt", ".pt", ".bin", ".pth", ".safetensors")

CLAIMS_A_TERABYTE = hostile.tensors(b'{"a":{}}', 1 << 40)

Maker = Callable[[Path], None]


class _Bite:
    """Pickled, it writes the canary when it is opened."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return eval, (f"open({CANARY!r}, 'w').close()",)


def all_cases(base: Path) -> Iterator[Case]:
    """Every stranger's gift, through the commands that would take it."""
    for about, name, make, words in (*_codes(), *_sizes(), *_depths(base)):
        for command, line in _lines(name, words):
            yield Case(
                "strangers",
                command,
                about,
                name,
                line,
                (name,),
                prepare=make,
                most=MOST_BYTES,
                limit_s=90,
            )


Gift = tuple[str, str, Maker, tuple[str, ...]]


def _lines(name: str, words: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The command lines that open a gift: as an image, a latent, weights, a codec or a recipe."""
    gift = f"{PLACE}/{name}"
    if words:
        yield " ".join(words[: 2 if words[0] in {"bulk", "evaluate"} else 1]), words
    elif name.endswith(".latent"):
        yield "inspect", ("inspect", gift)
        yield "decode", ("decode", gift, "-o", "out/a.nii.gz", "-q")
    else:
        yield "inspect", ("inspect", gift)
        yield "encode", ("encode", gift, "-o", "out/a.latent", "-c", CODEC, "-q")
        yield "bulk encode", ("bulk", "encode", PLACE, "-o", "out/store", "-c", CODEC, "-q")


def _put(name: str, data: bytes | Callable[[], bytes]) -> Maker:
    def make(room: Path) -> None:
        path = room / PLACE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data() if callable(data) else data)
        plica.write(make_image(), room / "ct.nii.gz")

    return make


def _encode_with(name: str) -> tuple[str, ...]:
    return (
        "encode",
        "ct.nii.gz",
        "-o",
        "out/a.latent",
        "-c",
        "kl-f4",
        "--weights",
        f"{PLACE}/{name}",
        "-q",
    )


# -- code that wants to run ------------------------------------------------------------------------


def _codes() -> Iterator[Gift]:
    bite = pickle.dumps(_Bite())
    for name in (f"{NAME}{ending}" for ending in ENDINGS):
        yield "a pickle as weights", name, _put(name, bite), _encode_with(name)
        yield "a torch file with code", name, _put(name, _torch_bite), _encode_with(name)
    yield "a pickle in .npy", f"{NAME}.npy", _put(f"{NAME}.npy", _npy_bite), ()
    yield "a pickle in .npz", f"{NAME}.npz", _put(f"{NAME}.npz", _npz_bite), ()
    yield "a pickle as latent", f"{NAME}.latent", _put(f"{NAME}.latent", bite), ()
    yield "a pickle as image", f"{NAME}.nii", _put(f"{NAME}.nii", bite), ()
    yield (
        "a pickle as recipe",
        f"{NAME}.toml",
        _put(f"{NAME}.toml", bite),
        ("train", f"{PLACE}/{NAME}.toml", "-o", "out/run"),
    )


def _torch_bite() -> bytes:
    import torch

    file = io.BytesIO()
    torch.save({"state_dict": {"a": torch.zeros(1)}, "more": _Bite()}, file)
    return file.getvalue()


def _npy_bite() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([_Bite()], dtype=object), allow_pickle=True)
    return file.getvalue()


def _npz_bite() -> bytes:
    file = io.BytesIO()
    np.savez(file, np.array([_Bite()], dtype=object))
    return file.getvalue()


# -- sizes that want all memory --------------------------------------------------------------------


def _sizes() -> Iterator[Gift]:
    yield (
        "a header of a terabyte",
        f"{NAME}.safetensors",
        _put(f"{NAME}.safetensors", CLAIMS_A_TERABYTE),
        _encode_with(f"{NAME}.safetensors"),
    )
    yield (
        "a tensor of a terabyte",
        f"{NAME}.safetensors",
        _put(f"{NAME}.safetensors", hostile.tensor_of((1, 1 << 38, 1, 1))),
        _encode_with(f"{NAME}.safetensors"),
    )
    yield (
        "a header of a terabyte",
        f"{NAME}.latent",
        _put(f"{NAME}.latent", CLAIMS_A_TERABYTE),
        (),
    )
    yield (
        "a tensor of a terabyte",
        f"{NAME}.latent",
        _put(f"{NAME}.latent", hostile.tensor_of((1, 1 << 38, 1, 1))),
        (),
    )
    yield "a latent of a huge grid", f"{NAME}.latent", _latent(_grow), ()
    yield "a latent of a huge source", f"{NAME}.latent", _latent(_grow_source), ()
    yield (
        "a bomb of gzip",
        f"{NAME}.nii.gz",
        _put(
            f"{NAME}.nii.gz",
            lambda: _zeros_behind((30000, 30000, 1)),
        ),
        (),
    )
    yield (
        "a gzip of zeros",
        f"{NAME}.nii.gz",
        _put(f"{NAME}.nii.gz", lambda: gzip.compress(bytes(ZEROS), 9)),
        (),
    )
    yield (
        "a small image and a bomb behind",
        f"{NAME}.nii.gz",
        _put(f"{NAME}.nii.gz", lambda: _zeros_behind((4, 4, 4))),
        (),
    )
    yield (
        "sides that overflow",
        f"{NAME}.nii",
        _put(f"{NAME}.nii", hostile.nifti_head((32767, 32767, 32767))),
        (),
    )
    yield "negative sides", f"{NAME}.nii", _put(f"{NAME}.nii", hostile.nifti_head((-5, 4, 4))), ()
    yield "a bomb of zip", f"{NAME}.zip", _put(f"{NAME}.zip", _zip_bomb), ()
    yield "a zip with paths outside", f"{NAME}.zip", put_zip_outside, ()
    yield "a bomb in .npz", f"{NAME}.npz", _put(f"{NAME}.npz", _npz_bomb), ()
    yield "a huge .npy header", f"{NAME}.npy", _put(f"{NAME}.npy", _npy_huge), ()
    yield "Rows and Columns of 65535", f"{NAME}.dcm", _dicom(Rows=65535, Columns=65535), ()
    yield "a billion frames", f"{NAME}.dcm", _dicom(NumberOfFrames=1_000_000_000), ()
    yield (
        "a picture of 60000 × 60000",
        f"{NAME}.png",
        _put(f"{NAME}.png", _png_huge),
        (),
    )
    yield (
        "sizes in NRRD that overflow",
        f"{NAME}.nrrd",
        _put(f"{NAME}.nrrd", _nrrd),
        (),
    )
    yield (
        "a bzip2 bomb in NRRD",
        f"{NAME}.nrrd",
        _put(
            f"{NAME}.nrrd",
            _nrrd_bomb,
        ),
        (),
    )
    yield "sizes in MetaImage that overflow", f"{NAME}.mha", _put(f"{NAME}.mha", _mha), ()
    yield "a pixel file outside", f"{NAME}.mhd", _put(f"{NAME}.mhd", _mhd), ()


def _latent(change: Callable[[dict], None]) -> Maker:
    def make(room: Path) -> None:
        path = room / PLACE / f"{NAME}.latent"
        path.parent.mkdir(parents=True)
        plica.write(load(CODEC).encode(make_image()), path)
        whole = path.read_bytes()
        size = struct.unpack("<Q", whole[:8])[0]
        header = json.loads(whole[8 : 8 + size])
        record = json.loads(header["__metadata__"]["plica"])
        change(record)
        header["__metadata__"] = {"format": "plica latent", "plica": json.dumps(record)}
        text = json.dumps(header).encode()
        path.write_bytes(hostile.tensors(text) + whole[8 + size :])

    return make


def _grow(record: dict) -> None:
    record["prepared"]["shape"] = record["source"]["shape"] = [1 << 20, 1 << 20, 1 << 20]


def _grow_source(record: dict) -> None:
    record["source"]["shape"] = [60000, 60000, 3]
    for one in record["trail"]["records"]:
        if "grid" in one["undo"]:
            one["undo"]["grid"]["shape"] = [60000, 60000, 3]


def _zip_bomb() -> bytes:
    slice_ = Path(get_testdata_file("CT_small.dcm", download=False)).read_bytes()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{NAME}.dcm", slice_ + bytes(ZEROS))
    return file.getvalue()


def put_zip_outside(room: Path) -> None:
    """Slices that want to be written beside the archive, above it, and in the system's /tmp."""
    slice_ = Path(get_testdata_file("CT_small.dcm", download=False)).read_bytes()
    name = name_canary(room)
    (room / PLACE).mkdir()
    with zipfile.ZipFile(room / PLACE / f"{NAME}.zip", "w") as archive:
        for climbed in range(4):
            archive.writestr(f"{'../' * climbed}{name}", slice_)
        archive.writestr(str(Path(tempfile.gettempdir()) / name), slice_)


def _npz_bomb() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, pixels=np.zeros((1, ZEROS // 4, 2, 2), np.uint8))
    return file.getvalue()


def _npy_huge() -> bytes:
    text = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000, 1000), }"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + bytes(64)


def _dicom(**fields: int) -> Maker:
    def make(room: Path) -> None:
        file = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
        for name, value in fields.items():
            setattr(file, name, value)
        (room / PLACE).mkdir()
        file.save_as(room / PLACE / f"{NAME}.dcm")

    return make


def _zeros_behind(sides: tuple[int, int, int]) -> bytes:
    return gzip.compress(hostile.nifti_head(sides) + bytes(ZEROS), 1)


def _png_huge() -> bytes:
    return hostile.png((60_000, 60_000), zlib.compress(bytes(1 << 20), 9))


def _nrrd() -> bytes:
    return hostile.nrrd("4294967296 4294967296 4294967296", "raw", bytes(64))


def _nrrd_bomb() -> bytes:
    return hostile.nrrd("40000 40000 2", "bzip2", bz2.compress(bytes(ZEROS)))


def _mha() -> bytes:
    return (
        b"ObjectType = Image\nNDims = 3\nDimSize = 99999999 99999999 99999999\n"
        b"ElementType = MET_SHORT\nElementDataFile = LOCAL\n" + bytes(64)
    )


def _mhd() -> bytes:
    return (
        b"ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\n"
        b"ElementDataFile = ../../../../../../etc/passwd\n"
    )


# -- depths that want the stack --------------------------------------------------------------------


def _depths(base: Path) -> Iterator[Gift]:
    deep = b"[" * 200_000 + b"]" * 200_000
    yield (
        "JSON of 200 000 levels",
        f"{NAME}.latent",
        _put(f"{NAME}.latent", hostile.tensors(deep)),
        (),
    )
    yield (
        "JSON of 200 000 levels",
        "card.json",
        _folder(base / "exported" / "codec", "card.json", deep),
        ("encode", "ct.nii.gz", "-o", "out/a.latent", "-c", PLACE, "-q"),
    )
    yield (
        "TOML of 20 000 levels",
        f"{NAME}.toml",
        _put(f"{NAME}.toml", b"a = " + b"[" * 20_000 + b"]" * 20_000),
        ("train", f"{PLACE}/{NAME}.toml", "-o", "out/run"),
    )
    yield (
        "JSON of 200 000 levels",
        "store.json",
        _folder(base / "stored" / "store", "store.json", deep),
        ("bulk", "verify", PLACE),
    )
    yield (
        "JSON of 200 000 levels",
        "report.json",
        _folder(base / "report" / "r", "report.json", deep),
        ("evaluate", "compare", PLACE, PLACE),
    )
    long = b"path,patient\n" + b"a" * (64 << 20)
    yield (
        "a table with a line of 64 MiB",
        f"{NAME}.csv",
        _put(f"{NAME}.csv", long),
        ("evaluate", "reconstruction", f"{PLACE}/{NAME}.csv", "-c", CODEC, "-o", "out/r", "-q"),
    )
    yield (
        "a Parquet table of letters",
        f"{NAME}.parquet",
        _put(f"{NAME}.parquet", b"PAR1" + bytes(100) + b"PAR1"),
        ("evaluate", "reconstruction", f"{PLACE}/{NAME}.parquet", "-c", CODEC, "-o", "out/r", "-q"),
    )


def _folder(whole: Path, name: str, data: bytes) -> Maker:
    def make(room: Path) -> None:
        shutil.copytree(whole, room / PLACE)
        (room / PLACE / name).write_bytes(data)
        plica.write(make_image(), room / "ct.nii.gz")

    return make
