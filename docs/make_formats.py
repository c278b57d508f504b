"""Write docs/formats.md: what is read and written, and what came of every odd and every bad file.

python docs/make_formats.py --data FOLDER            rewrite the page
python docs/make_formats.py --data FOLDER --check    say whether it is up to date

FOLDER is the folder of real images that holds odd-formats/ and bad-input/.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from parts import keep

from plica.errors import AmbiguousSource, PlicaError
from plica.formats.doors import FORMATS, WRITERS, read
from plica.formats.sniff import ENDINGS
from plica.formats.sources import find_sources
from plica.image import Image

PAGE = Path(__file__).resolve().parent / "formats.md"
PARTS = {
    "odd-formats": "Odd files: valid, and unusual",
    "bad-input": "Bad files: damaged, or no images",
}
HEAD = "| file | voxels | spacing (mm) | unit | type | what had to be decided |"

INTRODUCTION = """\
# Formats

`plica.read` takes a file of any of these kinds, a folder, a zip or a DICOMDIR, and gives one
image: pixels (channel, i, j, k) on a grid in RAS+ millimetres, with their unit. The kind is told
by the content; a name that promises another kind is an error. `plica.write` chooses the format by
the ending; a path without one, or one ending in `.dcm`, is a folder for a DICOM series (on the
command line: `.dcm`).

{table}

- **Place.** What a format says of the patient's space is converted once, at its door. A file that
  says nothing of millimetres gives a grid with `calibrated=False`; arrays need `spacing_mm`,
  pictures may have one.
- **Unit.** DICOM says it. For the others plica leaves a comment in what it writes, and reads it
  back; without one, values like a CT's (from −3100…−900 to at least 100) are read as Hounsfield
  units *with a note*, everything else is relative. `unit=` overrules.
- **Type.** Whole numbers stay whole where slope and intercept are; else float32, or float64 where
  float32 would lose. Written, whole numbers keep their type and reals become float32; asked to be
  whole, they are rounded, and refused where they do not fit. Signed values in PNG and TIFF are
  stored as unsigned 16 bit with a slope and an intercept that give them back exactly.
- **Slice thickness** is not the step between slices, which may overlap: a written DICOM series says
  the step in SpacingBetweenSlices, and SliceThickness is that of the source (`like=`, `--like`)
  where all its slices agree and lie where the written ones do; else it is empty.
- **Several volumes** in one file ask for `volume=`; several DICOM series in one folder or zip for
  `series=`. The command line takes all series, or the one that `--series` names.
- **Limits.** An image of more than 4 GiB, or a packed file that unfolds more than 300 times and
  past 256 MiB, is refused before memory is taken; the message says which `max_bytes=` lets it
  pass.
- **Packed.** Files packed by gzip are read where they are NIfTI, NRRD, MetaImage or MGH; others are
  refused with the command that unpacks them. Zips are read where they hold DICOM.
- Pickles are never opened; a header cannot point to files outside its own folder; outputs are
  written under another name and renamed, and never over an existing file unless `overwrite=True`.

- **Identity.** What we write carries no name, number, date or UID of the source, and of its texts
  only terms of DICOM's lists: neither latents, nor images, nor tables. Latents and JSON keep two
  one-way hashes, of the series' UID and of the pixels as read, by which who has either can link
  them; `--no-marks` leaves them out. [identity.md](identity.md) goes through every output.
  `identity=True` keeps patient and study attributes in memory only; `like=` (`--like`) copies
  them into a written DICOM series, with the study's UID and dates. Names of files and folders go on
  into the names of outputs and the titles of pictures; a head's face stays in a decoded head.

A latent file (`.latent`) is described in
[decisions/0002-latent-files.md](decisions/0002-latent-files.md). Written under an image's ending,
a latent becomes its codes on their own, coarser grid.

The rest of this page is generated (`make docs`): every file below was read by `plica.read`. Where
it is refused, the sentence is what a user sees.
"""


def make_page(data: Path) -> str:
    """The whole page."""
    lines = [INTRODUCTION.format(table="\n".join(describe_formats()))]
    for part, title in PARTS.items():
        lines.append(f"## {title}\n")
        for folder in sorted(path for path in (data / part).iterdir() if path.is_dir()):
            lines += [f"### {part}/{folder.name}\n", HEAD, "|---|---|---|---|---|---|"]
            lines += list(describe_folder(folder))
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def describe_formats() -> Iterator[str]:
    """The table of formats, from the tables in the code."""
    yield "| format | endings read | endings written | |"
    yield "|---|---|---|---|"
    for name, target in FORMATS.items():
        endings = [ending for ending, promised in ENDINGS.items() if promised == name]
        written = [end for end in WRITERS if end in endings] or ["–"]
        if name == "dicom":
            endings, written = [*endings, "none", ".zip", "a folder"], ["a folder"]
        module = importlib.import_module(target.partition(":")[0])
        first = (module.__doc__ or "").partition("\n")[0].rstrip(".")
        yield f"| {name} | {' '.join(endings)} | {' '.join(written)} | {escape(first)} |"


def describe_folder(folder: Path) -> Iterator[str]:
    """One row for each file, or one for the folder where its files are one series."""
    sources = find_sources([folder]).sources
    if len(sources) == 1 and sources[0].path == folder:
        count = len(list(folder.iterdir()))
        yield describe(folder, f"the folder, {count} files")
        return
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield describe(file, file.relative_to(folder).as_posix())


def describe(path: Path, name: str) -> str:
    """What came of one file: a row of the table."""
    try:
        return row(name, read(path), ())
    except AmbiguousSource as error:
        try:
            image = read(path, volume=0)
        except PlicaError as further:
            return refusal(name, further)
        said = str(error) if len(str(error)) < 200 else f"{str(error)[:150]} …"
        return row(name, image, (f"{type(error).__name__}: {said}.", "With volume=0:"))
    except PlicaError as error:
        return refusal(name, error)


def row(name: str, image: Image, before: tuple[str, ...]) -> str:
    """A row for an image."""
    grid = image.grid
    spacing = " × ".join(f"{side:.4g}" for side in grid.spacing_mm) if grid.calibrated else "–"
    shape = " × ".join(str(side) for side in grid.shape)
    channels = f", {image.channels} channels" if image.channels > 1 else ""
    lost = image.count_nonfinite()
    notes = [*before, *image.provenance.notes]
    if lost:
        notes.append(f"{lost} values are not finite.")
    cells = (name, shape + channels, spacing, image.unit.value, str(image.pixels.dtype))
    return "| " + " | ".join(escape(cell) for cell in (*cells, " ".join(notes))) + " |"


def refusal(name: str, error: PlicaError) -> str:
    """A row for an error."""
    return f"| {escape(name)} | – | – | – | – | **{type(error).__name__}**: {escape(str(error))} |"


def escape(text: str) -> str:
    """Text that is safe in a cell."""
    for mark, safe in (("\\", "\\\\"), ("|", "\\|"), ("\n", " "), ("*", "\\*"), ("<", "&lt;")):
        text = text.replace(mark, safe)
    return text


def main() -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of real images")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if it is stale")
    options = parser.parse_args()
    warnings.simplefilter("error")
    page = make_page(options.data)
    if str(options.data.resolve()) in page:
        sys.exit("the page names a folder of this machine")
    return keep(PAGE, page, check=options.check)


if __name__ == "__main__":
    sys.exit(main())
