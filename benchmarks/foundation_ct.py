"""What TAEF2 keeps of every CT of the development images, under several policies.

    python benchmarks/foundation_ct.py --data DATA --weights WEIGHTS --results FILE [--write]

DATA holds MANIFEST.csv, WEIGHTS taef2_encoder.pth and taef2_decoder.pth. Each result is added to
FILE as soon as it is there, and what is there is not computed again; --write puts the tables into
docs/foundation.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pages import DOCS, put_section

import plica
from plica.codecs.networkcodec import NetworkCodec
from plica.codecs.policy import Policy
from plica.codecs.reconstruction import Reconstructor
from plica.errors import PlicaError
from plica.evaluation.fields import to_field, to_values
from plica.evaluation.tissues import judge_tissues
from plica.image import Image, Unit

PAGE = DOCS / "foundation.md"
LOW, HIGH = -1000.0, 1000.0
TISSUES = ("air", "lung", "fat", "soft tissue", "enhanced or spongy", "bone")
PUBLISHED, PLANES = "as Foundation-VAE", "wide, 3 planes"
COMPARED = (
    PUBLISHED, "wide", "wide, recalibrated", "full", "three windows as colours", "wide and soft",
    "wide, 4 shifts", "wide and soft, 4 shifts",
)  # fmt: skip
MOST_VOXELS = 2**22
FEWEST = 100  # voxels of a tissue's core, for its mean to be told
Make = Callable[[Image], tuple[Image, dict[str, Any]]]
Values = NDArray[np.float32]


@dataclass(frozen=True)
class Way:
    """One way to reconstruct.

    Args:
        name: For the tables.
        make: An image to its reconstruction, and facts of it.
        volumes: Whether it is for volumes alone.
        everywhere: Whether it is tried on every CT, or on one of each patient: in HU, and of at
            most 2^22 voxels.
    """

    name: str
    make: Make
    volumes: bool = False
    everywhere: bool = False


def main() -> None:
    """Measure what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    codec = plica.load("taef2", weights=asked.weights)
    assert isinstance(codec, NetworkCodec)
    results = measure_all(asked.data, list_ways(codec), asked.results)
    sections = {
        "every CT": tell_every(results),
        "policies": tell_policies(results),
        "tissues": tell_tissues(results),
        "planes": tell_planes(results),
    }
    for name, text in sections.items():
        print(text, end="\n\n")
        if asked.write:
            put_section(PAGE, name, text)


# -- ways ----------------------------------------------------------------------------------------


def list_ways(codec: NetworkCodec) -> list[Way]:
    """The policies that are compared."""

    def by(policy: Policy) -> Make:
        def make(image: Image) -> tuple[Image, dict[str, Any]]:
            came = Reconstructor(codec, suit(policy, image)).run(image)
            return came.image, came.facts

        return make

    planes = ("axial", "coronal", "sagittal")
    return [
        Way(PUBLISHED, lambda image: (as_published(codec, image), {})),
        Way("wide", by(Policy(("wide",))), everywhere=True),
        Way("wide, recalibrated", by(Policy(("wide",), recalibrate=True))),
        Way("full", by(Policy(("full",)))),
        Way("wide and soft", by(Policy(("wide", "soft"))), everywhere=True),
        Way("wide, 4 shifts", by(Policy(("wide",), 4))),
        Way("wide and soft, 4 shifts", by(Policy(("wide", "soft"), 4))),
        Way(PLANES, by(Policy(("wide",), axes=planes)), volumes=True),
        Way("three windows as colours", lambda image: (in_colours(codec, image), {})),
    ]


def suit(policy: Policy, image: Image) -> Policy:
    """The policy; for values that are no HU, their whole range in place of the wide window."""
    if image.unit is Unit.HU:
        return policy
    return replace(policy, windows=("full",))


def as_published(codec: NetworkCodec, image: Image) -> Image:
    """One wide window, values beyond it lost, fractions cut off."""
    low, high = (LOW, HIGH) if image.unit is Unit.HU else ends(image)
    clipped = image.with_pixels(np.clip(image.pixels, low, high).astype(np.float32))
    shown = replace(clipped, unit=Unit.HU) if image.unit is Unit.HU else clipped
    decoded = codec.decode(codec.encode(shown)).pixels
    if image.pixels.dtype.kind in "iu":
        decoded = np.trunc(decoded)
    return image.with_pixels(decoded.astype(image.pixels.dtype))


def in_colours(codec: NetworkCodec, image: Image) -> Image:
    """Wide, soft and lung windows as red, green and blue, each voxel from the narrowest."""
    windows = ((LOW, HIGH), (-175.0, 250.0), (-1350.0, 150.0))
    if image.unit is not Unit.HU:
        low, high = ends(image)
        windows = ((low, high), (low, (low + high) / 2), ((low + high) / 2, high))
    seen = np.stack([
        np.clip((image.pixels[0] - (low + high) / 2) / ((high - low) / 2), -1, 1)
        for low, high in windows
    ]).astype(np.float32)  # fmt: skip
    made = run_network(codec, seen)
    parts = [
        (made[n] * (high - low) / 2 + (low + high) / 2) for n, (low, high) in enumerate(windows)
    ]
    fused = np.where((parts[0] > -175) & (parts[0] < 250), parts[1], parts[0])
    fused = np.where(parts[0] < -400, parts[2], fused) if image.unit is Unit.HU else parts[0]
    return image.with_pixels(np.rint(fused)[None].astype(image.pixels.dtype))


@torch.inference_mode()
def run_network(codec: NetworkCodec, seen: Values) -> Values:
    """(3, i, j, k) through the network, slice by slice."""
    _, i, j, k = seen.shape
    padded = np.pad(seen, ((0, 0), (0, -i % 8), (0, -j % 8), (0, 0)), mode="edge")
    slices = torch.from_numpy(np.ascontiguousarray(padded.transpose(3, 0, 2, 1)))
    made = [codec.network.decode(codec.network.encode(one[None]))[0].numpy() for one in slices]
    return np.stack(made, axis=-1).transpose(0, 2, 1, 3)[:, :i, :j, :k]


def ends(image: Image) -> tuple[float, float]:
    """Lowest and highest value."""
    return float(image.pixels.min()), float(image.pixels.max())


# -- measuring -----------------------------------------------------------------------------------


def list_images(data: Path) -> Iterator[tuple[str, str, Path]]:
    """Every CT: what it is called, whose it is, and where it lies."""
    folders = {"odd-formats/torchio-small-series", "odd-formats/lungmask-min-tags"}
    seen = set()
    with (data / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            path, modality = row["path"], row["modality"]
            folder = str(Path(path).parent)
            known = path.endswith("pydicom/CT_small.dcm")
            if not ((modality.startswith("CT") and "SEG" not in modality) or known):
                continue
            if path.endswith(("LICENSE", ".md")):
                continue
            path = folder if folder in folders else path
            if path not in seen:
                seen.add(path)
                yield path, row["group_id"], data / path


def measure_all(data: Path, ways: list[Way], file: Path) -> list[dict[str, Any]]:
    """What the file has, and what it lacked."""
    results = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
    there = {(result["image"], result["way"]) for result in results}
    looked_at: dict[str, str] = {}
    for name, group, path in list_images(data):
        wanted = [way for way in ways if (name, way.name) not in there]
        if (name, ways[0].name) in there:
            looked_at.setdefault(group, name)
        if not wanted or (name, "") in there:
            continue
        try:
            image = plica.read(path)
        except PlicaError as error:
            new = [{"image": name, "group": group, "way": "", "error": str(error)}]
        else:
            if image.unit is Unit.HU and image.pixels.size <= MOST_VOXELS:
                looked_at.setdefault(group, name)
            new = [
                {"image": name, "group": group, **measure(image, way)}
                for way in wanted
                if suits(way, image) and (way.everywhere or looked_at.get(group) == name)
            ]
        with file.open("a") as opened:
            for result in new:
                opened.write(json.dumps(result) + "\n")
        results += new
        print(f"{name}: {len(new)}", flush=True)
    return results


def suits(way: Way, image: Image) -> bool:
    """Whether a way is tried on an image."""
    return image.is_volume or not way.volumes


def measure(image: Image, way: Way) -> dict[str, Any]:
    """One way on one image."""
    begun = time.perf_counter()
    came, facts = way.make(image)
    seconds = time.perf_counter() - begun
    assert came.grid == image.grid
    assert came.unit is image.unit
    assert came.pixels.dtype == image.pixels.dtype
    low, high = (LOW, HIGH) if image.unit is Unit.HU else ends(image)
    a, b = (np.clip(one.pixels[0].astype(np.float64), low, high) for one in (image, came))
    mse = float(np.mean((a - b) ** 2))
    beyond = (image.pixels < low) | (image.pixels > high)
    result = {
        "way": way.name,
        "unit": image.unit.value,
        "shape": list(image.grid.shape),
        "seconds": round(seconds, 1),
        "psnr": 10 * np.log10((high - low) ** 2 / mse) if mse else float("inf"),
        "mae": float(np.abs(a - b).mean()),
        "bias": float((b - a).mean()),
        "largest": float(np.abs(came.pixels.astype(np.float64) - image.pixels).max()),
        "outside": int(beyond.sum()),
        "lost": int((beyond & (came.pixels != image.pixels)).sum()),
        "facts": facts,
    }
    if image.unit is Unit.HU:
        found = judge_tissues(to_field(image), to_values(came))
        result["tissues"] = {one.name: [one.voxels, one.bias, one.mae] for one in found}
    return result


# -- telling -------------------------------------------------------------------------------------


def tell_every(results: list[dict[str, Any]]) -> str:
    """A row for each CT."""
    lines = [
        "| CT | voxels | unit | PSNR wide | wide and soft | MAE | bias | beyond the window |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for name in dict.fromkeys(result["image"] for result in results):
        own = {result["way"]: result for result in results if result["image"] == name}
        if "" in own:
            lines.append(f"| {name} | refused: {own['']['error']} | | | | | | |")
            continue
        wide, both = own["wide"], own["wide and soft"]
        lines.append(
            f"| {name} | {'×'.join(map(str, wide['shape']))} | {wide['unit']} | "
            f"{wide['psnr']:.2f} | {both['psnr']:.2f} | {wide['mae']:.1f} | {wide['bias']:+.1f} | "
            f"{wide['outside']} |"
        )
    return "\n".join(lines)


def tell_policies(results: list[dict[str, Any]]) -> str:
    """Means over patients, each policy beside the published way on the same images."""
    there = [one for one in results if one.get("unit") == Unit.HU.value]
    first = {one["image"]: one for one in there if one["way"] == PUBLISHED}
    lines = [
        "| way | patients | PSNR, dB | gain, dB | least … most | MAE, HU | bias, HU | "
        "values beyond ±1000 HU that came back changed | network runs |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for way in COMPARED:
        own = [one for one in there if one["way"] == way and one["image"] in first]
        gains = by_patient(own, lambda one: one["psnr"] - first[one["image"]]["psnr"])
        means = [np.mean(by_patient(own, lambda one, key=key: one[key]))
                 for key in ("psnr", "mae", "bias")]  # fmt: skip
        lines.append(
            f"| {way} | {len(gains)} | {means[0]:.2f} | {np.mean(gains):+.2f} | "
            f"{min(gains):+.2f} … {max(gains):+.2f} | {means[1]:.1f} | {means[2]:+.1f} | "
            f"{sum(one['lost'] for one in own)} | {own[0]['facts'].get('passes', 1)} |"
        )
    return "\n".join(lines)


def tell_tissues(results: list[dict[str, Any]]) -> str:
    """Bias and error of each tissue, means over patients."""
    there = [one for one in results if one.get("unit") == Unit.HU.value]
    known = {one["image"] for one in there if one["way"] == PUBLISHED}
    lines = ["| way | " + " | ".join(TISSUES) + " |", "|---|" + "---:|" * len(TISSUES)]
    for way in COMPARED:
        own = [one for one in there if one["way"] == way and one["image"] in known]
        cells = []
        for tissue in TISSUES:
            seen = [one for one in own if one["tissues"].get(tissue, [0])[0] >= FEWEST]
            if not seen:
                cells.append("–")
                continue
            bias, mae = (
                np.mean(by_patient(seen, lambda one, n=n, t=tissue: one["tissues"][t][n]))
                for n in (1, 2)
            )
            cells.append(f"{bias:+.1f} / {mae:.1f}")
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tell_planes(results: list[dict[str, Any]]) -> str:
    """Volumes sliced along three axes."""
    lines = [
        "| volume | voxels | wide | wide, 4 shifts | wide, 3 planes |",
        "|---|---|---:|---:|---:|",
    ]
    for name in dict.fromkeys(one["image"] for one in results if one["way"] == PLANES):
        own = {one["way"]: one for one in results if one["image"] == name}
        cells = (f"{own[way]['psnr']:.2f}" for way in ("wide", "wide, 4 shifts", PLANES))
        shape = "×".join(map(str, own["wide"]["shape"]))
        lines.append(f"| {name} | {shape} | {' | '.join(cells)} |")
    return "\n".join(lines)


def by_patient(results: list[dict[str, Any]], value: Callable[..., float]) -> list[float]:
    """A patient's images count as one."""
    groups: dict[str, list[float]] = {}
    for result in results:
        groups.setdefault(result["group"], []).append(value(result))
    return [float(np.mean(values)) for values in groups.values()]


if __name__ == "__main__":
    main()
