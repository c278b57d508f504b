"""Manifest: what every file of a data set was made of, and by what; half-made ones included."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from plica.augmentation.labelled import DATASET, IMAGES, LABELS, read_json
from plica.errors import InputError, OutputError
from plica.formats.atomic import new_file, refuse_existing

MANIFEST = "plica-augmentation.json"
SPLITS = "splits_final.json"
VERSION = "plica.augmentation/1"
JOURNAL = ".plica"
ENDING = ".nii.gz"

Existing = Literal["refuse", "resume", "overwrite"]
Record = dict[str, Any]

_FOLDER = re.compile(r"Dataset(\d{3})_([A-Za-z0-9_-]+)")


def parse_folder(folder: Path) -> tuple[int, str]:
    """Number and name of a data set, as its folder says.

    Raises:
        OutputError: It is not called as nnU-Net wants.

    Examples:
        >>> parse_folder(Path("nnUNet_raw/Dataset501_Liver"))
        (501, 'Liver')
    """
    match = _FOLDER.fullmatch(folder.name)
    if match is None:
        raise OutputError(
            f"nnU-Net wants a folder called Dataset, three digits, _ and a name, such as "
            f"Dataset501_Liver, but it would be '{folder.name}'"
        )
    return int(match[1]), match[2]


@dataclass(frozen=True)
class Ledger:
    """The folder of a data set that is being made, and what of it is done.

    Args:
        folder: The data set's.
        asked: What every case is made with; a data set is of one.
    """

    folder: Path
    asked: Mapping[str, Any]

    def begin(self, existing: Existing) -> dict[str, Record]:
        """Records of the cases that are there already; makes room for the others.

        Raises:
            OutputError: The folder is taken, or was begun with other settings.
        """
        refuse_existing(self.folder, overwrite=existing != "refuse")
        if self.folder.is_file():
            raise OutputError(f"{self.folder} is a file, but a data set is a folder")
        if existing == "overwrite":
            self._clear()
        done = self._read_done()
        if self.folder.exists() and any(self.folder.iterdir()) and not self._is_ours():
            raise OutputError(f"{self.folder} was not made by plica augment: choose another folder")
        self._refuse_other_settings()
        for name in (IMAGES, LABELS, JOURNAL):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        write_json(self.folder / JOURNAL / "asked.json", self.asked)
        (self.folder / DATASET).unlink(missing_ok=True)  # without it nnU-Net takes nothing
        return done

    def is_whole(self, record: Record, made_of: Mapping[str, Any]) -> bool:
        """Whether a case was made of just this, and its files are as they were written."""
        try:
            files = {str(name): str(summed) for name, summed in record["files"].items()}
        except (KeyError, AttributeError):
            return False
        if any(record.get(key) != value for key, value in made_of.items()):
            return False
        return all(
            re.fullmatch(rf"({IMAGES}|{LABELS})/[^/\\]+", name) is not None
            and (self.folder / name).is_file()
            and hash_file(self.folder / name) == summed
            for name, summed in files.items()
        )

    def keep(self, record: Record) -> None:
        """Remember a case whose files are written."""
        write_json(self.folder / JOURNAL / f"{record['case']}.case.json", record)

    def finish(self, files: Mapping[str, Record | list[Any]]) -> None:
        """Write the records that make it a data set, dataset.json last.

        Raises:
            OutputError: The folder holds images that are no case of it.
        """
        known = {name for case in _cases(files[MANIFEST]) for name in case["files"]}
        for place in (IMAGES, LABELS):
            for path in (self.folder / place).iterdir():
                if path.name.startswith(".") and path.name.endswith(".part"):
                    path.unlink()  # of a run that was killed
                elif f"{place}/{path.name}" not in known:
                    raise OutputError(
                        f"{path} is no case of this data set: remove it, or begin anew with "
                        "--overwrite"
                    )
        for name, record in files.items():
            write_json(self.folder / name, record)
        shutil.rmtree(self.folder / JOURNAL)

    def _is_ours(self) -> bool:
        return any((self.folder / name).exists() for name in (JOURNAL, MANIFEST))

    def _clear(self) -> None:
        """Remove what an earlier run wrote, and nothing else."""
        if not self.folder.exists() or not any(self.folder.iterdir()):
            return
        if not self._is_ours():
            raise OutputError(
                f"{self.folder} was not made by plica augment, and is not overwritten: choose "
                "another folder"
            )
        for name in (IMAGES, LABELS, JOURNAL):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in (DATASET, SPLITS, MANIFEST):
            (self.folder / name).unlink(missing_ok=True)

    def _read_done(self) -> dict[str, Record]:
        done: dict[str, Record] = {}
        if (self.folder / MANIFEST).is_file():
            done |= {case["case"]: case for case in _cases(read_json(self.folder / MANIFEST))}
        for path in sorted((self.folder / JOURNAL).glob("*.case.json")):
            record = read_json(path)
            done[str(record.get("case"))] = record
        return done

    def _refuse_other_settings(self) -> None:
        begun = self.folder / JOURNAL / "asked.json"
        if begun.is_file():
            before = read_json(begun)
        elif (self.folder / MANIFEST).is_file():
            before = read_json(self.folder / MANIFEST).get("asked", {})
        else:
            return
        asked = json.loads(json.dumps(self.asked))
        for key in sorted({*before, *asked}):
            if before.get(key) != asked.get(key):
                raise OutputError(
                    f"{self.folder.name} was begun with {key} {json.dumps(before.get(key))}, and "
                    f"now it would be {json.dumps(asked.get(key))}: ask for the same, or begin "
                    "anew with --overwrite"
                )


def _cases(record: Record | list[Any]) -> list[Record]:
    cases = record.get("cases") if isinstance(record, dict) else None
    if not isinstance(cases, list) or not all(isinstance(c, dict) and "case" in c for c in cases):
        raise InputError(f"{MANIFEST} is damaged: begin anew with --overwrite")
    return cases


def hash_file(path: Path) -> str:
    """SHA-256 of a file, as "sha256:…"."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def write_json(path: Path, record: Any) -> None:
    """JSON that is the same for the same record, whole or not at all."""
    with new_file(path, overwrite=True) as file:
        text = json.dumps(record, indent=1, ensure_ascii=True, allow_nan=False)
        file.write(text.encode("ascii") + b"\n")
