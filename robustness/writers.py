"""Every command that writes anything, on the bases, with the words that let it go on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from robustness.bases import CODEC

FAST = ("-c", CODEC, "-q")
COHORT = "{base}/pictures/images.csv"


@dataclass(frozen=True)
class Writer:
    """A command line that writes.

    Args:
        command: What it is called in tables.
        words: What follows `plica`; {base} and {out} become folders.
        outputs: Patterns within {out} of what it makes.
        again: What is added when it is run again after an interruption; None where it cannot go on.
        kept: What the base needs of another command's output: (command, name in the base).
        keeps: Patterns of what is equal however often it was interrupted.
    """

    command: str
    words: tuple[str, ...]
    outputs: tuple[str, ...]
    again: tuple[str, ...] | None = None
    keeps: tuple[str, ...] = ()
    kept: str = ""

    def __post_init__(self) -> None:
        """Where it can go on, there is something by which to see that it went on rightly."""
        if self.again is not None and not self.keeps:
            raise ValueError(f"{self.command} can go on, and nothing of it is compared")

    def line(self, base: Path, out: str = "out") -> tuple[str, ...]:
        """The command line."""
        return tuple(word.format(base=base, out=out) for word in self.words)


WRITERS = (
    Writer(
        "encode",
        ("encode", "{base}/study", "{base}/volumes", "{base}/pictures", "-o", "{out}/l", *FAST),
        ("l/**/*.latent",),
        ("--resume",),
        ("l/**/*.latent",),
        kept="latents",
    ),
    Writer(
        "decode",
        ("decode", "{base}/latents/l", "-o", "{out}/d", "-q"),
        ("d/**/*.nii.gz", "d/**/*.png"),
        ("--resume",),
        ("d/**/*.nii.gz", "d/**/*.png"),
    ),
    Writer(
        "decode to DICOM",
        ("decode", "{base}/latents/l/study.latent", "-o", "{out}/d.dcm", "-q"),
        ("d.dcm/*",),
    ),
    Writer(
        "reconstruct",
        (
            "reconstruct",
            "{base}/study",
            "-o",
            "{out}/r.nii.gz",
            "--residual",
            "{out}/e.nii.gz",
            "--panel",
            "{out}/p.png",
            *FAST,
        ),
        ("*.nii.gz", "p.png"),
        kept="reconstruction",
    ),
    Writer(
        "compare",
        ("compare", "{base}/study", "{base}/reconstruction/r.nii.gz", "-o", "{out}/p.png"),
        ("p.png",),
    ),
    Writer("card", ("card", CODEC, "-o", "{out}/card.md"), ("card.md",)),
    Writer(
        "train",
        (
            "train",
            "{base}/recipe.toml",
            "--data",
            COHORT,
            "-o",
            "{out}/run",
            "--cache",
            "{out}/cache",
            "-q",
        ),
        ("run/checkpoints/*",),
        (),
        ("run/checkpoints/*/*.safetensors",),
        kept="trained",
    ),
    Writer(
        "export",
        ("export", "{base}/trained/run", "-o", "{out}/codec", "-q"),
        ("codec/*",),
        kept="exported",
    ),
    Writer(
        "augment",
        (
            "augment",
            "{base}/labelled",
            "-o",
            "{out}/Dataset501_Views",
            "--folds",
            "2",
            "--unit",
            "HU",
            *FAST,
        ),
        ("Dataset501_Views/*.json", "Dataset501_Views/*/*.nii.gz"),
        ("--resume",),
        ("Dataset501_Views/*/*.nii.gz",),
    ),
    Writer(
        "evaluate reconstruction",
        (
            "evaluate",
            "reconstruction",
            COHORT,
            "-c",
            CODEC,
            "bicubic-4x-2d",
            "-o",
            "{out}/r",
            "-q",
            "--metric",
            "psnr",
            "--worst",
            "0",
        ),
        ("r/report.json", "r/index.html", "r/report.md", "r/*.csv"),
        ("--resume",),
        ("r/cases.csv",),
        kept="report",
    ),
    Writer(
        "evaluate faithfulness",
        (
            "evaluate",
            "faithfulness",
            "{base}/volumes",
            "-c",
            "bicubic-4x-2d",
            "-o",
            "{out}/f",
            "-q",
            "--worst",
            "0",
        ),
        ("f/report.json", "f/index.html", "f/*.csv"),
        ("--resume",),
        ("f/cases.csv",),
    ),
    Writer(
        "evaluate distribution",
        (
            "evaluate",
            "distribution",
            COHORT,
            "-c",
            "bicubic-4x-2d",
            "--metric",
            "fid",
            "--repeats",
            "2",
            "--features",
            "codec:linear-4x3-2d",
            "-o",
            "{out}/d",
            "-q",
        ),
        ("d/report.json", "d/index.html"),
        ("--resume",),
        ("d/report.json",),
    ),
    Writer(
        "evaluate probe",
        (
            "evaluate",
            "probe",
            COHORT,
            "-c",
            "bicubic-4x-2d",
            "--label",
            "class",
            "--probe",
            "pooled-2d",
            "--epochs",
            "4",
            "--seeds",
            "1",
            "--cache",
            "{out}/cache",
            "-o",
            "{out}/p",
            "-q",
        ),
        ("p/report.json", "p/index.html"),
        ("--resume",),
        ("p/report.json", "p/cases.csv"),
    ),
    Writer(
        "evaluate segmentation",
        (
            "evaluate",
            "segmentation",
            "{base}/labelled",
            "-o",
            "{out}/s",
            "--tolerance",
            "1",
            "-c",
            "bicubic-4x-2d",
            "--view",
            "reconstructed",
            "--steps",
            "2",
            "--seeds",
            "1",
            "--folds",
            "2",
            "--unit",
            "HU",
            "-q",
        ),
        ("s/report.json", "s/index.html"),
    ),
    Writer(
        "evaluate efficiency",
        (
            "evaluate",
            "efficiency",
            COHORT,
            "-c",
            CODEC,
            "--only",
            "storage",
            "--dtype",
            "int8",
            "--standard",
            "jpeg2000",
            "-o",
            "{out}/e",
            "-q",
        ),
        ("e/report.json", "e/index.html"),
    ),
    Writer(
        "evaluate compare",
        (
            "evaluate",
            "compare",
            "{base}/report/r",
            "{base}/report/r",
            "--first",
            CODEC,
            "--second",
            "bicubic-4x-2d",
            "-o",
            "{out}/c",
            "-q",
        ),
        ("c/report.json", "c/index.html"),
    ),
    Writer("evaluate protocols", ("evaluate", "protocols", "medvae-table-1-2d"), ()),
    Writer(
        "bulk encode",
        (
            "bulk",
            "encode",
            "{base}/archive",
            "-o",
            "{out}/store",
            "-c",
            CODEC,
            "--shard-series",
            "3",
            "-q",
        ),
        ("store",),
        (),
        ("store",),
        kept="stored",
    ),
    Writer(
        "bulk decode",
        ("bulk", "decode", "{base}/stored/store", "-o", "{out}/b", "-q"),
        ("b/*",),
        ("--resume",),
        ("b/*",),
    ),
    Writer(
        "bulk status",
        ("bulk", "status", "{base}/stored/store", "-o", "{out}/table.csv"),
        ("table.csv",),
    ),
    Writer("bulk verify", ("bulk", "verify", "{base}/stored/store"), ()),
    Writer("verify", ("verify", CODEC, "{base}/volumes/v0.nii.gz", "--side", "16"), ()),
    Writer("demo", ("demo", "-o", "{out}/demo", "-q"), ("demo/*",)),
    Writer("inspect", ("inspect", "{base}/study"), ()),
    Writer("codecs", ("codecs", CODEC), ()),
    Writer("doctor", ("doctor",), ()),
)
BY_NAME = {writer.command: writer for writer in WRITERS}
