"""plica train: from a recipe and images to a run."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plica.cli import completing
from plica.cli import options as o
from plica.cli.console import format_duration, print_json, print_table
from plica.cli.watching import Watching
from plica.errors import SettingsError, TrainingInterrupted
from plica.training.assembly import Places, recipe_of, run_recipe
from plica.training.recipe import Recipe
from plica.training.recipes import (
    change,
    list_recipes,
    parse_changes,
    read_recipe,
    shrink,
)

if TYPE_CHECKING:
    from plica.training.loop import Outcome

RUNS = Path("runs")


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="A recipe's name (see --list) or TOML file.",
            show_default=False,
            autocompletion=completing.recipes,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="The images: a folder, a CSV or Parquet table (path, patient, split, …), or a "
            "BIDS tree.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The run's folder; runs/RECIPE if left out, runs/RECIPE-smoke with --smoke.",
            show_default=False,
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change a setting, such as optimiser.rate=1e-4; may be repeated.",
            show_default=False,
            metavar="NAME=VALUE",
        ),
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Walk the whole way in a minute: a trial.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on from the last checkpoint of the run in --out, or of RECIPE.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = False,
    weights_dir: o.WeightsDir = None,
    device: o.Device = "auto",
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Where prepared images are kept; 'cache' beside the run if left out.",
            show_default=False,
        ),
    ] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="List the recipes that come with plica.")
    ] = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a codec as a recipe says.

    Example: plica train medvae-4x1-2d-stage1 --data images.csv --weights-dir weights
    """
    if listing:
        _list(as_json)
        return
    chosen, places = _choose(recipe, out, resume=resume, smoke=smoke)
    chosen = _change(chosen, data, settings, smoke)
    places = Places(places.run, places.resume, weights_dir, cache, device)
    first = os.environ.get("RANK", "0") == "0"  # torchrun's name for this process among all
    begun = time.perf_counter()
    with Watching(chosen.name, chosen.steps, quiet=quiet or not first) as watching:
        try:
            outcome = run_recipe(chosen, places, watcher=watching, preparing=watching.preparing)
        except TrainingInterrupted as error:
            raise TrainingInterrupted(f"{error}{_repeat(places)}") from error
        except KeyboardInterrupt as error:  # once steps are taken, the loop answers signals
            raise TrainingInterrupted(
                "stopped before the first step; what was prepared is kept: run the same command "
                "again"
            ) from error
    if first:
        _report(chosen, outcome, places, time.perf_counter() - begun, as_json=as_json, quiet=quiet)


def _list(as_json: bool) -> None:
    listed = list_recipes()
    if as_json:
        print_json(
            [{"name": one.name, "summary": one.summary, "steps": one.steps, "batch": one.batch}
             for one in listed]
        )  # fmt: skip
        return
    rows = [(one.name, str(one.steps), str(one.batch), one.summary) for one in listed]
    print_table("", ("recipe", "steps", "batch", "what it trains"), rows)


def _choose(
    recipe: str | None, out: Path | None, *, resume: bool, smoke: bool
) -> tuple[Recipe, Places]:
    if recipe is None and resume and out is not None:
        return recipe_of(out), Places(out, resume=True)
    if recipe is None:
        also = ", or the run's folder with --out" if resume else ""
        raise SettingsError(f"name a recipe{also}: `plica train --list` shows those of plica")
    chosen = read_recipe(recipe)
    own = f"{chosen.name}-smoke" if smoke else chosen.name  # a trial takes no real run's place
    return chosen, Places(RUNS / own if out is None else out, resume=resume)


def _change(recipe: Recipe, data: Path | None, settings: list[str] | None, smoke: bool) -> Recipe:
    """The recipe as the options want it; what is set by hand counts last."""
    recipe = shrink(recipe) if smoke else recipe
    changes = parse_changes(settings)
    if data is not None:
        changes["data.cohort"] = str(data)
    return change(recipe, changes) if changes else recipe


def _repeat(places: Places) -> str:
    """Options that the command to go on with needs again; the run does not know them."""
    given = (("--weights-dir", places.weights_dir), ("--cache", places.cache))
    return "".join(f" {option} {path}" for option, path in given if path is not None)


def _report(
    recipe: Recipe, outcome: Outcome, places: Places, seconds: float, *, as_json: bool, quiet: bool
) -> None:
    export = f"plica export {places.run} -o {recipe.name}/"
    record: dict[str, Any] = {
        "recipe": recipe.name,
        "run": str(places.run),
        "steps": outcome.steps,
        "seconds": seconds,
        "metric": outcome.metric,
        "first": outcome.first,
        "last": outcome.last,
        "best": outcome.best,
        "best_step": outcome.best_step,
        "images_per_second": outcome.images_per_second,
        "waiting": outcome.waiting,
        "checkpoint": str(outcome.checkpoint),
        "export": export,
    }
    if as_json:
        print_json(record)
    elif not quiet:
        print_table(f"Trained {recipe.name}", ("fact", "value"), _rows(record, seconds))


def _rows(record: dict[str, Any], seconds: float) -> list[tuple[str, str]]:
    metric = record["metric"]
    rows = [("steps", str(record["steps"])), ("time", format_duration(seconds))]
    for name in ("first", "last", "best"):
        value = record[name]
        if value is not None:
            after = f" after {record['best_step']} steps" if name == "best" else ""
            rows.append((f"{name} {metric}", f"{value:.4g}{after}"))
    return [
        *rows,
        ("pace", f"{record['images_per_second']:.3g} images/s"),
        ("waiting for data", f"{record['waiting']:.1%}"),
        ("checkpoint", record["checkpoint"]),
        ("next", record["export"]),
    ]
