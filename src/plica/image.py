"""Image: pixels on a grid, with their unit and where they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from plica.boxes import gather
from plica.errors import InputError, MissingExtra, UnusablePixels
from plica.grid import Grid

if TYPE_CHECKING:
    import SimpleITK
    import torch
    import torchio
    from monai.data.meta_tensor import MetaTensor

Pixels = NDArray[Any]
VoiFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
_SLAB_BYTES = 2**25


class Unit(Enum):
    """What a pixel value is a measure of.

    `HU` Hounsfield units; `SUV` standardised uptake (g/ml); `BQML` activity concentration
    (Bq/ml); `GRAY` absorbed dose; `HERTZ` field offset; `RELATIVE` a scale of the one image
    (MR, computed radiography); `DISPLAY` grey or colour meant for a screen; `LABEL` whole numbers
    that name classes; `NORMALISED` a network's own range.
    """

    HU = "HU"
    SUV = "SUV"
    BQML = "Bq/ml"
    GRAY = "Gy"
    HERTZ = "Hz"
    RELATIVE = "relative"
    DISPLAY = "display"
    LABEL = "label"
    NORMALISED = "normalised"

    @property
    def is_absolute(self) -> bool:
        """Whether one value means the same in every image, so that a fixed window makes sense."""
        return self in {Unit.HU, Unit.SUV, Unit.BQML, Unit.GRAY, Unit.HERTZ}


@dataclass(frozen=True)
class Display:
    """How the image's maker wants it shown: DICOM's value-of-interest transform.

    Args:
        center: Window centre, in the image's unit.
        width: Window width, in the image's unit; positive.
        function: DICOM VOI LUT Function (PS3.3 C.11.2.1.3): "LINEAR" maps
            center − 0.5 − (width − 1)/2 … center − 0.5 + (width − 1)/2 to black … white,
            "LINEAR_EXACT" center ∓ width/2, "SIGMOID" 1 / (1 + exp(−4 (x − center) / width)).
        inverted: Low values are white (MONOCHROME1).
        table: A VOI LUT: outputs in [0, 1] for whole inputs from `table_first` on. Where there is
            one it stands before the window.
        table_first: The stored value that `table[0]` belongs to.
    """

    center: float | None = None
    width: float | None = None
    function: VoiFunction = "LINEAR"
    inverted: bool = False
    table: tuple[float, ...] = ()
    table_first: int = 0

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record; `from_json` gives an equal one."""
        return {
            "center": self.center,
            "width": self.width,
            "function": self.function,
            "inverted": self.inverted,
            "table": list(self.table),
            "table_first": self.table_first,
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Display:
        """Read back what `to_json` made.

        Raises:
            InputError: The record is not one of a display.
        """
        try:
            numbers = {
                key: None if record.get(key) is None else float(record[key])
                for key in ("center", "width")
            }
            table = tuple(float(value) for value in record.get("table", ()))
            _check_function(record.get("function", cls.function))
            return cls(**{**record, **numbers, "table": table})
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(f"not the record of a display: {error!r}") from error


def _check_function(name: object) -> None:
    if name not in get_args(VoiFunction):
        raise ValueError(f"no VOI function {name!r}")


_DECODED = "decoded by "


@dataclass(frozen=True)
class Provenance:
    """Where an image came from, without who the patient is.

    Args:
        reader: The reader and its library, such as "nifti (nibabel 5.3.2)".
        modality: DICOM modality code where known: "CT", "MR", "DX", ….
        series: A one-way hash of the series' or file's identity: equal for the same series,
            and not the UID itself.
        content: SHA-256 of shape, type and bytes of the pixels as read.
        notes: What the reader had to decide or give up, one sentence each.
        steps: What was done to the image since, one line each.
        identity: Patient, study and series attributes by DICOM keyword. Empty unless the reader
            was asked to keep them.
    """

    reader: str = ""
    modality: str = ""
    series: str = ""
    content: str = ""
    notes: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    identity: dict[str, str] = field(default_factory=dict)

    @property
    def decoder(self) -> str:
        """The codec that decoded the image last, as its steps say; "" where none did."""
        said = [step for step in self.steps if step.startswith(_DECODED)]
        return said[-1].removeprefix(_DECODED) if said else ""

    def after(self, step: str) -> Provenance:
        """The same, with one more step."""
        return replace(self, steps=(*self.steps, step))

    def without_marks(self) -> Provenance:
        """The same without the hashes by which who has the source knows it again."""
        return replace(self, series="", content="")

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record; `from_json` gives an equal one."""
        return {
            "reader": self.reader,
            "modality": self.modality,
            "series": self.series,
            "content": self.content,
            "notes": list(self.notes),
            "steps": list(self.steps),
            "identity": dict(self.identity),
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Provenance:
        """Read back what `to_json` made.

        Raises:
            InputError: The record is not one of a provenance.
        """
        try:
            lists = {
                key: tuple(str(line) for line in record.get(key, ())) for key in ("notes", "steps")
            }
            return cls(**{**record, **lists})
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(f"not the record of a provenance: {error!r}") from error


@dataclass(frozen=True, eq=False, repr=False)
class Image:
    """Pixels (channel, i, j, k) on a grid.

    A radiograph is a volume one slice thick: i runs along its columns (to the right), j along its
    rows (down), and k has one voxel. The array is read-only.

    Args:
        pixels: Real numbers or whole numbers, shape (channel, i, j, k).
        grid: Where they are; its shape is the last three sides.
        unit: What a value measures.
        provenance: Where they came from.
        display: How to show them, where the file said so.

    Raises:
        UnusablePixels: The array has not four axes, does not fit the grid, or holds no numbers.
    """

    pixels: Pixels
    grid: Grid
    unit: Unit = Unit.RELATIVE
    provenance: Provenance = field(default_factory=Provenance)
    display: Display = field(default_factory=Display)

    def __post_init__(self) -> None:
        pixels = np.asarray(self.pixels)
        if pixels.ndim != 4 or pixels.shape[1:] != self.grid.shape or pixels.shape[0] < 1:
            raise UnusablePixels(
                f"an image needs pixels of shape (channel, i, j, k) on its grid {self.grid.shape}, "
                f"but got shape {pixels.shape}"
            )
        if pixels.dtype.kind not in "iufb":
            raise UnusablePixels(
                f"an image holds whole or real numbers, but the array's type is {pixels.dtype}"
            )
        if pixels.flags.writeable:
            pixels = pixels.view()
            pixels.setflags(write=False)
        object.__setattr__(self, "pixels", pixels)

    def __repr__(self) -> str:
        facts = (
            f"{self.channels} channel{'s' if self.channels > 1 else ''} of {self.pixels.dtype}",
            self.unit.value,
            self.provenance.modality,
            repr(self.grid),
        )
        return f"Image({', '.join(filter(None, facts))})"

    @property
    def channels(self) -> int:
        """Number of channels: 1 for grey, 3 for colour."""
        return int(self.pixels.shape[0])

    @property
    def is_volume(self) -> bool:
        """Whether there is more than one voxel along k."""
        return self.grid.shape[2] > 1

    def with_pixels(self, pixels: Pixels, *, unit: Unit | None = None) -> Image:
        """The same image holding other pixels of the same spatial shape."""
        return replace(self, pixels=pixels, unit=self.unit if unit is None else unit)

    def count_nonfinite(self) -> int:
        """How many values are NaN or infinite."""
        if self.pixels.dtype.kind != "f":
            return 0
        return int(self.pixels.size - np.count_nonzero(np.isfinite(self.pixels)))

    # -- to other libraries ------------------------------------------------------------------

    def to_torch(self) -> torch.Tensor:
        """Pixels as a tensor (channel, i, j, k), a copy, in the nearest type torch has.

        Raises:
            UnusablePixels: There are whole numbers above 2⁶³ − 1: torch has no type for them.
        """
        torch = _import("to_torch", "torch", "")
        if self.pixels.dtype.kind == "u" and int(self.pixels.max()) > np.iinfo(np.int64).max:
            raise UnusablePixels(
                f"the value {int(self.pixels.max())} is too large for torch's whole numbers: "
                "convert the pixels to float64 first"
            )
        pixels = np.array(self.pixels)  # torch refuses read-only and big-endian memory
        if pixels.dtype.kind == "u" and pixels.dtype.itemsize > 1:
            pixels = pixels.astype({2: np.int32, 4: np.int64, 8: np.int64}[pixels.dtype.itemsize])
        return torch.from_numpy(pixels.astype(pixels.dtype.newbyteorder("=")))

    def to_monai(self) -> MetaTensor:
        """A MONAI MetaTensor (channel, i, j, k) with the RAS+ affine, as MONAI keeps it."""
        module = _import("to_monai", "monai.data", "cad")
        return module.MetaTensor(self.to_torch(), affine=np.array(self.grid.affine))

    def to_torchio(self) -> torchio.ScalarImage:
        """A TorchIO ScalarImage (channel, i, j, k) with the RAS+ affine, as TorchIO keeps it."""
        module = _import("to_torchio", "torchio", "interop")
        return module.ScalarImage(tensor=self.to_torch(), affine=np.array(self.grid.affine))

    def to_sitk(self) -> SimpleITK.Image:
        """A SimpleITK image; its world is LPS, so origin and direction are turned for it.

        Raises:
            UnusablePixels: The grid is sheared: SimpleITK has no place for that.
        """
        module = _import("to_sitk", "SimpleITK", "interop")
        directions = self.grid.affine[:3, :3] / np.array(self.grid.spacing_mm)
        if not np.allclose(directions.T @ directions, np.eye(3), atol=1e-4):
            raise UnusablePixels(
                "the image's axes are not perpendicular (a tilted gantry or a sheared affine), "
                "and SimpleITK cannot hold that: resample it first"
            )
        to_lps = np.array([-1.0, -1.0, 1.0])
        # ITK has neither truth values nor half precision.
        kind = np.dtype({"?": "u1", "e": "f4"}.get(self.pixels.dtype.char, self.pixels.dtype))
        pixels = np.array(self.pixels).astype(kind.newbyteorder("="))
        colour = self.channels > 1
        array = pixels.transpose(3, 2, 1, 0) if colour else pixels[0].transpose(2, 1, 0)
        image = module.GetImageFromArray(np.ascontiguousarray(array), isVector=colour)
        image.SetSpacing(self.grid.spacing_mm)
        image.SetOrigin((to_lps * self.grid.origin_mm).tolist())
        image.SetDirection((to_lps[:, None] * directions).ravel().tolist())
        return image


def fingerprint_pixels(pixels: Pixels) -> str:
    """SHA-256 of an array's shape, type and little-endian bytes, as "sha256:…"."""
    digest = hashlib.sha256(f"{pixels.shape}{pixels.dtype.str[1:]}".encode())
    for slab in _cut_in_order(pixels):
        little = slab.astype(pixels.dtype.newbyteorder("<"), copy=False)
        digest.update(little.data if little.size else b"")
        del slab, little  # before the next is made
    return f"sha256:{digest.hexdigest()}"


def _cut_in_order(pixels: Pixels) -> Iterator[Pixels]:
    """The values in C order, in contiguous slabs: a volume that lies otherwise is never copied."""
    if pixels.ndim != 4 or not pixels.size:
        yield np.ascontiguousarray(pixels)
        return
    channels, i, *rest = (slice(0, side) for side in pixels.shape)
    thick = max(1, _SLAB_BYTES // max(1, pixels[0, 0].nbytes))
    for channel in range(channels.stop):
        for at in range(0, i.stop, thick):
            rows = slice(at, min(at + thick, i.stop))
            yield gather(pixels, (slice(channel, channel + 1), rows, *rest))


def _import(purpose: str, module: str, extra: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(f"Image.{purpose}", module.partition(".")[0], extra) from error
