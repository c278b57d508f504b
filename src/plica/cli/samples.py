"""Real images that come inside installed packages, for the demo."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """A real image and where it comes from.

    Args:
        name: For people and for file names.
        path: The file, or the folder of a series.
        origin: Whose it is.
    """

    name: str
    path: Path
    origin: str


PYDICOM = "pydicom's test files (MIT)"
PACKAGED = (
    ("pydicom", "data/test_files/dicomdirtests/98892001/CT5N", "ct-series", PYDICOM),
    ("pydicom", "data/test_files/J2K_pixelrep_mismatch.dcm", "ct-slice-512", PYDICOM),
    (
        "nilearn",
        "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz",
        "brain-mr-1mm",
        "ICBM 152 template in nilearn (BSD-3)",
    ),
)
# None of them was trained on.
RADIOGRAPHS = (
    ("data/cxr/hannover-covid19/c0f74558.png", "chest-radiograph"),
    ("data/mammo/cdd-cesm/flipped_P139_R_DM_MLO.jpg", "mammogram"),
    ("data/msk-xray/jordan-ddh/331_DDH_10.dcm", "pelvis-radiograph"),
)


def find_packaged() -> tuple[list[Sample], list[str]]:
    """The samples that are installed, and a sentence for each that is not."""
    found, missing = [], []
    for package, inside, name, origin in PACKAGED:
        spec = importlib.util.find_spec(package)
        folder = Path(spec.origin).parent if spec and spec.origin else None
        if folder is not None and (folder / inside).exists():
            found.append(Sample(name, folder / inside, origin))
        else:
            missing.append(f"{name} comes inside '{package}': pip install 'plica[demo]'")
    return found, missing


def find_radiographs(folder: Path) -> list[Sample]:
    """One radiograph of each kind from a folder of development images, where it has them."""
    return [
        Sample(name, folder / inside, "development images")
        for inside, name in RADIOGRAPHS
        if (folder / inside).is_file()
    ]
