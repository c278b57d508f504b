"""Published tables of probes: their recipe, their tasks' folders, and ours beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from plica.cli.posing import Asked
from plica.errors import InputError, SettingsError
from plica.evaluation.protocol import Group, Protocol, read_protocol
from plica.evaluation.report import Report, Section, Table
from plica.evaluation.text import NOTHING, slug
from plica.training.views import FULL


class Place(NamedTuple):
    """A column of the table: its group, and the folder its data set lies in."""

    group: Group
    root: Path

    @property
    def folder(self) -> str:
        """Name of its report's folder, inside the table's."""
        return slug(self.group.name)


def read_recipe(name: str) -> Protocol:
    """A protocol that fits probes.

    Raises:
        UnknownName: There is no such protocol.
        SettingsError: It reconstructs images.
    """
    protocol = read_protocol(name)
    if protocol.probe is None:
        raise SettingsError(
            f"the protocol {protocol.name} fits no probes: run it with `plica evaluate "
            f"reconstruction --protocol {name}`"
        )
    return protocol


def follow_recipe(asked: Asked, protocol: Protocol, given: Mapping[str, Any]) -> Asked:
    """What was asked, with the recipe's probe and fitting; what was given by hand stays.

    Args:
        given: Fields of `Asked` that options named; None where they did not.
    """
    probe = protocol.probe
    if probe is None:
        return asked
    recipe: dict[str, Any] = {
        "probe": probe.network, "mode": probe.training, "epochs": probe.epochs,
        "batch": probe.batch, "rate": probe.rate, "seeds": probe.seeds,
    }  # fmt: skip
    wanted = {key: value for key, value in recipe.items() if given.get(key) is None}
    full = probe.batch_full if given.get("batch") is None else 0
    return replace(
        asked, **wanted, batch_full=full, protocol=f"{protocol.name} v{protocol.version}"
    )


def say_departures(protocol: Protocol, given: Mapping[str, Any]) -> tuple[str, ...]:
    """What of the recipe was changed by hand."""
    changed = [f"{key} {value}" for key, value in given.items() if value is not None]
    if not changed:
        return ()
    return (f"Not as in {protocol.name}: {', '.join(changed)}.",)


def find_places(protocol: Protocol, root: Path, groups: Sequence[str]) -> tuple[Place, ...]:
    """The table's columns, each with its data set's folder: ROOT/DATASET, or ROOT if it is one.

    Args:
        groups: Columns by name; () takes all.

    Raises:
        UnknownName: There is no such group.
        InputError: Folders are missing: names each, where it is to be had and how it lies.
    """
    chosen = [protocol.group(name) for name in groups] or list(protocol.groups)
    names = list(dict.fromkeys(name for group in chosen for name in group.data))
    roots = {name: root / name for name in names}
    if len(names) == 1 and not roots[names[0]].is_dir():
        roots[names[0]] = root
    missing = [name for name, place in roots.items() if not place.is_dir()]
    if missing:
        said = "; ".join(
            f"{name} ({data.title}, {data.homepage}, {data.terms}; laid out as {data.layout})"
            for name in missing
            for data in (protocol.dataset(name),)
        )
        raise InputError(
            f"{protocol.name} needs a folder of each data set below {root}, and there is none "
            f"called {said}. --group judges some columns alone: "
            f"{', '.join(group.name for group in protocol.groups)}"
        )
    return tuple(Place(group, roots[group.data[0]]) for group in chosen)


def list_published(protocol: Protocol, group: str) -> dict[str, float]:
    """AUROC of a column in percent, by plica's name of the row, else by the paper's."""
    return {
        FULL if row.factor == 1 else row.codec or row.label: row.values[group]["auroc"][0]
        for row in protocol.published
        if "auroc" in row.values.get(group, {})
    }


def gather_table(
    protocol: Protocol, reports: Mapping[str, Report], settings: Mapping[str, str]
) -> Report:
    """The whole table: ours, and in brackets the paper's.

    Args:
        reports: Of each column, by its group.
    """
    ours = {
        group: {one["codec"]: one for one in report.record["codecs"]}
        for group, report in reports.items()
    }
    theirs = {group: list_published(protocol, group) for group in reports}
    names = dict.fromkeys(
        name for column in (*ours.values(), *theirs.values()) for name in column
    )  # fmt: skip
    rows = tuple(
        (name, *(_say(ours[group].get(name), theirs[group].get(name)) for group in reports))
        for name in names
    )
    table = Table(
        f"AUROC ↑ (%), and the paper's in brackets ({protocol.name} v{protocol.version})",
        ("shown", *reports), rows,
        "Here: mean over the seeds ± their deviation. Rows without a number of ours were not run.",
    )  # fmt: skip
    return Report(
        title=f"{protocol.title[:-1] if protocol.title.endswith('.') else protocol.title}",
        summary=(
            f"Table {protocol.table} of {protocol.paper}, run here. The paper's values are of its "
            "own images and its own pretrained probe; a report of each column lies in its folder.",
            *protocol.notes,
        ),
        sections=(Section("Beside the paper", tables=(table,)),),
        record={
            "kind": "probe table",
            "protocol": {"name": protocol.name, "version": protocol.version},
            "groups": {
                group: {"codecs": list(ours[group].values()), "published": theirs[group]}
                for group in reports
            },
        },
        setting=settings,
    )


def _say(ours: Mapping[str, Any] | None, theirs: float | None) -> str:
    here = NOTHING
    if ours is not None:
        spread = ours["deviation"]
        here = f"{100 * ours['auroc']['value']:.1f}"
        here += "" if spread is None else f" ± {100 * spread:.1f}"
    return here if theirs is None else f"{here} ({theirs:.1f})"
