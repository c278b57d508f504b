"""Checkpoints: all a training needs to go on, as safetensors and JSON, whole or not at all.

    checkpoints/step-0001000/
        record.json                  step, recipe, best so far, size and SHA-256 of each file
        network.safetensors          one file per module of the objective
        average.safetensors          the moving average of the network, if one is kept
        optimiser.codec.safetensors  one file per player

A checkpoint is written beside its place and renamed into it. Nothing in one is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from torch import Tensor

from plica.errors import UnreadableFile
from plica.formats.atomic import new_folder

VERSION = 1
RECORD = "record.json"
_NAME = "step-{:07d}"
_MOST_RECORD_BYTES = 1 << 24
# What a record that is not as it was written makes of reading it.
_DAMAGED = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
    SafetensorError,
)

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Record:
    """What a checkpoint says of its training.

    Args:
        step: Steps that are done.
        recipe: As TOML.
        evaluated: The step after which was last judged; −1 before the first time.
        first: The metric of the first weights.
        last: The metric at the last judgement.
        best: The best metric so far.
        best_step: After which step it was.
    """

    step: int
    recipe: str
    evaluated: int = -1
    first: float | None = None
    last: float | None = None
    best: float | None = None
    best_step: int = -1


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read: its record, and its tensors by file and name."""

    record: Record
    contents: Mapping[str, Tensors]


def save(folder: Path, contents: Mapping[str, Tensors], record: Record) -> Path:
    """Write a checkpoint into `folder`; one of the same step is replaced.

    Raises:
        OutputError: It cannot be written; those that were there before are left.

    Examples:
        >>> record = Record(step=100, recipe="")
        >>> save(Path("checkpoints"), {"network": network.state_dict()}, record).name
        'step-0000100'
    """
    path = locate(folder, record.step)
    with new_folder(path, overwrite=True) as part:
        files = {}
        for name, tensors in contents.items():
            data = safetensors.torch.save(_plain(tensors))
            (part / f"{name}.safetensors").write_bytes(data)
            files[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        text = json.dumps({"version": VERSION, **asdict(record), "files": files}, indent=2)
        (part / RECORD).write_text(text + "\n", encoding="utf-8")
    return path


def _plain(tensors: Tensors) -> dict[str, Tensor]:
    """Copies on the CPU: safetensors takes no two tensors that share their memory."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def locate(folder: Path, step: int) -> Path:
    """Where the checkpoint of `step` is."""
    return folder / _NAME.format(step)


def list_steps(folder: Path) -> list[int]:
    """Steps of the checkpoints in `folder`, in rising order, damaged ones too."""
    found = (path.name.removeprefix("step-") for path in folder.glob("step-*") if path.is_dir())
    return sorted(int(digits) for digits in found if digits.isdecimal())


def load(folder: Path, step: int) -> Checkpoint:
    """Read the checkpoint of `step`, every byte of it checked.

    Raises:
        UnreadableFile: It is not there, or is not as it was written.
    """
    path = locate(folder, step)
    try:
        table = _read_table(path / RECORD)
        if table.pop("version") != VERSION:
            raise UnreadableFile(f"{path} was written by another version of plica")
        files = table.pop("files")
        contents = {name: _read(path, name, facts) for name, facts in files.items()}
        record = _as_record(table)
        if record.step != step:
            raise UnreadableFile(f"{path} says it is of step {record.step}")
        return Checkpoint(record, contents)
    except _DAMAGED as error:
        raise UnreadableFile(f"the checkpoint {path} cannot be read: {error}") from error


def _read_table(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MOST_RECORD_BYTES:
        raise ValueError(f"{path.name} is larger than any record")
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return table


def _as_record(table: Mapping[str, Any]) -> Record:
    """The record in a table, each field of its own kind."""
    if unknown := sorted(set(table) - set(Record.__dataclass_fields__)):
        raise ValueError(f"a record has no {', '.join(unknown)}")
    return TypeAdapter(Record).validate_json(json.dumps(dict(table)), strict=True)


def _read(path: Path, name: str, facts: Mapping[str, Any]) -> Tensors:
    if "/" in name or "\\" in name:
        raise ValueError(f"'{name}' is not the name of a file")
    file = path / f"{name}.safetensors"
    if (size := file.stat().st_size) != facts["bytes"]:
        raise ValueError(f"{name} has {size} bytes of {facts['bytes']}")
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != facts["sha256"]:
        raise ValueError(f"{name} is not as it was written")
    return safetensors.torch.load(data)


def load_latest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The last checkpoint that is whole, and a sentence for each later one that is not.

    Raises:
        UnreadableFile: There are checkpoints, and none of them is whole.
    """
    damaged: list[str] = []
    for step in reversed(list_steps(folder)):
        try:
            return load(folder, step), damaged
        except UnreadableFile as error:
            damaged.append(str(error))
    if damaged:
        raise UnreadableFile(f"no checkpoint in {folder} is whole; the last: {damaged[0]}")
    return None, []


def load_last(folder: Path) -> Checkpoint | None:
    """The last checkpoint; None where there is none.

    Raises:
        UnreadableFile: It is damaged or gone: an earlier one would not be what was asked for.
    """
    last, damaged = load_latest(folder)
    if damaged:
        raise UnreadableFile(f"{damaged[0]}; delete that checkpoint to go on from the one before")
    return last


def load_best(folder: Path) -> Checkpoint | None:
    """The checkpoint with the best metric, or the last one where nothing was judged.

    Raises:
        UnreadableFile: It is damaged or gone: another one would not be what was asked for.
    """
    last = load_last(folder)
    if last is None or last.record.best_step in (-1, last.record.step):
        return last
    return load(folder, last.record.best_step)


def prune(folder: Path, kept: Collection[int]) -> None:
    """Remove all checkpoints but those of the steps `kept`, and what a killed run left behind."""
    for step in list_steps(folder):
        if step not in kept:
            shutil.rmtree(locate(folder, step), ignore_errors=True)
    for rest in folder.glob(".step-*.part"):
        shutil.rmtree(rest, ignore_errors=True)
