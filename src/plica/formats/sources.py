"""What is to be read: files, series, archives and trees of them, as a list with names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from plica.errors import NotAnImage, PlicaError, UnreadableFile
from plica.formats.sniff import find_ending, identify

# Never images, whatever they hold; everything else in a tree is looked into.
_NO_IMAGES = {
    ".csv", ".tsv", ".json", ".jsonl", ".txt", ".md", ".rst", ".xml", ".yaml", ".yml", ".toml",
    ".html", ".htm", ".pdf", ".py", ".sh", ".log", ".bval", ".bvec", ".pt", ".pth", ".pkl",
    ".safetensors", ".xlsx", ".docx",
}  # fmt: skip
WITHOUT_PIXELS = "DICOM without pixels"
_PARTS = {".raw": (".mhd", ".nhdr"), ".zraw": (".mhd",), ".img": (".hdr",), ".gz": (".nhdr",)}


@dataclass(frozen=True)
class Source:
    """One image to be read.

    Args:
        name: Output stem: the path below the tree that was given, without its ending, "/" between
            folders. Nothing of the patient but what the file's own name says.
        path: What `read` takes.
        series: Which series of that path, where it holds several.
        volume: Which volume, where one was chosen.
        mark: A one-way hash of the DICOM series it is, where that is known; equal for its copies.
        instances: A one-way hash of the images it is made of, where they are known; equal for
            copies, and for nothing else.
        files: Its files, where `path` is a folder of several series.
        number: Which of several series it is, from 1.
        kind: "original", "derived" or "localizer", where DICOM says so.
        patient: A one-way hash of whose it is, to count patients by.
    """

    name: str
    path: Path
    series: str | None = None
    volume: int | None = None
    mark: str = field(default="", compare=False)
    instances: str = field(default="", compare=False)
    files: tuple[Path, ...] = field(default=(), compare=False)
    number: int | None = field(default=None, compare=False)
    kind: str = field(default="", compare=False)
    patient: str = field(default="", compare=False)


class Skipped(NamedTuple):
    """A file of a tree or zip that is no image, and why; what kind of object, where DICOM says."""

    path: Path
    reason: str
    kind: str = ""


class Found(NamedTuple):
    """What a look through files and trees came to."""

    sources: list[Source]
    skipped: list[Skipped]


def find_sources(paths: Sequence[Path], *, series: str | None = None) -> Found:
    """All images at and below the paths, in the same order each time.

    A file named itself is always a source, whatever it is: reading it says what is wrong. In a
    tree, files that are no images are skipped with a reason; damaged images stay, so that they
    fail by name and not in silence. Slices of one DICOM series are one source; a folder, zip or
    DICOMDIR of several is as many.

    Args:
        paths: Files, folders of a series, zips, or trees of them.
        series: The one series meant, as `read` takes it: each path is then one source, with the
            name it has among all of them.

    Raises:
        UnreadableFile: A path is not there.

    Examples:
        >>> [source.name for source in find_sources([Path("study"), Path("brain.nii.gz")]).sources]
        ['ct', 'brain']
    """
    found = Found([], [])
    for path in paths:
        if not path.exists():
            raise UnreadableFile(f"{path}: there is no such file or folder; check the path")
        if series is not None:
            found.sources.append(_find_chosen(path, series))
        elif path.is_dir():
            _walk(path, found)
        else:
            found.sources.extend(_look_inside(strip_ending(path.name), path, found.skipped))
    return found


def _find_chosen(path: Path, series: str) -> Source:
    """One series of a path, named as it is where all of them are taken."""
    from plica.formats.dicom import look_inside
    from plica.formats.dicom_series import choose_series

    number = int(series) if series.isdecimal() and len(series) < 5 else None
    alone = Source(strip_ending(_own_name(path)), path, series=series, number=number)
    several = path.is_dir() or path.suffix.lower() == ".zip" or path.name == "DICOMDIR"
    try:
        inside = look_inside(path).scan.series if several else ()
        chosen = choose_series(inside, series, path.name)
    except PlicaError:
        return alone  # reading it says what is wrong
    alone = replace(alone, number=inside.index(chosen) + 1, **_marks(chosen))
    if len(inside) == 1:
        return alone
    walked = Found([], [])
    if path.is_dir():
        _walk(path, walked)
    named = [one.name for one in walked.sources if _is_made_of(one, chosen.files)]
    return replace(alone, name=named[0] if named else f"{alone.name}/series-{alone.number}")


def _is_made_of(source: Source, files: Sequence[Path]) -> bool:
    """Whether a source of a tree has just these files."""
    if source.files or not source.path.is_dir():
        return set(source.files or [source.path]) == set(files)
    return all(file.parent == source.path for file in files)


def _own_name(path: Path) -> str:
    """What a path is called, "." and ".." too."""
    return path.name if path.name not in {"", ".."} else path.resolve().name


def strip_ending(name: str) -> str:
    """A file name without its known ending only: "a.1.nii.gz" is "a.1", "1.2.840.99" stays.

    Examples:
        >>> strip_ending("a.1.nii.gz")
        'a.1'
    """
    ending = ".zip" if name.lower().endswith(".zip") else find_ending(name)
    return name[: len(name) - len(ending)] if ending else name


def _walk(tree: Path, found: Found) -> None:
    files = (file for file in tree.rglob("*") if file.is_file())
    inside = find_named(tree, (file.relative_to(tree).as_posix() for file in files))
    found.sources.extend(inside.sources)
    found.skipped.extend(inside.skipped)


def find_in_folder(tree: Path, folder: Path, files: Sequence[Path]) -> Found:
    """The images among a folder's own files; what lies in folders below it is not looked at.

    Args:
        tree: What names are below.
        folder: The tree itself, or a folder within.
        files: Its files, all of them.

    Examples:
        >>> study = Path("study")
        >>> found = find_in_folder(study, study / "ct", [*(study / "ct").iterdir()])
        >>> [source.name for source in found.sources]
        ['ct']
    """
    slices: list[Path] = []
    found = Found([], [])
    for file in files:
        kind = _classify(file, found.skipped)
        if kind == "dicom" and file.suffix.lower() != ".zip":
            slices.append(file)
        elif kind:
            found.sources.extend(_look_inside(_name_below(tree, file), file, found.skipped))
    if slices:
        found.sources.extend(_find_series(tree, folder, slices, found.skipped))
    return found


def find_named(tree: Path, names: Iterable[str]) -> Found:
    """The images among some files of a tree, and none of the rest of it.

    Args:
        tree: The folder.
        names: Files below it, "/" between folders.

    Examples:
        >>> [source.name for source in find_named(Path("."), ["brain.nii.gz"]).sources]
        ['brain']
    """
    folders: dict[Path, list[Path]] = defaultdict(list)
    for file in sorted(tree / name for name in names):
        folders[file.parent].append(file)
    found = Found([], [])
    for folder, files in folders.items():
        inside = find_in_folder(tree, folder, files)
        found.sources.extend(inside.sources)
        found.skipped.extend(inside.skipped)
    found.sources.sort(key=lambda source: (source.name, str(source.path)))
    return found


def list_parts(file: Path) -> list[Path]:
    """A file, and the files of data that belong to it where it is a header."""
    suffix = file.suffix.lower()
    stem = file.name[: len(file.name) - len(suffix)]
    endings = [part for part, headers in _PARTS.items() if suffix in headers]
    beside = [file.with_name(stem + more + ending) for ending in endings
              for more in (("", ".raw", ".img") if ending == ".gz" else ("",))]  # fmt: skip
    return [file, *(part for part in beside if part.is_file())]


def _classify(file: Path, skipped: list[Skipped]) -> str:
    """The format of a file in a tree; "" where it is skipped, "damaged" where reading will tell."""
    suffix = file.suffix.lower()
    if any(part.startswith(".") for part in file.name.split("/")) or file.name == "DICOMDIR":
        return ""
    if suffix in _NO_IMAGES:
        skipped.append(Skipped(file, f"{suffix} files are no images"))
        return ""
    stem = file.name[: len(file.name) - len(suffix)]
    stem = stem.removesuffix(".raw").removesuffix(".img")
    if any(file.with_name(stem + header).is_file() for header in _PARTS.get(suffix, ())):
        skipped.append(Skipped(file, "belongs to the header beside it"))
        return ""
    try:
        kind = identify(file)
    except NotAnImage:
        skipped.append(Skipped(file, "text"))
        return ""
    except PlicaError as error:
        if find_ending(file.name):
            return "damaged"
        skipped.append(Skipped(file, str(error)))
        return ""
    if kind == "latent":
        skipped.append(Skipped(file, "a latent already"))
        return ""
    return kind


def _name_below(tree: Path, path: Path) -> str:
    below = path.relative_to(tree)
    return (below.parent / strip_ending(below.name)).as_posix()


def _look_inside(name: str, file: Path, skipped: list[Skipped]) -> list[Source]:
    """One source for each series of a zip or DICOMDIR that holds several, else the file's own."""
    if file.suffix.lower() != ".zip" and file.name != "DICOMDIR":
        return [Source(name, file)]
    from plica.formats.dicom import look_inside

    try:
        looked, objects, foreign = look_inside(file)
    except PlicaError:
        return [Source(name, file)]  # reading it says what is wrong
    if not looked.series:
        return [Source(name, file)]
    members = zip(objects, looked.kinds, strict=True)
    skipped.extend(Skipped(file / one, WITHOUT_PIXELS, kind) for one, kind in members)
    skipped.extend(Skipped(file / one, "not DICOM") for one in foreign)
    if len(looked.series) == 1:
        (lone,) = looked.series
        return [Source(name, file, **_marks(lone))]
    return [
        Source(f"{name}/series-{at}", file, series=one.series, number=at, **_marks(one))
        for at, one in enumerate(looked.series, start=1)
    ]


def _find_series(
    tree: Path, folder: Path, files: list[Path], skipped: list[Skipped]
) -> list[Source]:
    """One source for each series of a folder's DICOM files, and for each damaged file."""
    from plica.formats.dicom_series import scan

    looked = scan(files)
    others = zip(looked.others, looked.kinds, strict=True)
    skipped.extend(Skipped(file, WITHOUT_PIXELS, kind) for file, kind in others)
    base = _own_name(tree) if folder == tree else folder.relative_to(tree).as_posix()
    if len(looked.series) == 1 and len(looked.series[0].files) > 1:
        # Reading it says which slices are damaged.
        lone = looked.series[0]
        return [Source(base, folder, **_marks(lone))]
    ordered = sorted(looked.series, key=lambda one: sorted(one.files))
    return [
        *(
            _name_series(tree, folder, f"{base}/series-{at}", one)
            for at, one in enumerate(ordered, 1)
        ),
        *(Source(_name_below(tree, file), file) for file, _ in looked.damaged),
    ]


def _marks(series: Any) -> dict[str, Any]:
    return {
        "mark": series.series,
        "instances": series.instances,
        "kind": series.kind,
        "patient": series.patient,
    }


def _name_series(tree: Path, folder: Path, name: str, series: Any) -> Source:
    if len(series.files) == 1:
        file = series.files[0]
        return Source(_name_below(tree, file), file, **_marks(series))
    files, number = tuple(series.files), int(name.rpartition("-")[2])
    return Source(name, folder, series=series.series, files=files, number=number, **_marks(series))
