"""Write the tables of docs/installing.md from pyproject.toml: what the core and each extra bring.

python docs/make_installing.py            rewrite them between their marks
python docs/make_installing.py --check    say whether they are up to date, and change nothing
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path

from parts import fill, keep, tabulate

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "installing.md"
PURPOSES = {
    "codecs": "JPEG XL as a codec; DICOM's JPEG of twelve bits",
    "eval": "`plica evaluate`: statistics, charts, faithfulness, surface distances",
    "cad": "probes of the papers, small segmentation networks, `Image.to_monai`",
    "foundation": "video autoencoders and DC-AE, built by the diffusers library",
    "interop": "`Image.to_sitk`, `Image.to_torchio`, TorchIO transforms and store items",
    "demo": "a real brain MR for `plica demo`",
    "nnunet": "nnU-Net's own check of what `plica augment` writes",
    "minc": "reading MINC 1 (scipy) and MINC 2 (h5py)",
    "train": "`plica train`: several processes and accelerators, TensorBoard's events",
    "tables": "Parquet: cohorts, results, stores of latents",
    "bulk": "`plica bulk`: several workers or a cluster, an index in Parquet",
    "all": "all of the above but `nnunet`",
}
LICENCES = {
    "torch": "BSD-3-Clause", "numpy": "BSD-3-Clause", "safetensors": "Apache-2.0",
    "nibabel": "MIT", "pydicom": "MIT", "pylibjpeg": "MIT", "python-gdcm": "Apache-2.0",
    "pyjpegls": "MIT", "pillow": "MIT-CMU", "pydantic": "MIT", "typer": "MIT", "rich": "MIT",
    "huggingface_hub": "Apache-2.0", "imagecodecs": "BSD-3-Clause", "scipy": "BSD-3-Clause",
    "statsmodels": "BSD-3-Clause", "matplotlib": "PSF-like", "scikit-image": "BSD-3-Clause",
    "timm": "Apache-2.0", "monai": "Apache-2.0", "diffusers": "Apache-2.0",
    "SimpleITK": "Apache-2.0", "torchio": "Apache-2.0", "nilearn": "BSD-3-Clause",
    "nnunetv2": "Apache-2.0", "h5py": "BSD-3-Clause", "accelerate": "Apache-2.0",
    "tensorboard": "Apache-2.0", "pyarrow": "Apache-2.0", "ray": "Apache-2.0",
}  # fmt: skip
_NEED = re.compile(r"([\w.-]+)(\[[^]]*\])?(.*)")


def make_parts() -> dict[str, str]:
    """Each part of the page that is made, by its mark."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    rows = [
        (f"`{name}`", PURPOSES[name], "—" if name == "all" else ", ".join(map(_tell, extras[name])))
        for name in extras
        if name not in {"test", "dev"}
    ]
    core = [_read(line) for line in project["dependencies"]]
    return {
        "core": tabulate(
            ("package", "from version", "licence"),
            [(f"`{name}`", least, LICENCES[name]) for name, least in core],
        ),
        "extras": tabulate(("extra", "what for", "brings"), rows),
    }


def _read(line: str) -> tuple[str, str]:
    """A requirement's package and its least version."""
    match = _NEED.fullmatch(line)
    if match is None:
        sys.exit(f"{line!r} is no requirement")
    return match[1], match[3].removeprefix(">=")


def _tell(line: str) -> str:
    name, least = _read(line)
    return f"{name} ≥ {least} ({LICENCES[name]})"


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    return keep(PAGE, fill(PAGE, make_parts()), check=parser.parse_args().check)


if __name__ == "__main__":
    sys.exit(main())
