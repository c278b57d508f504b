"""Files damaged by chance that can be repeated: cut off, or with single bits turned over."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

HEAD = 512  # bytes at a file's beginning, where headers are: half of all flips are drawn there


@dataclass(frozen=True)
class Damage:
    """One damage.

    Args:
        kind: "cut" or "flip".
        at: How many bytes are left, or which bit is turned over.
    """

    kind: str
    at: int

    def __str__(self) -> str:
        unit = "byte" if self.kind == "cut" else "bit"
        return f"{self.kind} at {unit} {self.at}"

    def apply(self, whole: bytes) -> bytes:
        """The bytes after it."""
        if self.kind == "cut":
            return whole[: self.at]
        byte, bit = divmod(self.at, 8)
        return whole[:byte] + bytes([whole[byte] ^ (1 << bit)]) + whole[byte + 1 :]


def draw(size: int, *, cuts: int, flips: int, seed: str) -> Iterator[Damage]:
    """Damages of a file of `size` bytes, the same for the same seed.

    Among the cuts are the empty file, the file without its last byte, and one within the header.
    """
    if size < 2:
        return
    chance = random.Random(seed)
    kept = {0, size - 1, chance.randrange(1, min(HEAD, size))}
    kept |= {chance.randrange(size) for _ in range(cuts - len(kept))}
    yield from (Damage("cut", at) for at in sorted(kept)[:cuts])
    bits = {
        chance.randrange(8 * (min(HEAD, size) if number % 2 else size)) for number in range(flips)
    }
    yield from (Damage("flip", at) for at in sorted(bits))
