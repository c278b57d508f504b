"""Remaking: what turns an image into its reconstruction, as the options of a command say."""

from __future__ import annotations

from typing import Any

from plica.augmentation.views import Reconstruct
from plica.cli.choosing import AUTO, Chooser
from plica.codecs.policy import Policy
from plica.errors import SettingsError
from plica.image import Image


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
    asked = Policy.from_options(windows, shifts)
    chooser.load_first()
    # Here, since they need torch: `plica --help` should not wait for it.
    from plica.codecs.framecodec import FrameCodec
    from plica.codecs.networkcodec import NetworkCodec
    from plica.codecs.reconstruction import Reconstructor

    codec = chooser.named()
    settings = {name: value for name, value in chooser.options.items() if value is not None}
    maker = {"codec": codec.card.name, "fingerprint": codec.fingerprint, "settings": settings}
    if not (windows or shifts > 1 or isinstance(codec, NetworkCodec | FrameCodec)):
        return lambda image: codec.decode(codec.encode(image)), maker
    reconstructor = Reconstructor(codec, asked)

    def reconstruct(image: Image) -> Image:
        return reconstructor.run(image).image

    policy = {"windows": list(asked.windows), "shifts": shifts, "outside": asked.outside}
    return reconstruct, {**maker, "policy": policy}
