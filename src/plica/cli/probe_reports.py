"""Probes judged: one task or a published table of them, from a cohort to a published report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from plica.cli.console import format_duration, print_json, print_note, print_table
from plica.cli.contenders import Contender, load_contenders, name_contenders
from plica.cli.posing import Asked, Task, follow, pose
from plica.cli.probe_tables import (
    Place,
    gather_table,
    list_published,
)
from plica.cli.probes import Session, check_folder, make_plan, start_folder
from plica.cli.standing import say_machine, say_versions
from plica.cohort import Cohort
from plica.errors import InputError, OutputError
from plica.evaluation.ceiling import Ceiling, regress_on_ceiling
from plica.evaluation.predictions import Predictions
from plica.evaluation.probe_report import Probed, build_report
from plica.evaluation.protocol import Protocol
from plica.evaluation.publish import publish
from plica.evaluation.record import Recorded
from plica.evaluation.report import Report
from plica.evaluation.selection import DATASET
from plica.evaluation.tasks import read_task
from plica.run import describe_environment
from plica.training.views import FULL

if TYPE_CHECKING:
    from plica.training.probing import Plan

VERSION = 1


@dataclass(frozen=True)
class Manner:
    """How codecs are judged, whatever the task.

    Args:
        codecs: By name or pattern, the baseline among them.
        weights: NAME=FILE of codecs.
        random: Whether weights that are not at hand are drawn.
        device: Where codecs and probes run.
        probe_weights: Of the probe's trunk.
        cache: Where views are kept.
        margin: Of AUROC.
        ceiling: A reconstruction report, and the metric of it that is the ceiling.
        notes: What a reader must know of all tasks.
    """

    codecs: tuple[str, ...]
    weights: tuple[str, ...]
    random: bool
    device: str
    probe_weights: str | None
    cache: Path | None
    margin: float | None
    ceiling: tuple[Recorded, str] | None
    overwrite: bool
    resume: bool
    as_json: bool
    quiet: bool
    notes: tuple[str, ...] = ()

    def load(self) -> tuple[Contender, ...]:
        """The codecs."""
        return load_contenders(
            name_contenders([name for name in self.codecs if name != FULL]),
            weights=self.weights, device=self.device, random=self.random,
        )  # fmt: skip


def judge_table(
    recipe: Protocol, places: Sequence[Place], asked: Asked, manner: Manner, out: Path
) -> None:
    """Each column of a published table, and then the table.

    Raises:
        InputError: A data set is not as its publishers lay it out; said before any work.
    """
    found = [(place, read_task(place.group.task, place.root)) for place in places]
    if out.exists() and any(out.iterdir()) and not (manner.overwrite or manner.resume):
        raise OutputError(f"{out} is there already: choose another, --overwrite or --resume")
    part = replace(manner, as_json=False)
    reports = {
        place.group.name: judge_cohort(
            task.cohort, follow(asked, task.task), part, out / place.folder,
            name=place.root.name, notes=task.notes,
            published=list_published(recipe, place.group.name), silent=manner.as_json,
        )
        for place, task in found
    }  # fmt: skip
    setting = {"protocol": asked.protocol, "machine": say_machine(manner.device),
               "versions": say_versions()}  # fmt: skip
    report = gather_table(recipe, reports, setting)
    page = publish(report, out, overwrite=True)
    tell(report, page, as_json=manner.as_json, quiet=manner.quiet)


def judge_cohort(
    cohort: Cohort,
    asked: Asked,
    manner: Manner,
    out: Path,
    *,
    name: str,
    notes: tuple[str, ...] = (),
    published: Mapping[str, float] | None = None,
    silent: bool = False,
) -> Report:
    """One task: fit, judge, publish, and tell."""
    begun = time.perf_counter()
    task = pose(cohort, asked)
    task = replace(task, notes=(*task.notes, *manner.notes, *notes))
    plan = make_plan(asked, len(task.labelled.classes), manner.probe_weights)
    contenders = manner.load()
    if manner.ceiling is not None:
        refuse_other_weights(manner.ceiling[0], contenders)
    asked = complete(asked, task, plan, contenders)
    check_folder(out, asked, overwrite=manner.overwrite, resume=manner.resume)
    quiet = manner.quiet or manner.as_json or silent
    session = Session(asked, task, plan, contenders, manner.cache, manner.device, quiet)
    views = session.show()
    predictions = session.run(start_folder(out, asked, overwrite=manner.overwrite), views)
    probed = replace(
        describe(session, predictions, name), margin=manner.margin, published=published or {},
        ceiling=_find_ceiling(session, predictions, manner.ceiling),
    )  # fmt: skip
    report = build_report(probed)
    page = publish(report, out, overwrite=manner.overwrite or manner.resume)
    if not silent:
        seconds = time.perf_counter() - begun
        tell(report, page, as_json=manner.as_json, quiet=manner.quiet, seconds=seconds)
    return report


def _find_ceiling(
    session: Session, predictions: tuple[Predictions, ...], given: tuple[Recorded, str] | None
) -> Ceiling | None:
    if given is None:
        return None
    recorded, metric = given
    datasets = {case.key: case.labels.get(DATASET, "") for case in session.task.labelled.cases}
    return regress_on_ceiling(
        predictions, recorded.results, metric, report=recorded.name, datasets=datasets
    )


def refuse_other_weights(recorded: Recorded, contenders: Sequence[Contender]) -> None:
    """Stop before any work where one name stands for two codecs.

    Raises:
        InputError: The report is of other weights, or of none of these codecs.
    """
    kept = {
        str(one.get("name")): str(one.get("fingerprint"))
        for one in recorded.record.get("codecs", ())
        if isinstance(one, dict)
    }
    if not any(one.name in kept for one in contenders):
        raise InputError(
            f"{recorded.name} has none of the codecs {', '.join(c.name for c in contenders)}: give "
            "a report of `plica evaluate reconstruction` that judged them on these images"
        )
    for one in contenders:
        if kept.get(one.name, one.codec.fingerprint) != one.codec.fingerprint:
            raise InputError(
                f"{recorded.name} judged {one.name} with other weights than these: judge both with "
                "one"
            )


def complete(asked: Asked, task: Task, plan: Plan, contenders: tuple[Contender, ...]) -> Asked:
    """What was asked, with what it was asked of."""
    return replace(
        asked,
        baseline=next(
            (one.name for one in contenders if one.is_called(asked.baseline)), asked.baseline
        ),
        images=task.images,
        codecs=tuple(f"{one.name} {one.codec.fingerprint}" for one in contenders),
        probe_weights=plan.weights_fingerprint,
        epochs=plan.epochs,
        batch=plan.batch,
        rate=plan.rate,
    )


def describe(session: Session, predictions: tuple[Predictions, ...], cohort: str) -> Probed:
    """What the report is made of."""
    asked, task = session.asked, session.task
    return Probed(
        title=f"Probing {asked.label}: {' against '.join(task.labelled.classes)}",
        predictions=predictions,
        baseline=asked.baseline,
        shown=session.shown,
        counts=task.counts(),
        setting=_describe_setting(session, cohort),
        record={"kind": "probe", "version": VERSION, "asked": asdict(asked),
                "environment": describe_environment()},
        notes=(*_describe_fairness(session), *task.notes),
    )  # fmt: skip


def _describe_setting(session: Session, cohort: str) -> dict[str, str]:
    from plica.networks.probes import find_probe

    asked, plan = session.asked, session.plan
    drawn = "random, never trained" if plan.linear else "random at the start"
    drawn = drawn if find_probe(plan.probe).drawn else "none: nothing in it is trained"
    divided = (
        f"{asked.folds} folds of the split {asked.train_split}"
        if asked.folds
        else f"learnt from the split {asked.train_split}, tested on {asked.test_split}"
    )
    full = f" ({asked.batch_full} at full resolution)" if asked.batch_full else ""
    codecs = {
        f"codec {one.name}": f"fingerprint {one.codec.fingerprint}; trained on "
        f"{one.codec.card.training_data or 'images that its card does not name'}"
        for one in session.contenders
    }
    return {
        "protocol": f"probe v{VERSION}" + (f", as in {asked.protocol}" if asked.protocol else ""),
        "cohort": cohort,
        "task": f"{asked.label}: {', '.join(session.task.labelled.classes)}",
        "division": f"{divided}, by patient",
        "probe": f"{plan.probe}, {asked.mode}: {find_probe(plan.probe).summary}",
        "weights of the probe's trunk": plan.weights_fingerprint or drawn,
        "fitting": f"AdamW, rate {plan.rate:g}, weight decay {plan.weight_decay:g}, "
        f"{plan.epochs} epochs, batches of {plan.batch} at most{full}, {plan.precision}, "
        f"{'classes drawn equally often' if plan.balanced else 'images drawn once an epoch'}, "
        "the weights of the last step",
        "shown": f"{'decoded images' if asked.decoded else 'codes'}, "
        f"{'mean over the channels' if plan.channels == 'mean' else 'all channels'}, "
        f"{' × '.join(map(str, asked.size)) or 'own size'}, standardised by the training images",
        **codecs,
        "machine": say_machine(session.device),
        "versions": say_versions(),
    }


def _describe_fairness(session: Session) -> tuple[str, ...]:
    """What would mislead a reader who does not know it."""
    from plica.networks.probes import find_probe

    notes, plan = [], session.plan
    if plan.linear and not plan.weights_fingerprint and find_probe(plan.probe).drawn:
        notes.append(
            f"The trunk of {plan.probe} is random here: no pretrained weights were given. The "
            "papers' probes had been trained on photographs."
        )
    if any("random weights" in one.name for one in session.contenders):
        notes.append("Codecs with random weights prove a path; their numbers say nothing.")
    return tuple(notes)


def tell(
    report: Report, page: Path, *, as_json: bool, quiet: bool, seconds: float | None = None
) -> None:
    """The report in a table, or as JSON."""
    if as_json:
        took = {} if seconds is None else {"seconds": seconds}
        print_json({**report.record, "report": str(page), **took})
        return
    if quiet:
        return
    table = report.sections[0].tables[0]
    print_table(report.title, table.columns, table.rows)
    for sentence in report.summary[1:]:
        print_note(sentence)
    print_note(str(page) if seconds is None else f"{page}, after {format_duration(seconds)}")
