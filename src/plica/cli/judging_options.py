"""Options that the commands which judge codecs share: whom, on which images, into which report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from plica.augmentation.views import NAMES as VIEWS
from plica.cli import completing
from plica.cli.options import CODEC, OUTPUT
from plica.errors import SettingsError
from plica.evaluation.protocol import Crop

JUDGING = "Judging"
WHOLE = "whole"
PROBES = ("hrnet-w64", "small-2d", "pooled-2d", "seresnet-152", "small-3d", "pooled-3d")
SPLITS = ("train", "validation", "dev-test", "test")

Cohort = Annotated[
    Path,
    typer.Argument(help="Images: a folder, a table or a BIDS tree.", show_default=False),
]


def _contenders(end: str = "") -> Any:
    return typer.Option(
        "--codec",
        "-c",
        help="Codecs: names, folders, or patterns such as 'compact-*'" + end,
        show_default=False,
        rich_help_panel=CODEC,
        autocompletion=completing.codecs,
    )


Codecs = Annotated[list[str], _contenders(".")]
SomeCodecs = Annotated[list[str] | None, _contenders("; none if left out.")]
WeightsOf = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        help="Weights of a codec: a file or folder, or hub:repo@revision; may be repeated.",
        show_default=False,
        rich_help_panel=CODEC,
        metavar="CODEC=FILE",
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        help="Only cases with these labels, such as 'modality=CT|MR'; may be repeated.",
        show_default=False,
        metavar="LABEL=VALUE|…",
        rich_help_panel=JUDGING,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        help="At most so many images of each group, where there are groups; 0 takes all.",
        show_default=False,
        min=0,
        rich_help_panel=JUDGING,
    ),
]
Groups = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        help="Only these of the protocol's groups; may be repeated.",
        show_default=False,
        rich_help_panel=JUDGING,
    ),
]
CropSides = Annotated[
    str,
    typer.Option(
        "--crop",
        help="Cut so many voxels from the middle: right/left, front/back, head/feet; or whole.",
        rich_help_panel=JUDGING,
        metavar="X,Y,Z",
        autocompletion=completing.one_of(WHOLE),
    ),
]
Margins = Annotated[
    list[str] | None,
    typer.Option(
        "--margin",
        help="How much worse than the baseline still counts as no worse, chosen before looking, "
        "such as psnr=0.5 or auroc=0.02; may be repeated.",
        show_default=False,
        rich_help_panel=JUDGING,
        metavar="METRIC=AMOUNT",
    ),
]
Worst = Annotated[
    int, typer.Option(help="Worst cases drawn of each codec.", min=0, rich_help_panel=JUDGING)
]
Strengths = Annotated[
    list[float] | None,
    typer.Option(
        "--strength",
        help="s of the view residual, image + s × (reconstruction − image); may be repeated.",
        show_default=False,
        rich_help_panel="Views",
    ),
]
Report = Annotated[
    Path,
    typer.Option(
        "--out", "-o", help="Folder of the report.", show_default=False, rich_help_panel=OUTPUT
    ),
]
SomeReport = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="Folder of the report; none is written if left out.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]


def split(otherwise: str) -> Any:
    """--split of a command that chooses one itself where it is left out."""
    return typer.Option(
        help=f"Split of the cohort that is judged; {otherwise} if left out.",
        show_default=False,
        rich_help_panel=JUDGING,
        autocompletion=completing.one_of(*SPLITS),
    )


def views(otherwise: str) -> Any:
    """--view of a command that trains, or lets train, on views of images."""
    return typer.Option(
        "--view",
        help=f"What is trained on: {', '.join(VIEWS)}; may be repeated. {otherwise} if left out.",
        show_default=False,
        rich_help_panel="Views",
        autocompletion=completing.one_of(*VIEWS),
    )


# -- what they mean ------------------------------------------------------------------------------


def parse_crop(text: str) -> Crop | None:
    """The sides of a crop such as 256,256,64; None for the whole image.

    Raises:
        SettingsError: It is something else.
    """
    if text == WHOLE:
        return None
    try:
        x, y, z = (int(side) for side in text.split(","))
    except ValueError as error:
        raise SettingsError(
            f"--crop takes three whole numbers such as 256,256,64, or whole, but got '{text}'"
        ) from error
    if min(x, y, z) < 1:
        raise SettingsError(f"--crop takes sides of 1 voxel or more, but got '{text}'")
    return Crop((x, y, z))


def parse_margins(pairs: Iterable[str] | None, metrics: Sequence[str]) -> dict[str, float]:
    """["psnr=0.5"] → {"psnr": 0.5}.

    Raises:
        SettingsError: It is no pair, of no metric that is measured, or no amount above 0.
    """
    margins: dict[str, float] = {}
    for pair in pairs or ():
        metric, equals, amount = pair.partition("=")
        try:
            margins[metric] = float(amount)
        except ValueError as error:
            like = f"{metric if equals else metrics[0]}=0.02"
            raise SettingsError(
                f"--margin takes METRIC=AMOUNT such as {like}, but got '{pair}'"
            ) from error
        if metric not in metrics:
            raise SettingsError(
                f"--margin {pair}: {metric} is not measured; measured are {', '.join(metrics)}"
            )
        if not 0 < margins[metric] < math.inf:
            raise SettingsError(f"--margin {pair}: a margin is an amount above 0")
    return margins
