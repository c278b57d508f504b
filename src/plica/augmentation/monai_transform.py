"""MONAI transform: `RandReconstructd`; `transform.for_monai` makes one."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import convert_to_dst_type

from plica.augmentation.remake import Remake


class RandReconstructd(RandomizableTransform, MapTransform):
    """Mixes reconstructions into images of an item; one draw for all its keys.

    Randomness is MONAI's: `set_random_state(seed=…)`, or that of the `Compose` it stands in.

    Args:
        keys: The images' keys.
        remake: Where reconstructions come from and how strongly they are mixed in.
    """

    def __init__(self, keys: str | Sequence[str], remake: Remake) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, remake.prob)
        self.remake = remake
        self._strength = 0.0

    def randomize(self, data: Any = None) -> None:
        """Draw whether and how strongly."""
        super().randomize(None)
        self._strength = float(self.R.uniform(*self.remake.strength))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with its images changed; labels and affines as they were."""
        item = dict(data)
        self.randomize()
        if not self._do_transform:
            return item
        for key in self.key_iterator(item):
            before = item[key]
            affine = getattr(before, "affine", None)
            shown = self.remake.show(str(key), item, affine, self._strength)
            item[key] = convert_to_dst_type(shown, before, dtype=before.dtype)[0]
        return item
