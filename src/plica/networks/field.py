"""How far a network sees: arithmetic only, so that cards can say it without torch."""

from __future__ import annotations


def receptive_field(*, levels: int, blocks: int = 2) -> int:
    """Voxels per axis of the image that one code of a KL or VQ encoder sees by its convolutions.

    A convolution of 3 widens the field by 2 steps of its own grid, and that step is 2 ** level
    voxels. Attention and normalisation, which see the whole map, are not counted.

    Args:
        levels: Resolutions of the encoder; its factor is 2 ** (levels − 1).
        blocks: Residual blocks per level, of two convolutions each.

    Examples:
        >>> receptive_field(levels=3)
        105
    """
    coarsest = 2 ** (levels - 1)
    first = 2
    in_levels = sum(4 * blocks * 2**level for level in range(levels))
    downsampling = sum(2 * 2**level for level in range(levels - 1))
    middle_and_last = (2 * 4 + 2) * coarsest
    return 1 + first + in_levels + downsampling + middle_and_last
