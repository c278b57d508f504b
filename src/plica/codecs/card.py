"""CodecCard: the facts of a codec, in fields; its name is for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, Literal

from plica.latent import CodecIdentity

MOST = 2**16  # of factor and channels: no codec comes near it

NORMS = {
    "group": "groups of channels over the whole map: no tile or frame stands alone",
    "frame": "groups of channels over one frame: frames stand alone, tiles of one do not",
    "position": "the channels of one place: anything can be cut anywhere",
    "batch": "numbers fixed in training: anything can be cut anywhere",
}
"""What a network's layers may normalise over, and what follows for running it in pieces."""
OF_WEIGHTS = ("training", "half_precision", "lesions_kept")
"""Extras that tell how weights came to be and what was measured of them: most of a card's bytes."""
LOADED_WITH = "loaded_with"
"""The extra that tells the codec's own settings, on the card of one loaded with some."""
LATENTS = frozenset({"raw", "projected", "bitstream"})
Posterior = Literal["none", "gaussian", "codebook"]


@dataclass(frozen=True)
class WeightsSource:
    """Where a codec's weights come from.

    Args:
        kind: "packaged" (inside plica), "package" (inside the package that brings the codec),
            "hub" (a model hub), "file" (only from the user), "none" (a codec without weights), or
            "unstated", where a card does not say.
        repo: Hub repository.
        revision: Hub revision the loading code was written for; "" where none is known.
        filename: File inside the repository or the package.
        sha256: Of that file, where known; "" otherwise: then the file is not checked against it,
            and the fingerprint of what was loaded goes into every latent.
        bytes: Size of the file, where known; 0 otherwise.
    """

    kind: Literal["packaged", "package", "hub", "file", "none", "unstated"] = "unstated"
    repo: str = ""
    revision: str = ""
    filename: str = ""
    sha256: str = ""
    bytes: int = 0


@dataclass(frozen=True)
class CodecCard:
    """What a program may know of a codec without loading it.

    Args:
        name: For people: family-<factor per axis>x<code channels>-<dims>d.
        family: Codecs of one kind share it.
        summary: One sentence.
        dims: Axes the codec makes coarser: 2 or 3; 0 for codecs that keep every voxel in place.
        factor: How much coarser per axis.
        channels: Code channels.
        in_channels: Image channels the network takes; grey is replicated where it takes 3.
        expects: What the codec's preparation makes of each kind of image, for people.
        licence: Of the weights (or of the method, where there are none).
        source: Whose codec it is: paper and code.
        weights: Where the weights come from.
        receptive_field: Voxels per axis of the image that one code sees through convolutions; 0
            where attention or normalisation lets it see the whole map; None where it is not stated.
        tileable: True only if a tile with a finite halo gives the very same result.
        native_window: Side of the windows its authors run it in; 0 where they run it whole.
        period: For codecs of sequences of slices, how many slices have one code slice; 0 where the
            third axis is as the others (3d), or each slice stands alone (2d).
        causal: Whether no code knows of slices behind its own: the first slice has a code of its
            own, and every `period` slices after it one, so that 1 + period · n slices are folded.
        norms: What its layers normalise over, as `NORMS` explains; empty where nothing is.
        value_range: What the network takes for the darkest and the lightest value.
        posterior: What kind of latent distribution.
        latents: The kinds `encode` offers; the first is the default.
        training_data: What the weights were fitted on.
        extras: Further facts.
    """

    name: str
    family: str
    summary: str
    dims: int
    factor: int
    channels: int
    in_channels: int
    expects: str
    licence: str
    source: str
    weights: WeightsSource = field(default_factory=WeightsSource)
    receptive_field: int | None = None
    tileable: bool = False
    native_window: int = 0
    period: int = 0
    causal: bool = False
    norms: tuple[str, ...] = ()
    value_range: tuple[float, float] = (-1.0, 1.0)
    posterior: Posterior = "none"
    latents: tuple[str, ...] = ("raw",)
    training_data: str = ""
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def factors(self) -> tuple[int, int, int]:
        """How much coarser along i, j and k, as slices lie before the network."""
        along = self.period or (self.factor if self.dims == 3 else 1)
        return (self.factor, self.factor, along)

    @property
    def total_factor(self) -> int:
        """Voxels per code cell."""
        return int(self.factor**2 * self.period if self.period else self.factor**self.dims)

    @property
    def voxels_per_code(self) -> float:
        """Voxels for each number of the latent: what codecs are compared at."""
        return self.total_factor / self.channels if self.channels else 1.0

    @property
    def loaded_with(self) -> Mapping[str, Any]:
        """The codec's own settings it was loaded with; none where it was loaded as it comes."""
        said = self.extras.get(LOADED_WITH)
        return said if isinstance(said, Mapping) else {}

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record; `from_json` gives an equal one."""
        record = asdict(self)
        record |= {name: list(record[name]) for name in ("latents", "norms", "value_range")}
        record["extras"] = dict(self.extras)
        record["total_factor"] = self.total_factor
        return record

    def identify(self, fingerprint: str) -> CodecIdentity:
        """Which codec it is, as latents say it: with the card, but for `OF_WEIGHTS`, and settings.

        Args:
            fingerprint: Of the weights, or of the settings: it tells whose card has the rest.

        Examples:
            >>> codec = plica.load("bicubic-4x-2d")
            >>> codec.card.identify(codec.fingerprint).name
            'bicubic-4x-2d'
        """
        record = self.to_json()
        apart = (*OF_WEIGHTS, LOADED_WITH)
        record["extras"] = {k: v for k, v in self.extras.items() if k not in apart}
        return CodecIdentity(self.name, fingerprint, record, self.loaded_with)

    @classmethod
    def from_json(cls, record: Any) -> CodecCard:
        """Read back what `to_json` made; a stranger's record is checked fact by fact.

        Raises:
            ValueError: A fact is missing, unknown, of the wrong kind, or no codec's.
            TypeError: The record is no mapping.
        """
        fields = {key: value for key, value in dict(record).items() if key != "total_factor"}
        if unknown := sorted(set(fields) - set(cls.__dataclass_fields__)):
            raise ValueError(f"a card has no {', '.join(unknown)}")
        # JSON's strict mode takes a list for a tuple and a table for a dataclass, and no more.
        card: CodecCard = _reader().validate_json(json.dumps(fields), strict=True)
        limits = (
            ("dims", card.dims, (0, 2, 3)),
            ("factor", card.factor, range(1, MOST + 1)),
            ("channels", card.channels, range(MOST + 1)),
            ("in_channels", card.in_channels, range(MOST + 1)),
            ("receptive_field", card.receptive_field or 0, range(2**31)),
            ("native_window", card.native_window, range(2**31)),
            ("period", card.period, range(MOST + 1)),
        )
        for name, value, possible in limits:
            if value not in possible:
                raise ValueError(f"no codec's {name} is {value}")
        if card.norms and not set(card.norms) <= set(NORMS):
            raise ValueError(f"a network normalises over {', '.join(NORMS)}")
        if not card.name or not card.latents or not set(card.latents) <= LATENTS:
            raise ValueError(
                f"a card has a name, and latents that are {' or '.join(sorted(LATENTS))}"
            )
        return card


@cache
def _reader() -> Any:
    import pydantic  # cards are listed without it

    return pydantic.TypeAdapter(CodecCard)
