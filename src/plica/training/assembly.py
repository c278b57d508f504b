"""Assembly: a recipe, images and a folder become a training that runs."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plica.cohort import Case, Cohort
from plica.errors import OutputError, SettingsError
from plica.run import RECIPE, Run
from plica.training.recipe import Data, Projection, Recipe, Reconstruction, refuse_another

if TYPE_CHECKING:
    from plica.training.data import Prepared
    from plica.training.data import Progress as Preparing
    from plica.training.engine import Engine
    from plica.training.loop import Outcome
    from plica.training.objective import Objective
    from plica.training.prepared import Shape
    from plica.training.progress import Watcher

CACHE = "cache"
BEGUN = "assembled"


@dataclass(frozen=True)
class Places:
    """Where a training finds and leaves things.

    Args:
        run: The run's folder.
        resume: Whether the run is there already and goes on.
        weights_dir: Where weights files lie.
        cache: Where prepared images are kept; None: in the folder "cache" beside the run's.
        device: "auto", "cpu", "cuda", …
    """

    run: Path
    resume: bool = False
    weights_dir: Path | None = None
    cache: Path | None = None
    device: str = "auto"

    @property
    def cache_folder(self) -> Path:
        """Where prepared images are kept."""
        return self.run.parent / CACHE if self.cache is None else self.cache


def recipe_of(run: Path) -> Recipe:
    """The recipe a run was started with.

    Raises:
        UnreadableFile: The folder is no run's.
        SettingsError: It was started with something else than a training's recipe.
    """
    return Run.open(run).recipe(Recipe)


def run_recipe(
    recipe: Recipe,
    places: Places,
    *,
    watcher: Watcher | None = None,
    preparing: Callable[[Preparing], None] | None = None,
) -> Outcome:
    """Train as a recipe says, from its first step or from a run's last checkpoint.

    What could stop it later is checked first: the recipe, the cohort, the weights it starts from
    or is judged by, the images; only then is the run's folder made.

    Args:
        watcher: Is told how it goes.
        preparing: Is told of each image before it is prepared.

    Raises:
        SettingsError: The recipe does not fit itself, its data, or the run that goes on.
        InputError: The cohort or too many of its images cannot be read.
        WeightsError: Weights the recipe asks for are missing; names the path.
        OutputError: The run's folder is taken, or cannot be written.
        TrainingInterrupted: It was asked to stop; it can be resumed.
        TrainingStopped: It led nowhere.

    Examples:
        >>> outcome = run_recipe(recipe, Places(Path("runs/mine"), device="cpu"))
        >>> outcome.steps
        4
    """
    from plica.training.batches import Batches
    from plica.training.engine import Engine
    from plica.training.loop import train
    from plica.training.objectives import build_objective
    from plica.training.prepared import Shape
    from plica.training.starting import build_network

    recipe, cohort = _settle(recipe, places)
    _check_place(recipe, places)
    engine = Engine(places.device, recipe.precision)
    network = build_network(_as_begun(recipe, places), weights_dir=places.weights_dir)
    objective = build_objective(
        recipe, network=network, weights_dir=places.weights_dir, device=engine.device
    )
    shape, cache = Shape.of(network), places.cache_folder
    prepared = _prepare(recipe, cohort, shape, cache=cache, engine=engine, progress=preparing)
    run = _open_run(recipe, places, engine)
    _refuse_other_images(run, prepared)
    if engine.is_first:
        _log_begun(run, recipe, cohort, prepared, objective, weights_dir=places.weights_dir)
    _say_images(recipe, cohort, prepared, watcher)
    batches, cases = Batches(prepared, recipe), prepared.validation
    outcome = train(recipe, objective, batches, cases, run, engine=engine, watcher=watcher)
    engine.leave()
    return outcome


def _say_images(
    recipe: Recipe, cohort: Cohort, prepared: Prepared, watcher: Watcher | None
) -> None:
    """Which splits train and judge, and which do neither; which images are left out, and why."""
    if watcher is None:
        return
    drawn = {image.name for pool in prepared.pools for image in pool.images}
    unused = _count_unused(recipe, cohort)
    listed = ", ".join(
        f"{n} of '{name}'" if name else f"{n} without a split" for name, n in unused.items()
    )
    watcher.said(
        f"trains on {len(drawn)} images of the split '{recipe.data.train}', and "
        f"{len(prepared.validation)} of '{recipe.data.validation}' choose the checkpoint"
        + (f"; not used: {listed}" if listed else "")
    )
    for one in prepared.unreadable:
        watcher.said(f"left out: {one.name}: {one.reason}")


def _count_unused(recipe: Recipe, cohort: Cohort) -> dict[str, int]:
    """Images of the splits that neither train nor judge."""
    used = (recipe.data.train, recipe.data.validation)
    return dict(Counter(case.split for case in cohort if case.split not in used))


def _settle(recipe: Recipe, places: Places) -> tuple[Recipe, Cohort]:
    """The recipe with the split that judges, where it leaves that open; and its cohort.

    A run that goes on is judged by what it began with, whatever the cohort has got since.
    """
    from plica.training.data import settle_judged

    if places.resume and not recipe.data.validation:
        recipe = _judge_by(recipe, recipe_of(places.run).data)
    cohort = read_given_cohort(recipe)
    return _judge_by(recipe, settle_judged(recipe.data, cohort)), cohort


def _judge_by(recipe: Recipe, said: Data) -> Recipe:
    return replace(recipe, data=replace(recipe.data, validation=said.validation))


def read_given_cohort(recipe: Recipe) -> Cohort:
    """The cohort a recipe, or who runs it, names.

    Raises:
        SettingsError: None is named.
        InputError: It cannot be read, or breaks the rules of a cohort.
    """
    from plica.training.cohorts import read_cohort
    from plica.training.data import split_cohort

    if not recipe.data.cohort:
        raise SettingsError(
            f"the recipe {recipe.name} names no images: give a folder, a table or a BIDS tree "
            "with --data"
        )
    return split_cohort(read_cohort(recipe.data.cohort), recipe.data)


def describe_images(recipe: Recipe, cohort: Cohort, prepared: Prepared) -> list[dict[str, Any]]:
    """What a model card says of the images that are drawn or judged: counts and licences.

    The cohort's labels `source`, `licence` and `attribution` are taken over where it has them.
    """
    from plica.training.data import name_of

    drawn = {image.name for pool in prepared.pools for image in pool.images}
    judged = {image.name for image in prepared.validation.images}
    rows = []
    for split, names in ((recipe.data.train, drawn), (recipe.data.validation, judged)):
        used = [case for case in cohort if case.split == split and name_of(case) in names]
        for source in dict.fromkeys(case.labels.get("source", "") for case in used):
            cases = [case for case in used if case.labels.get("source", "") == source]
            rows.append(
                {
                    "source": source or "unnamed",
                    "split": split,
                    "images": len(cases),
                    "patients": len({case.patient for case in cases}),
                    "licence": _spell_label(cases, "licence") or "not stated",
                    "attribution": _spell_label(cases, "attribution"),
                }
            )
    return rows


def describe_pretrained(recipe: Recipe, weights_dir: Path | None) -> dict[str, str]:
    """Which files the networks come from that the recipe is judged by: names and SHA-256."""
    from plica.codecs.pretrained import describe

    names: list[str] = []
    if isinstance(recipe.objective, Projection):
        names.append("biomedclip")
    elif isinstance(recipe.objective, Reconstruction):
        backbone = recipe.objective.perceptual_network
        names += [backbone, f"lpips-{backbone}"] if recipe.objective.perceptual else []
        names += ["biomedclip"] if recipe.objective.embedding else []
    return {name: describe(name, weights_dir) for name in names}


def _spell_label(cases: Iterable[Case], label: str) -> str:
    return ", ".join(filter(None, dict.fromkeys(case.labels.get(label, "") for case in cases)))


def _check_place(recipe: Recipe, places: Places) -> None:
    """Before hours of preparing: is the run's folder there to go on in, or free to begin in?"""
    if places.resume:
        refuse_another(recipe_of(places.run), recipe, whose=f"the run {places.run}")
        if Run.open(places.run).is_finished:
            raise SettingsError(
                f"{places.run} is finished: `plica export {places.run} -o CODEC` makes a codec of "
                "it; name another folder with -o to begin another run"
            )
    elif places.run.exists() and (places.run.is_file() or any(places.run.iterdir())):
        raise OutputError(_say_taken(places.run))


def _say_taken(folder: Path) -> str:
    """What to do where a run has no place: to go on is an advice for runs that can."""
    if not (folder / RECIPE).is_file():
        return f"{folder} is not empty, and holds no run: name another folder with -o"
    if Run(folder).is_finished:
        return (
            f"{folder} is not empty: it holds a run that is finished. Name another folder with -o, "
            f"or make a codec of what is there by `plica export {folder} -o CODEC`"
        )
    return (
        f"{folder} is not empty: it holds a run that is not finished. Go on in it with "
        f"`plica train --resume -o {folder}`, or name another folder with -o"
    )


def _as_begun(recipe: Recipe, places: Places) -> Recipe:
    """The recipe to build the network by: a checkpoint needs no weights to begin from any more."""
    from plica.training.checkpoint import list_steps
    from plica.training.loop import CHECKPOINTS

    if not (places.resume and list_steps(places.run / CHECKPOINTS)):
        return recipe
    return replace(recipe, start=replace(recipe.start, weights="", lift=False))


def _prepare(
    recipe: Recipe,
    cohort: Cohort,
    shape: Shape,
    *,
    cache: Path,
    engine: Engine,
    progress: Callable[[Preparing], None] | None,
) -> Prepared:
    """Images on disk: the first process makes them, the others then find them."""
    from plica.training.data import prepare_cases

    if not engine.is_first:
        engine.wait()
        return prepare_cases(recipe.data, cohort, shape, cache=cache)
    prepared = prepare_cases(recipe.data, cohort, shape, cache=cache, progress=progress)
    engine.wait()
    return prepared


def _log_begun(
    run: Run,
    recipe: Recipe,
    cohort: Cohort,
    prepared: Prepared,
    objective: Objective,
    *,
    weights_dir: Path | None,
) -> None:
    """What only the beginning knows, for the card of what comes out."""
    run.log(
        BEGUN,
        images=_hash_images(prepared),
        sources=describe_images(recipe, cohort, prepared),
        unused=_count_unused(recipe, cohort),
        unreadable=[one._asdict() for one in prepared.unreadable],
        measures=[asdict(measure) for measure in objective.measures],
        pretrained=describe_pretrained(recipe, weights_dir),
    )


def _hash_images(prepared: Prepared) -> str:
    """A short hash of what is drawn and judged, in its order: names, shapes and weights."""
    pools = [(pool.name, pool.weight, pool.images) for pool in prepared.pools]
    listed = [
        (name, weight, [(image.name, image.shape) for image in images])
        for name, weight, images in (*pools, ("", 0.0, prepared.validation.images))
    ]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:16]


def _refuse_other_images(run: Run, prepared: Prepared) -> None:
    """A run goes on with the images it began with: the order of others would be another.

    Raises:
        SettingsError: They are others.
    """
    told = [event.get("images") for event in run.events() if event.get("event") == BEGUN]
    began = next((one for one in told if one), None)
    if began not in (None, _hash_images(prepared)):
        raise SettingsError(
            f"{run.folder} began with other images, or in another order: bring those back, or "
            "begin a run of its own"
        )


def _open_run(recipe: Recipe, places: Places, engine: Engine) -> Run:
    """The run's folder, begun by the first process or there already."""
    if engine.is_first and not places.resume:
        Run.start(places.run, recipe)
    engine.wait()
    return Run.open(places.run)
