"""TorchIO transform: `RandomReconstruction`; `transform.for_torchio` makes one."""

from __future__ import annotations

from typing import Any

import torch
from torchio.transforms.intensity_transform import IntensityTransform

from plica.augmentation.remake import Remake


class RandomReconstruction(IntensityTransform):
    """Mixes reconstructions into the intensity images of a subject; one draw for all of them.

    Args:
        remake: Where reconstructions come from and how strongly they are mixed in.
        seed: Of the draws; None takes torch's own generator.
    """

    def __init__(self, remake: Remake, *, seed: int | None = None) -> None:
        super().__init__(p=1)  # the share is drawn below, from the generator of the seed
        self.remake = remake
        self.generator = None if seed is None else torch.Generator().manual_seed(seed)

    def apply_transform(self, subject: Any) -> Any:
        """The subject with its images changed; label maps and affines as they were."""
        chance, place = torch.rand(2, generator=self.generator).tolist()
        if chance >= self.remake.prob:
            return subject
        low, high = self.remake.strength
        beside = set((self.remake.beside or {}).values())
        named = self.get_images_dict(subject)
        for name, image in named.items():
            if name in beside:
                continue
            shown = self.remake.show(name, subject, image.affine, low + place * (high - low))
            image.set_data(shown)
        return subject
