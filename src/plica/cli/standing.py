"""What a report stands on: images, codecs and their weights, versions, machine."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plica
from plica.cli.contenders import Contender
from plica.codecs.device import choose_device
from plica.evaluation.text import PER_CODE
from plica.run import describe_environment, say_version
from plica.training.cohorts import is_plain_folder

SHOWN = (
    "numpy",
    "torch",
    "scipy",
    "statsmodels",
    "timm",
    "monai",
    "imagecodecs",
    "pylibjpeg-openjpeg",
)


def describe_codec(contender: Contender) -> dict[str, str]:
    """A codec's row in a table."""
    card = contender.codec.card
    if card.dims == 0:
        return {"dims": "–", "factor": "–", "channels": "–", PER_CODE: "–"}
    return {
        "dims": str(card.dims),
        "factor": f"{card.factor}×",
        "channels": str(card.channels),
        # The latents of several passes are so many times as large.
        PER_CODE: "–" if contender.policy else f"{card.voxels_per_code:.3g}",
    }


def record_codec(contender: Contender) -> dict[str, Any]:
    """The same for machines, with the fingerprint of the weights."""
    card = contender.codec.card
    return {
        "name": contender.name,
        "fingerprint": contender.codec.fingerprint,
        "dims": card.dims,
        "factor": card.factor,
        "channels": card.channels,
        "licence": card.licence,
        "training_data": card.training_data,
    }


def say_codec(contender: Contender) -> str:
    """A codec in a line: whose it is, and which weights."""
    card = contender.codec.card
    return f"{card.summary} {card.source}. {contender.codec.fingerprint}"


def say_machine(device: str) -> str:
    """Where numbers were measured; no host's or user's name."""
    from plica.networks.cost import describe_device  # it needs torch: `--help` does not wait for it

    here = describe_environment()
    return (
        f"{here['system']} {here['machine']}, {here['processors']} processors; "
        f"{describe_device(choose_device(device))}"
    )


def say_versions() -> str:
    """Of plica, Python and the packages numbers hang on."""
    packages: Mapping[str, str] = describe_environment()["packages"]
    named = (f"{name} {packages[name]}" for name in SHOWN if name in packages)
    return ", ".join(
        (f"plica {say_version(plica.__version__)}", f"Python {platform.python_version()}", *named)
    )


def say_patients(cohort: Path) -> str:
    """Who counts as a patient where no table says it; "" where one does."""
    if not is_plain_folder(cohort):
        return ""
    return (
        "each folder or file directly below counts as a patient (below folders called like splits, "
        "each second one), whoever the files name; a table with the columns path and patient says "
        "otherwise"
    )


def name_cohort(cohort: Path) -> str:
    """A cohort's own name: the folders above it are nobody's business."""
    return cohort.resolve().name
