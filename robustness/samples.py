"""Small files of every kind plica reads, to be damaged; and which commands read them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nibabel
import numpy as np
from nibabel.tests import data as _nibabel_data
from pydicom.data import get_testdata_file

import plica
from plica.codecs.catalogue import load
from plica.grid import Grid
from plica.image import Image, Unit
from robustness.bases import CODEC
from robustness.damage import Damage

PLACE = "numbat"  # where samples lie, and how they are called: no word of a sentence
NAME = "quokka"
NIBABEL = Path(_nibabel_data.__path__[0])

# In pydicom's package; the rest is looked for among the odd files of the data, where they are.
DICOM = {
    "DICOM explicit": "CT_small.dcm",
    "DICOM implicit": "MR_small_implicit.dcm",
    "DICOM big endian": "MR_small_bigendian.dcm",
    "DICOM RLE": "MR_small_RLE.dcm",
    "DICOM deflated": "image_dfl.dcm",
    "DICOM JPEG": "SC_rgb_small_odd_jpeg.dcm",
    "DICOM JPEG 2000": "MR_small_jp2klossless.dcm",
    "DICOM JPEG-LS": "MR_small_jpeg_ls_lossless.dcm",
    "DICOM multi-frame": "rtdose.dcm",
}
SEGMENTS = "DICOM segments"  # labels, which codecs that would blend them refuse
ODD_DICOM = {
    "DICOM HTJ2K": "HTJ2KLossless_08_RGB.dcm",
    "DICOM lossless JPEG": "JPEG-LL.dcm",
    "DICOM enhanced": "emri_small_RLE.dcm",
    SEGMENTS: "seg_image_ct_binary.dcm",
}


@dataclass(frozen=True)
class Use:
    """A command that reads a sample, lying at `{PLACE}/NAME` of the command's own folder.

    Args:
        command: What it is called in tables.
        words: The command line.
        outputs: Patterns of what it makes.
        limit_s: Seconds after which it hangs.
        finds: Whether it is there to find damage.
    """

    command: str
    words: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    limit_s: float = 60.0
    finds: bool = False


@dataclass(frozen=True)
class Sample:
    """One small file to be damaged.

    Args:
        kind: Its format, as the table calls it.
        path: The file.
        uses: The commands that read it.
        checksum: Whether the format has a checksum of what counts in it.
        cuts_told: Whether it can be seen that its end is missing.
        folder: What is copied to `{PLACE}` with it: what it is part of; None where it is alone.
        names: One of these a refusal has to name.
        wholes: What each command gives of it undamaged, filled in by the sweep.
    """

    kind: str
    path: Path
    uses: tuple[Use, ...]
    checksum: bool = False
    cuts_told: bool = True
    folder: Path | None = None
    names: tuple[str, ...] = ()
    wholes: dict[str, str] = field(default_factory=dict)

    def preparing(self, damage: Damage | None) -> Callable[[Path], None]:
        """What puts the sample, damaged, into a command's folder."""

        def prepare(room: Path) -> None:
            target = room / PLACE / self.path.name
            if self.folder is not None:
                shutil.copytree(self.folder, room / PLACE)
                target = room / PLACE / self.path.relative_to(self.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            whole = self.path.read_bytes()
            target.write_bytes(whole if damage is None else damage.apply(whole))

        return prepare


def make_image(sides: tuple[int, int, int] = (24, 20, 3)) -> Image:
    """A small CT: smooth, noisy, with whole values."""
    rng = np.random.default_rng(7)
    ramp = np.add.outer(np.arange(sides[0]) * 20, np.arange(sides[1]) * 30)[..., None]
    pixels = (ramp - 1000 + rng.normal(0, 40, sides)).astype(np.int16)[None]
    affine = np.diag([-0.7, -0.8, 2.5, 1.0])
    affine[:3, 3] = (12.5, -30.25, 100.0)
    return Image(pixels, Grid(sides, affine), unit=Unit.HU)


def images(folder: Path, data: Path | None = None) -> list[Sample]:
    """A small image in every format plica reads."""
    folder.mkdir(parents=True, exist_ok=True)
    return [*_dicom(folder, data), *_volumes(folder), *_pictures(folder), *_packages(folder)]


def _image_uses(name: str, *more: str, codec: str) -> tuple[Use, ...]:
    source = f"{PLACE}/{name}"
    return (
        Use("inspect", ("inspect", source, *more)),
        Use("encode", ("encode", source, "-o", "out/a.latent", "-c", codec, "-q", *more),
            ("out/*.latent",)),
    )  # fmt: skip


def _sample(
    kind: str, path: Path, *more: str, checksum: bool = False, codec: str = CODEC
) -> Sample:
    uses = _image_uses(path.name, *more, codec=codec)
    return Sample(kind, path, uses, checksum=checksum, names=(path.name,))


def _dicom(folder: Path, data: Path | None) -> Iterator[Sample]:
    found = {kind: get_testdata_file(name, download=False) for kind, name in DICOM.items()}
    if data is not None:
        for kind, name in ODD_DICOM.items():
            found[kind] = next(iter((data / "odd-formats").rglob(name)), None)
    for kind, path in found.items():
        if path is not None:
            target = Path(shutil.copy(path, folder / f"{NAME}-{Path(path).name}"))
            yield _sample(kind, target, codec="identity" if kind == SEGMENTS else CODEC)
    slice_ = Path(
        shutil.copy(get_testdata_file("CT_small.dcm", download=False), folder / f"{NAME}.dcm")
    )
    packed = shutil.make_archive(str(folder / NAME), "zip", slice_.parent, slice_.name)
    yield _sample("zip of DICOM", Path(packed), checksum=True)


def _volumes(folder: Path) -> Iterator[Sample]:
    image = make_image()
    for kind, name, checksum in (
        ("NIfTI", f"{NAME}.nii", False),
        ("NIfTI, packed", f"{NAME}.nii.gz", True),
        ("NRRD, packed", f"{NAME}.nrrd", False),  # its header has no checksum, its pixels have one
        ("MetaImage", f"{NAME}.mha", False),
    ):
        plica.write(image, folder / name)
        yield _sample(kind, folder / name, checksum=checksum)
    for ending in (".npy", ".npz"):
        plica.write(image, folder / f"{NAME}{ending}")
    yield _sample("npy", folder / f"{NAME}.npy", "--spacing", "1,1,1")
    yield _sample("npz", folder / f"{NAME}.npz", checksum=True)


def _pictures(folder: Path) -> Iterator[Sample]:
    pixels = np.abs(make_image((40, 32, 1)).pixels).astype(np.uint8)
    picture = Image(pixels, Grid.from_spacing((40, 32, 1), (1, 1, 1), calibrated=False),
                    unit=Unit.DISPLAY)  # fmt: skip
    for name, kind in ((f"{NAME}.png", "PNG"), (f"{NAME}.tif", "TIFF")):
        plica.write(picture, folder / name)
        yield _sample(kind, folder / name, checksum=kind == "PNG")
    from PIL import Image as Pillow

    Pillow.fromarray(pixels[0, :, :, 0].T).save(folder / f"{NAME}.jpg")
    yield _sample("JPEG", folder / f"{NAME}.jpg")


def _packages(folder: Path) -> Iterator[Sample]:
    for kind, name in (
        ("MGH, packed", "test.mgz"),
        ("MINC 1", "small.mnc"),
        ("MINC 2", "minc2_1_scale.mnc"),
    ):
        if (NIBABEL / name).is_file():
            path = Path(shutil.copy(NIBABEL / name, folder / f"{NAME}-{name}"))
            more = ("--volume", "0") if name == "test.mgz" else ()
            yield _sample(kind, path, *more, checksum=name == "test.mgz")
    ones = nibabel.MGHImage(np.ones((5, 4, 3), np.float32), np.eye(4))
    nibabel.save(ones, folder / f"{NAME}.mgh")
    yield _sample("MGH", folder / f"{NAME}.mgh")


def latents(folder: Path) -> list[Sample]:
    """A latent in each of the types codes are stored in."""
    folder.mkdir(parents=True, exist_ok=True)
    latent = load(CODEC).encode(make_image())
    out = []
    for dtype in ("float32", "int8"):
        path = folder / f"{NAME}-{dtype}.latent"
        plica.write(latent, path, dtype=dtype)
        source = f"{PLACE}/{path.name}"
        uses = (
            Use("inspect", ("inspect", source)),
            Use("decode", ("decode", source, "-o", "out/a.nii.gz", "-q"), ("out/*.nii.gz",)),
        )
        out.append(Sample(f"latent {dtype}", path, uses, checksum=True, names=(path.name,)))
    return out
