"""Remaking: what turns an image into its reconstruction, as the options of a command say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from plica.augmentation.views import Reconstruct
from plica.cli import options as o
from plica.cli.choosing import AUTO, Chooser
from plica.errors import SettingsError
from plica.image import Image

Windows = Annotated[
    str | None,
    typer.Option(
        help="What of the values the codec is shown, a pass each, with commas: wide, soft, full, "
        "or low:high; the codec's own way if left out.",
        show_default=False,
        rich_help_panel=o.CODEC,
    ),
]
Shifts = Annotated[
    int,
    typer.Option(
        help="Passes that begin elsewhere in the codec's cells and are averaged.",
        min=1,
        rich_help_panel=o.CODEC,
    ),
]


def reconstruct_by(
    chooser: Chooser, windows: str | None = None, shifts: int = 1
) -> tuple[Reconstruct, dict[str, Any]]:
    """The reconstruction, and what is kept on record of it.

    Raises:
        SettingsError: No codec is named, or it cannot be shown windows.
    """
    if chooser.name == AUTO:
        raise SettingsError(
            "one codec makes all reconstructions: name it with --codec, such as taef2 or "
            "compact-4x1-3d"
        )
    chooser.load_first()
    # Here, since they need torch: `plica --help` should not wait for it.
    from plica.codecs.framecodec import FrameCodec
    from plica.codecs.networkcodec import NetworkCodec
    from plica.codecs.policy import Policy
    from plica.codecs.reconstruction import Reconstructor

    codec = chooser.named()
    settings = {name: value for name, value in chooser.options.items() if value is not None}
    maker = {"codec": codec.card.name, "fingerprint": codec.fingerprint, "settings": settings}
    asked: Sequence[str] = tuple(filter(None, (windows or "").split(",")))
    if not (asked or shifts > 1 or isinstance(codec, NetworkCodec | FrameCodec)):
        return lambda image: codec.decode(codec.encode(image)), maker
    reconstructor = Reconstructor(codec, Policy(windows=tuple(asked), shifts=shifts))

    def reconstruct(image: Image) -> Image:
        return reconstructor.run(image).image

    policy = {"windows": list(asked), "shifts": shifts, "outside": reconstructor.policy.outside}
    return reconstruct, {**maker, "policy": policy}
