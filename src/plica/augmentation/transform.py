"""Transform: reconstructions as an augmentation while training, in MONAI's and TorchIO's pipelines.

    view(s) = x + s (x̃ − x),   s drawn evenly from a range, with probability p

Reconstructions come from beside the image in the same item, made beforehand (nothing to compute),
or from a codec on the way (seconds for a volume). Labels are not touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plica.augmentation.remake import Remake
from plica.errors import MissingExtra


def for_monai(keys: str | Sequence[str], **remake: Any) -> Any:
    """A transform of MONAI's dictionary pipelines.

    Args:
        keys: The images' keys.
        remake: As `Remake` takes them, `beside` from key to key.

    Raises:
        SettingsError: As `Remake`.
        MissingExtra: MONAI is not installed.

    Examples:
        >>> mix = for_monai("image", beside={"image": "remade"}, strength=(0.5, 1.0), prob=0.3)
        >>> sorted(mix({"image": torch.zeros(1, 8, 8), "remade": torch.ones(1, 8, 8)}))
        ['image', 'remade']
    """
    asked = Remake(**remake)
    try:
        from plica.augmentation.monai_transform import RandReconstructd
    except ImportError as error:
        raise MissingExtra("the MONAI transform", "monai", "cad") from error
    return RandReconstructd(keys, asked)


def for_torchio(seed: int | None = None, **remake: Any) -> Any:
    """A transform of TorchIO's pipelines, on all intensity images but the reconstructions.

    Args:
        seed: Of the draws; None takes torch's own generator, which data loaders seed anew in each
            of their workers.
        remake: As `Remake` takes them, `beside` from image name to image name.

    Raises:
        SettingsError: As `Remake`.
        MissingExtra: TorchIO is not installed.

    Examples:
        >>> import torchio
        >>> mix = for_torchio(reconstruct=reconstruct, prob=0.3)
        >>> pipeline = torchio.Compose([mix, torchio.RandomFlip()])
    """
    asked = Remake(**remake)
    try:
        from plica.augmentation.torchio_transform import RandomReconstruction
    except ImportError as error:
        raise MissingExtra("the TorchIO transform", "torchio", "interop") from error
    return RandomReconstruction(asked, seed=seed)
