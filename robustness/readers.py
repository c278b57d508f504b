"""Files that are no images but are read: cards, weights, recipes, tables, stores, reports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from robustness.bases import CODEC
from robustness.cases import REPORT
from robustness.samples import PLACE, Sample, Use


def find(base: Path) -> list[Sample]:
    """A sample of each, in the folder it is part of, with the commands that read it."""
    return [*_codec(base), *_tables(base), *_store(base), *_report(base), *_run(base)]


def _codec(base: Path) -> list[Sample]:
    folder = base / "exported" / "codec"
    picture = str(base / "pictures" / "0.png")
    uses = (
        Use("card", ("card", PLACE)),
        Use(
            "encode",
            ("encode", picture, "-o", "out/a.latent", "-c", PLACE, "-q"),
            ("out/*.latent",),
        ),
    )
    weights = next(folder.glob("*.safetensors"))
    return [
        Sample(
            "card of a codec", folder / "card.json", uses, folder=folder, names=(PLACE, "card.json")
        ),
        Sample(
            "weights", weights, uses[1:], checksum=True, folder=folder, names=(PLACE, weights.name)
        ),
    ]


def _tables(base: Path) -> list[Sample]:
    judge = (
        "evaluate",
        "reconstruction",
        f"{PLACE}/images.csv",
        "-c",
        CODEC,
        "--metric",
        "psnr",
        "--worst",
        "0",
        "-o",
        "out/r",
        "-q",
    )
    listed = ("evaluate", "protocols", f"{PLACE}/protocol.toml")
    train = (
        "train",
        f"{PLACE}/recipe.toml",
        "--data",
        str(base / "pictures" / "images.csv"),
        "--set",
        "steps=2",
        "-o",
        "out/run",
        "--cache",
        "out/cache",
        "-q",
    )
    pictures = base / "pictures"
    return [
        Sample(
            "cohort CSV",
            pictures / "images.csv",
            (Use("evaluate reconstruction", judge, REPORT),),
            cuts_told=False,
            folder=pictures,
            names=(PLACE, "images.csv"),
        ),
        Sample(
            "protocol TOML",
            base / "protocol.toml",
            (Use("evaluate protocols", listed),),
            cuts_told=False,
            names=("protocol.toml",),
        ),
        Sample(
            "recipe TOML",
            base / "recipe.toml",
            (Use("train", train, ("out/run/checkpoints/*",), limit_s=120),),
            cuts_told=False,
            names=(PLACE, "recipe.toml", "the recipe small"),
        ),
    ]


def _store(base: Path) -> list[Sample]:
    folder = base / "stored" / "store"
    verify = Use("bulk verify", ("bulk", "verify", PLACE), finds=True)
    decode = Use("bulk decode", ("bulk", "decode", PLACE, "-o", "out/b", "-q"), ("out/b/*",))
    # Neither has a checksum of its own: of what is not told there, nobody could have known.
    plain = replace(verify, finds=False)
    status = Use("bulk status", ("bulk", "status", PLACE))
    shard, index = (min((folder / name).iterdir()) for name in ("shards", "index"))
    names = (PLACE, shard.stem, "ledger.sqlite")
    return [
        Sample(
            "shard of a store", shard, (verify, decode), checksum=True, folder=folder, names=names
        ),
        Sample(
            "index of a store", index, (verify, decode), checksum=True, folder=folder, names=names
        ),
        Sample("store.json", folder / "store.json", (plain, decode), folder=folder, names=names),
        Sample(
            "ledger of a store",
            folder / "ledger.sqlite",
            (plain, status),
            cuts_told=False,
            folder=folder,
            names=names,
        ),
    ]


def _report(base: Path) -> list[Sample]:
    folder = base / "report" / "r"
    compare = (
        "evaluate",
        "compare",
        PLACE,
        str(folder),
        "--first",
        CODEC,
        "--second",
        CODEC,
        "--metric",
        "psnr",
        "-q",
    )
    uses = (Use("evaluate compare", compare),)
    return [
        Sample(
            "report.json", folder / "report.json", uses, folder=folder, names=(PLACE, "report.json")
        ),
    ]


def _run(base: Path) -> list[Sample]:
    folder = base / "trained" / "run"
    last = max((folder / "checkpoints").iterdir())
    export = (
        Use(
            "export",
            ("export", PLACE, "-o", "out/codec", "--checkpoint", "last", "-q"),
            ("out/codec/*",),
        ),
    )
    return [
        Sample(
            "checkpoint",
            last / "network.safetensors",
            export,
            checksum=True,
            folder=folder,
            names=(PLACE,),
        ),
        Sample(
            "record of a checkpoint",
            last / "record.json",
            export,
            folder=folder,
            names=(PLACE,),
        ),
    ]
