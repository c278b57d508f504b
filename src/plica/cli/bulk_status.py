"""plica bulk status: what became of an archive's series."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated

import typer

from plica.bulk.engine import reading_only
from plica.bulk.forecast import format_rate
from plica.bulk.ledger import STATES, Ledger
from plica.bulk.lock import find_driver
from plica.bulk.marker import count_through
from plica.cli import options as o
from plica.cli.bulk_reasons import explain_reason
from plica.cli.console import format_bytes, print_json, print_note, print_table
from plica.cli.reading import refuse_missing
from plica.evaluation.text import say_count
from plica.formats.atomic import new_file
from plica.formats.store import Store
from plica.formats.store_checking import find_noted
from plica.formats.terms import BURNED_IN

SHOWN = 20
StorePath = Annotated[
    Path, typer.Argument(help="A store that `plica bulk encode` made.", show_default=False)
]


def status(
    store: StorePath,
    left_out: Annotated[
        bool, typer.Option("--left-out", help="List the files that are no images.")
    ] = False,
    burned_in: Annotated[
        bool,
        typer.Option(
            "--burned-in",
            help="List the series in the store whose files say that text is burnt into their "
            "pixels; every shard's header is read for it.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Write key, path and state of every series here, as CSV: to "
            "join labels with latents. Paths may name patients.",
            show_default=False,
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    overwrite: o.Overwrite = False,
    as_json: o.Json = False,
) -> None:
    """Count series by what became of them, and list those that failed with their reasons.

    Example: plica bulk status archive.store
    """
    refuse_missing(store, "store")
    with reading_only(store) as (opened, ledger):
        counts, totals = ledger.count(), ledger.totals()
        failures = [(key, path, explain_reason(why)) for key, path, why in ledger.failures()]
        others = {state: list(ledger.others(state)) for state in ("gone", "duplicate", "scattered")}
        skipped = list(ledger.left_out())
        changed, deleted = ledger.count_changed(), ledger.count_deleted()
        renewable = ledger.count_renewable()
        stale = list(ledger.changed())
        burnt = _list_burned_in(opened, ledger) if burned_in else []
        driver = find_driver(store)
        through = count_through(store)[0] if driver else 0
        rate = ledger.rate(through, working=bool(driver))
        if out is not None:
            _write_table(out, ledger, overwrite=overwrite)
    if as_json:
        print_json({
            "codec": opened.codec.name, "dtype": opened.dtype, **counts, "changed": changed,
            "renewable": renewable, "deleted": deleted, "at_work": through,
            **totals, "series_a_second": round(rate, 4), "driver": driver or None,
            "failures": [{"key": k, "path": p, "reason": r} for k, p, r in failures],
            "others": [{"key": k, "path": p, "state": state}
                       for state, rows in others.items() for k, p, _ in rows],
            "stale": [{"key": k, "path": p, "reason": r} for k, p, r in stale],
            "left_out": [{"path": p, "reason": r} for p, r in skipped],
            **({"burned_in": [{"key": k, "path": p} for k, p in burnt]} if burned_in else {}),
        })  # fmt: skip
        return
    files, kept = totals["source_bytes"], totals["shard_bytes"]
    rows = [(state, str(count)) for state, count in counts.items() if count]
    rows += [("changed since", str(changed))] if changed else []
    rows += [("deleted since", str(deleted))] if deleted else []
    rows += [("encoded, in shards at work", str(through))] if through else []
    rows += [("files they came from", format_bytes(files)), ("latents", format_bytes(kept))]
    run = "speed of this run" if driver else "speed of the last run"
    rows += [(run, format_rate(rate))] if rate else []
    rows += [("shards", f"{totals['shards']:.0f}"), ("files left out", str(len(skipped)))]
    print_table(f"{opened.codec.name}, {opened.dtype}", ("series", ""), rows)
    if driver:
        print_note(f"being worked on by process {driver.get('pid')} on {driver.get('host')}")
    listed = [(path, "failed", why) for _, path, why in failures]
    listed += [(path, state, why) for state, rows_ in others.items() for _, path, why in rows_]
    listed += [(path, "left out", why) for path, why in skipped] if left_out else []
    if stale:
        shown = [(path, why) for _, path, why in stale[:SHOWN]]
        shown += [(f"{len(stale) - SHOWN} more", "--json lists them")] if len(stale) > SHOWN else []
        print_table("In the store, and no longer what lies in the archive", ("path", "why"), shown)
        if renewable:
            print_note("`plica bulk encode … --renew` encodes shards with changed series again")
    if burned_in:
        say = f"{say_count(len(burnt), 'file')} {'says' if len(burnt) == 1 else 'say'}"
        print_table(f"Text burnt in, as {say}", ("key", "path"), burnt)
    if listed:
        print_table("Not in the store", ("path", "what", "why"), listed)


def _list_burned_in(store: Store, ledger: Ledger) -> list[tuple[str, str]]:
    """Key and path of each latent whose notes say that text is burnt into its pixels."""
    paths = {key: path for key, path, _ in ledger.others("done")}
    return [(key, paths.get(key, "")) for key in find_noted(store, BURNED_IN)]


def _write_table(path: Path, ledger: Ledger, *, overwrite: bool) -> None:
    """Every series of the ledger, a line each."""
    with new_file(path, overwrite=overwrite) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(("key", "path", "state"))
        for state in STATES:
            rows.writerows((key, where, state) for key, where, _ in ledger.others(state))
        text.detach()
