"""Latent: codes, the codec that made them, and the way back to the patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plica.errors import InputError, LatentError
from plica.grid import Grid
from plica.image import Display, Provenance, Unit

MOST_SETTINGS, MOST_OF_SETTING = 64, 256
"""How many settings of a codec a latent tells, and how many letters of a name or a word."""
LatentKind = Literal["raw", "projected", "bitstream"]


@dataclass(frozen=True)
class Record:
    """What one preparation step did, and what it takes to undo it.

    Args:
        step: The step's name in the table of steps.
        undo: What `revert` needs: JSON-ready.
        loss: What cannot be undone, counted: {"clipped_fraction": 0.002}. JSON-ready, for people.
        arrays: Larger parts of the undo, such as the voxels a window cut off.
    """

    step: str
    undo: Mapping[str, Any] = field(default_factory=dict)
    loss: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Trail:
    """The preparation steps of one image, in the order they were done; reverted last to first."""

    records: tuple[Record, ...] = ()

    VERSION = 1

    def after(self, record: Record) -> Trail:
        """The trail with one more record at its end."""
        return Trail((*self.records, record))

    @property
    def losses(self) -> dict[str, dict[str, Any]]:
        """What each step could not keep, by its name; steps that lose nothing are left out.

        A step done again stands as "window 2".
        """
        losses: dict[str, dict[str, Any]] = {}
        for n, record in enumerate(self.records):
            times = sum(before.step == record.step for before in self.records[: n + 1])
            if record.loss:
                name = record.step if times == 1 else f"{record.step} {times}"
                losses[name] = dict(record.loss)
        return losses


@dataclass(frozen=True)
class CodecIdentity:
    """Which codec made a latent: enough to refuse another's.

    Args:
        name: The codec's name in the table, or of its card.
        fingerprint: SHA-256 over the weights ("sha256:…"), or over the settings of a codec
            without weights.
        card: The codec's card as a JSON-ready record.
        settings: The codec's own that it was loaded with, such as {"rate": 0.5}: truths, numbers
            and words, none where it was loaded as it comes.
    """

    name: str
    fingerprint: str
    card: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def say_settings(settings: Mapping[str, Any]) -> str:
    """Settings as they are given, for messages.

    Args:
        settings: Values by name.

    Examples:
        >>> say_settings({"rate": 0.5, "lossless": True})
        'rate=0.5, lossless=True'
        >>> say_settings({})
        'no settings of its own'
    """
    said = ", ".join(f"{name}={value}" for name, value in settings.items())
    return said or "no settings of its own"


@dataclass(frozen=True, eq=False, repr=False)
class Latent:
    """Codes (code channel, i, j, k) on their own, coarser grid.

    Args:
        codes: float32 codes; or, for storage codecs, uint8 bytes of shape (1, n, 1, 1).
        codec: Which codec made them.
        prepared: Grid of the prepared image the network saw; `factor` divides its shape.
        factor: How much coarser the codes are along i, j, k.
        source: Grid of the source image: what `decode` must end on.
        trail: The way from the source image to the prepared one, and back.
        unit: The source's unit.
        display: The source's display window.
        provenance: The source's.
        kind: "raw" (what the decoder takes), "projected" (what classifiers take) or "bitstream".
        stored: How the codes were last kept on disk: {"dtype": "int8", "rms_error": 0.004}.

    Raises:
        LatentError: Codes and grid do not fit together.
    """

    codes: NDArray[Any]
    codec: CodecIdentity
    prepared: Grid
    factor: tuple[int, int, int]
    source: Grid
    trail: Trail = field(default_factory=Trail)
    unit: Unit = Unit.RELATIVE
    display: Display = field(default_factory=Display)
    provenance: Provenance = field(default_factory=Provenance)
    kind: LatentKind = "raw"
    stored: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.codes.ndim != 4:
            raise LatentError(
                f"a latent's codes have four axes (code channel, i, j, k), "
                f"but the shape is {self.codes.shape}"
            )
        if self.kind == "bitstream":
            return
        try:
            self.grid  # noqa: B018 - asked for so that a factor that does not divide is refused here
        except InputError as error:
            raise LatentError(f"the latent's factor does not fit: {error}") from error
        if self.codes.shape[1:] != self.grid.shape:
            raise LatentError(
                f"codes of shape {self.codes.shape} do not fit an image of {self.prepared.shape} "
                f"voxels made coarser by {self.factor}; {self.grid.shape} was expected"
            )

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.codes.shape))
        return (
            f"Latent({shape} {self.codes.dtype}, {self.kind}, of {self.codec.name}, "
            f"{self.unit.value}, source={self.source!r})"
        )

    @property
    def grid(self) -> Grid:
        """Where the codes are: the prepared grid made coarser by the factor."""
        return self.prepared.coarser(self.factor)

    def with_codes(self, codes: NDArray[np.float32], **changes: Any) -> Latent:
        """The same latent holding other codes of the same shape."""
        return replace(self, codes=codes, **changes)
