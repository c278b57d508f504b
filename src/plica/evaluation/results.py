"""Results: what each codec did to each case, joined case by case or not at all."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plica.cohort import Key
from plica.errors import InputError
from plica.evaluation.kinds import find_commonest, number_of
from plica.metrics.metric import Value

Where = tuple[Key, str, int]


@dataclass(frozen=True)
class Result:
    """What one codec did to one case in one draw.

    Args:
        case: The case's key; its first part is the patient.
        codec: The codec's name.
        group: The kind of image, within which results are summarised; "" where there is one kind.
        values: What the metrics found.
        facts: What else was counted, by name with its unit: "source_bytes", "latent_bytes",
            "encode_seconds", "shape", …; JSON-ready.
        draw: Which random draw of the protocol, from 0.
        error: Why there is nothing else, where the codec or a metric refused the case.
    """

    case: Key
    codec: str
    group: str = ""
    values: tuple[Value, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    draw: int = 0
    error: str = ""

    @property
    def patient(self) -> str:
        """Whose image it is."""
        return self.case[0]

    @property
    def where(self) -> Where:
        """One case, codec and draw: there is one result for it and no other."""
        return self.case, self.codec, self.draw

    def value(self, metric: str) -> Value | None:
        """What a metric found; None where it was not asked for."""
        return next((value for value in self.values if value.metric == metric), None)

    def to_json(self) -> dict[str, Any]:
        """A record that `from_json` reads back."""
        return {
            "case": list(self.case),
            "codec": self.codec,
            "group": self.group,
            "draw": self.draw,
            "values": [value.to_json() for value in self.values],
            "facts": dict(self.facts),
            "error": self.error,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Result:
        """The result a record was made of.

        Raises:
            InputError: It is no result's record.
        """
        try:
            patient, study, series = record["case"]
            return cls(
                case=(str(patient), str(study), str(series)),
                codec=str(record["codec"]),
                group=str(record["group"]),
                values=tuple(Value.from_json(value) for value in record["values"]),
                facts=dict(record["facts"]),
                draw=int(record["draw"]),
                error=str(record["error"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is no record of a result: {error!r}") from error


@dataclass(frozen=True, eq=False)
class Pairs:
    """One metric under two codecs, on the same cases in the same order.

    Args:
        metric: Its name, unit and direction stand in `like`.
        like: A value of it.
        first: One number for each case under the first codec.
        second: Under the second.
        cases: The cases' keys.
    """

    metric: str
    like: Value
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    cases: tuple[Key, ...]

    @property
    def patients(self) -> tuple[str, ...]:
        """Whose image each is: images of one patient are not independent of each other."""
        return tuple(case[0] for case in self.cases)


@dataclass(frozen=True)
class Results:
    """Results, one for each case, codec and draw.

    Raises:
        InputError: Two results are of one case, codec and draw.
    """

    all: tuple[Result, ...]

    def __post_init__(self) -> None:
        seen: set[Where] = set()
        for result in self.all:
            if result.where in seen:
                raise InputError(
                    f"two results are of case {result.case} under {result.codec}, draw "
                    f"{result.draw}: one of them belongs to another run"
                )
            seen.add(result.where)

    def __len__(self) -> int:
        return len(self.all)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.all)

    @property
    def codecs(self) -> tuple[str, ...]:
        """In order of first appearance."""
        return tuple(dict.fromkeys(result.codec for result in self.all))

    @property
    def groups(self) -> tuple[str, ...]:
        """In order of first appearance."""
        return tuple(dict.fromkeys(result.group for result in self.all))

    @property
    def metrics(self) -> tuple[str, ...]:
        """In order of first appearance."""
        return tuple(dict.fromkeys(value.metric for r in self.all for value in r.values))

    @property
    def failures(self) -> Results:
        """Those that say why there is nothing."""
        return Results(tuple(result for result in self.all if result.error))

    def of(self, *, codec: str | None = None, group: str | None = None) -> Results:
        """Those of a codec, of a group, or of both; failures are left out."""
        return Results(
            tuple(
                result
                for result in self.all
                if not result.error
                and codec in (None, result.codec)
                and group in (None, result.group)
            )
        )

    def column(self, metric: str, *, like: Value | None = None) -> NDArray[np.float64]:
        """A metric's numbers in order, NaN where it has none, or none of the kind of `like`."""
        found = (number_of(result.value(metric), like) for result in self.all)
        return np.array(list(found), dtype=np.float64)

    def find_commonest(self, metric: str) -> Value | None:
        """A value of the kind that most of a metric's finite numbers are of; None without any.

        Numbers of other kinds are other quantities: see `kinds`.
        """
        found = (result.value(metric) for result in self.all)
        return find_commonest(value for value in found if value is not None)

    def describe(self, metric: str) -> Value:
        """Some value of a metric, for its unit and direction.

        Raises:
            InputError: No result has it.
        """
        for result in self.all:
            value = result.value(metric)
            if value is not None:
                return value
        raise InputError(
            f"no result has the metric {metric}; there are: {', '.join(self.metrics) or 'none'}"
        )

    def pair(
        self,
        metric: str,
        first: str,
        second: str,
        *,
        group: str | None = None,
        like: Value | None = None,
    ) -> Pairs:
        """A metric under two codecs, joined by case and draw.

        Args:
            metric: Its name.
            first: A codec.
            second: Another.
            group: Of these images alone.
            like: Numbers of another kind than this value's are NaN.

        Raises:
            InputError: A codec has no results, or they are not of the same cases.
        """
        sides = [self._by_case(metric, codec, group, like) for codec in (first, second)]
        alone = sides[0].keys() ^ sides[1].keys()
        if alone:
            raise InputError(
                f"{first} and {second} were not judged on the same cases: {len(alone)} have only "
                f"one of the two, such as {min(alone)[0]}; judge both on one cohort, or leave out "
                "what failed under either"
            )
        order = sorted(sides[0])
        return Pairs(
            metric=metric,
            like=like or self.describe(metric),
            first=np.array([sides[0][key] for key in order], dtype=np.float64),
            second=np.array([sides[1][key] for key in order], dtype=np.float64),
            cases=tuple(case for case, _ in order),
        )

    def shared(self, codecs: Iterable[str], *, without: Collection[Key] = ()) -> Results:
        """The results of those cases and draws that none of the codecs failed on.

        Args:
            without: Cases that one of the codecs was never to be tried on.
        """
        wanted = tuple(codecs)
        failed = {(r.case, r.draw) for r in self.all if r.error and r.codec in wanted}
        return Results(
            tuple(r for r in self.all if (r.case, r.draw) not in failed and r.case not in without)
        )

    def _by_case(
        self, metric: str, codec: str, group: str | None, like: Value | None
    ) -> dict[tuple[Key, int], float]:
        found = self.of(codec=codec, group=group)
        if not found.all:
            raise InputError(
                f"there are no results of {codec}"
                + (f" in {group}" if group else "")
                + f"; there are: {', '.join(self.codecs) or 'none'}"
            )
        values = ((result, result.value(metric)) for result in found)
        return {(r.case, r.draw): number_of(v, like) for r, v in values if v is not None}
