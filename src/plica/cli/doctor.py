"""plica doctor: what is installed, what this machine has, and which codecs are ready."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import plica
from plica.cli import options as o
from plica.cli.console import format_bytes, print_json, print_note, print_table
from plica.codecs.budget import find_machine_bytes
from plica.codecs.card import CodecCard
from plica.codecs.catalogue import find_empty, listing
from plica.codecs.presence import find_presence, say_presence
from plica.formats.decoders import Decoder, list_decoders
from plica.run import find_commit, say_version

DISTRIBUTION = "plica"
_NEEDED = re.compile(
    r"^(?P<name>[\w.-]+)(?:\[[^]]*\])?[^;]*(?:;.*extra == ['\"](?P<extra>[\w-]+)['\"])?"
)
_BUNDLES = {"all", "test", "dev"}  # extras of other extras, and those of who builds plica
APART = {"nnunet"}
"""What pins versions of others is installed by who asks for it alone; "all" leaves it out, too."""
MOST_NAMED = 6
BROKEN = "of a package that cannot be used"


def doctor(as_json: o.Json = False) -> None:
    """Say what this installation can do, and how to come by what it cannot.

    Example: plica doctor
    """
    found = {
        "plica": plica.__version__,
        "commit": find_commit(),
        "machine": list_machine(),
        "extras": list(list_extras()),
        "codecs": list(list_codecs()),
        "decoders": [vars(one) for one in list_decoders()],
    }
    if as_json:
        print_json(found)
        return
    _print(found)


def list_machine() -> dict[str, Any]:
    """What runs here, and how much room there is."""
    from plica.codecs.device import list_devices
    from plica.networks.precision import is_native

    temporary = tempfile.gettempdir()
    return {
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "torch": importlib.metadata.version("torch"),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        "devices": list_devices(),
        "bfloat16_native_on_cpu": is_native("cpu"),
        "memory_bytes": find_machine_bytes(),
        "free_disk_bytes": shutil.disk_usage(".").free,
        "scratch": temporary,
        "free_scratch_bytes": shutil.disk_usage(temporary).free,
    }  # fmt: skip


def list_extras() -> Iterator[dict[str, Any]]:
    """Each extra of plica, with the packages of it that are missing."""
    extras: dict[str, dict[str, str]] = {}
    for line in importlib.metadata.requires(DISTRIBUTION) or ():
        match = _NEEDED.match(line)
        if match is not None and match["extra"] and match["extra"] not in _BUNDLES:
            extras.setdefault(match["extra"], {})[match["name"]] = _version(match["name"])
    for name, packages in sorted(extras.items()):
        missing = [package for package, version in packages.items() if not version]
        yield {"extra": name, "packages": packages, "missing": missing}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def list_codecs() -> Iterator[dict[str, str]]:
    """Each codec, and how its weights are come by."""
    for name, card in listing():
        if not isinstance(card, CodecCard):
            yield {"codec": name, "presence": "broken", "weights": BROKEN, "error": str(card)}
            continue
        if empty := find_empty(name):
            yield {"codec": name, "presence": "broken", "weights": BROKEN, "error": empty}
            continue
        yield {
            "codec": card.name,
            "presence": find_presence(card),
            "weights": say_presence(card),
        }


# -- telling -------------------------------------------------------------------------------------


def _print(found: dict[str, Any]) -> None:
    machine = found["machine"]
    native = "computed by the processor itself" if machine["bfloat16_native_on_cpu"] else (
        "imitated: slower than float32"
    )  # fmt: skip
    print_table(
        f"plica {say_version(found['plica'])}",
        ("what", "here"),
        [
            ("Python, system", f"{machine['python']}, {machine['system']}"),
            ("torch", machine["torch"]),
            ("devices", ", ".join(machine["devices"])),
            ("processors", str(machine["processors"])),
            ("bfloat16", native),
            ("memory", f"{format_bytes(machine['memory_bytes'])}, of which half is used if "
             "--memory says nothing"),
            ("free disk here", format_bytes(machine["free_disk_bytes"])),
            ("free scratch",
             f"{format_bytes(machine['free_scratch_bytes'])} in {machine['scratch']}"),
        ],
    )  # fmt: skip
    print_table("\nExtras", ("extra", "installed", "missing"), list(_tell_extras(found["extras"])))
    print_table(
        "\nCodecs",
        ("how they are come by", "codecs", "such as"),
        list(_tell_codecs(found["codecs"])),
    )
    decoders = [Decoder(**one) for one in found["decoders"]]
    print_table(
        "\nCompressed DICOM pixels", ("transfer syntax", "read by"),
        [(one.name, ", ".join(one.packages) or "nothing here") for one in decoders],
    )  # fmt: skip
    for one in found["codecs"]:
        if "error" in one:
            print_note(one["error"])
    missing = [one["extra"] for one in found["extras"] if one["missing"]]
    if lacking := [extra for extra in missing if extra not in APART]:
        print_note(f"for what is missing: pip install 'plica[{','.join(lacking)}]'")


def _tell_extras(extras: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for one in extras:
        there = [f"{name} {version}" for name, version in one["packages"].items() if version]
        yield one["extra"], ", ".join(there), ", ".join(one["missing"])


def _tell_codecs(codecs: list[dict[str, str]]) -> Iterator[tuple[str, str, str]]:
    for says in dict.fromkeys(one["weights"] for one in codecs):
        names = [one["codec"] for one in codecs if one["weights"] == says]
        # From all over the list: the first ones are of one family.
        step = max(1, len(names) // MOST_NAMED)
        yield says, str(len(names)), ", ".join(names[::step][:MOST_NAMED])
