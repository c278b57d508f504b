"""plica bulk verify: is a store what was written?"""

from __future__ import annotations

from typing import Annotated

import typer

from plica.bulk.checking import Problem, decode_sample
from plica.bulk.checking import verify as check
from plica.bulk.engine import reading_only
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


def verify(
    store: StorePath,
    sample: Annotated[
        int, typer.Option(help="Decode so many latents, drawn at random.", min=0)
    ] = 3,
    seed: Annotated[int, typer.Option(help="Of the draw.", min=0)] = 0,
    codec: o.MakerName = AUTO,
    device: o.Device = "auto",
    weights: o.Weights = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Check every hash of a store, the ledger against the disk, and decode a sample.

    Example: plica bulk verify archive.store --sample 20
    """
    problems: list[Problem] = []
    with reading_only(store) as (opened, ledger), progress(quiet=quiet or as_json) as bar:
        task = bar.add_task("checking shards", total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        problems += check(opened, ledger, tell)
        shards, series = len(opened.shards), 0
        if not problems:
            series = len(opened)
        if sample and series:
            bar.update(task, description="decoding")
            chooser = choose(codec, weights, device, None, {}, {})
            problems += decode_sample(
                opened, lambda latent: chooser.for_latent(latent).decode(latent), n=sample,
                seed=seed, tell=tell,
            )  # fmt: skip
    if as_json:
        print_json({"shards": shards, "series": series, "decoded": min(sample, series),
                    "problems": [vars(problem) for problem in problems]})  # fmt: skip
    else:
        for problem in problems:
            print_error(speak_shell(f"shard {problem.shard}: {problem.what}"))
        if problems and not quiet:
            print_note("missing shards are made again by `plica bulk encode`; remove damaged ones "
                       "(shards/ and index/) first")  # fmt: skip
        elif not quiet:
            print_note(f"{shards} shards, {series} series: as written; {min(sample, series)} "
                       "decoded")  # fmt: skip
    raise typer.Exit(EXIT_FAILED if problems else 0)
