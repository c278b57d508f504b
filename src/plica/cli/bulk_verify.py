"""plica bulk verify: is a store what was written?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from plica.bulk.checking import Problem, decode_sample, verify_alone
from plica.bulk.checking import verify as check
from plica.bulk.engine import reading_only
from plica.bulk.ledger import Ledger
from plica.cli import options as o
from plica.cli.bulk_status import StorePath
from plica.cli.choosing import AUTO, choose
from plica.cli.console import (
    EXIT_FAILED,
    print_error,
    print_json,
    print_note,
    progress,
    speak_shell,
)
from plica.cli.reading import refuse_missing
from plica.evaluation.text import say_count
from plica.formats.store import Store
from plica.formats.store_paths import LEDGER, PATHS

_ALONE = (
    f"{LEDGER} is not here, without which `plica bulk encode` makes no shard again: copy these "
    "(shards/ and index/) from where the store was made"
)


def verify(
    store: StorePath,
    decode: Annotated[
        int, typer.Option(help="Decode so many latents, drawn at random.", min=0)
    ] = 3,
    seed: Annotated[int, o.seed("the draw")] = 0,
    codec: o.MakerName = AUTO,
    device: o.Device = "auto",
    weights: o.Weights = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Check every hash of a store, the ledger against the disk, and decode a sample.

    A store that was passed on without its ledger is checked as far as it can be.

    Example: plica bulk verify archive.store --decode 20
    """
    refuse_missing(store, "store")
    problems: list[Problem] = []
    alone = not (store / LEDGER).is_file()
    with _opening(store, alone) as (opened, ledger), progress(quiet=quiet or as_json) as bar:
        task = bar.add_task("checking shards", total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        looked = check(opened, ledger, tell) if ledger else verify_alone(opened, tell)
        problems += looked
        shards, series = len(opened.shards), 0
        if not problems:
            series = len(opened)
        if decode and series:
            bar.update(task, description="decoding")
            chooser = choose(codec, weights, device, None, {}, {}, quiet=as_json or quiet)
            problems += decode_sample(
                opened, lambda latent: chooser.for_latent(latent).decode(latent), n=decode,
                seed=seed, tell=tell,
            )  # fmt: skip
    if as_json:
        print_json({"shards": shards, "series": series, "decoded": min(decode, series),
                    "ledger": not alone,
                    "problems": [vars(problem) for problem in problems]})  # fmt: skip
    else:
        for problem in problems:
            print_error(speak_shell(f"shard {problem.shard}: {problem.what}"))
        if problems and not quiet:
            print_note(_ALONE if alone else "missing shards are made again by `plica bulk encode`; "
                       "remove damaged ones (shards/ and index/) first")  # fmt: skip
        elif not quiet:
            print_note(f"{say_count(shards, 'shard')}, {series} series: as written; "
                       f"{min(decode, series)} decoded")  # fmt: skip
            if alone:
                print_note(f"{LEDGER} is not here: whether a shard is missing, or an index was "
                           "changed, only it can say")  # fmt: skip
            if opened.settings.get(PATHS):
                print_note("the index holds the images' paths (--keep-paths), which may name "
                           "patients")  # fmt: skip
    raise typer.Exit(EXIT_FAILED if problems else 0)


@contextmanager
def _opening(folder: Path, alone: bool) -> Iterator[tuple[Store, Ledger | None]]:
    if alone:
        yield Store.open(folder), None
        return
    with reading_only(folder) as both:
        yield both
