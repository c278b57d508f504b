"""plica evaluate efficiency: what a probe costs on images and on latents, and what files take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plica.cli import completing
from plica.cli import judging_options as j
from plica.cli import options as o
from plica.cli.choosing import check_word
from plica.cli.console import (
    EXIT_FAILED,
    keep_end,
    print_error,
    print_json,
    print_note,
    print_table,
    progress,
)
from plica.cli.contenders import Contender, load_contenders, name_contenders
from plica.cli.jobs import Existing, Manner
from plica.cli.needing import need
from plica.cli.resuming import refuse_report
from plica.cli.standing import name_cohort, say_machine, say_versions
from plica.cli.storing import MOST_PIXELS, STANDARDS, Storing, keep_all, load_standards
from plica.codecs.budget import parse_memory
from plica.codecs.device import choose_device
from plica.errors import SettingsError
from plica.evaluation.efficiency import (
    GIGA,
    HRNET,
    Fed,
    record_operations,
    show_sections,
    summarise,
)
from plica.evaluation.protocol import DEFAULT, read_protocol
from plica.evaluation.publish import publish
from plica.evaluation.rate_distortion import show_storage
from plica.evaluation.report import Report, Section
from plica.evaluation.results import Results
from plica.evaluation.selection import select
from plica.evaluation.storage_chart import Computing
from plica.evaluation.unsuited import TITLE as NOT_JUDGED
from plica.evaluation.unsuited import Unsuited, say_unsuited, show_unsuited
from plica.formats.codes import STORAGE_TYPES
from plica.training.cohorts import read_cohort

if TYPE_CHECKING:
    from plica.cli.costing import Bench

STAGES = ("flops", "latency", "memory", "storage")
MEASURING, STORAGE = "Measuring", "Storage"
CLASSES = 1


def efficiency(
    cohort: Annotated[
        Path | None,
        typer.Argument(
            help="Images whose storage is measured: a folder, a table or a BIDS tree.",
            show_default=False,
        ),
    ] = None,
    codec: j.SomeCodecs = None,
    probe: Annotated[
        str,
        typer.Option(
            help="The network that is fed.",
            rich_help_panel=MEASURING,
            autocompletion=completing.one_of(*j.PROBES),
        ),
    ] = HRNET,
    sides: Annotated[
        list[int] | None,
        typer.Option(
            help="Sides of images; the first is full size. 1024 256 128 64 for probes of "
            "pictures, 256 64 32 for those of volumes.",
            show_default=False,
            rich_help_panel=MEASURING,
            min=1,
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Only some of {', '.join(STAGES)}.",
            show_default=False,
            rich_help_panel=MEASURING,
            autocompletion=completing.one_of(*STAGES),
        ),
    ] = None,
    batch: Annotated[
        int,
        typer.Option(help="Inputs in each turn that is timed.", min=1, rich_help_panel=MEASURING),
    ] = 1,
    repeats: Annotated[
        int, typer.Option(help="Turns that are timed.", min=1, rich_help_panel=MEASURING)
    ] = 5,
    seconds: Annotated[
        float,
        typer.Option(
            help="Time for each thing that is timed: it has fewer turns where it needs longer, "
            "and is left out where one turn would (full size where it needs four times that).",
            min=0.1,
            rich_help_panel=MEASURING,
        ),
    ] = 60.0,
    train: Annotated[
        bool,
        typer.Option(
            "--train",
            help="Measure steps of training too; at full size they need many times the memory.",
            rich_help_panel=MEASURING,
        ),
    ] = False,
    memory: Annotated[
        str | None,
        typer.Option(
            help="The most memory a batch may take, such as 8G; all of a GPU's, "
            "or 8G beside none, if left out.",
            show_default=False,
            metavar="AMOUNT",
            rich_help_panel=MEASURING,
        ),
    ] = None,
    split: Annotated[str | None, j.split("test, dev-test or validation")] = None,
    group: j.Groups = None,
    limit: j.Limit = 4,
    most_pixels: Annotated[
        int, typer.Option(help="Larger images are left out.", min=1, rich_help_panel=STORAGE)
    ] = MOST_PIXELS,
    dtype: Annotated[
        list[str] | None,
        typer.Option(
            help=f"How codes are kept: {', '.join(STORAGE_TYPES)}; all if left out.",
            show_default=False,
            rich_help_panel=STORAGE,
            autocompletion=completing.one_of(*STORAGE_TYPES),
        ),
    ] = None,
    standard: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Codecs beside latents: {' and '.join(STANDARDS)} if left out.",
            show_default=False,
            rich_help_panel=STORAGE,
            autocompletion=completing.one_of(*STANDARDS),
        ),
    ] = None,
    weights: j.WeightsOf = None,
    random_weights: o.RandomWeights = False,
    device: o.Device = "auto",
    out: j.SomeReport = None,
    overwrite: o.Overwrite = False,
    resume: o.Resume = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """What latents save a network, and what they take in bytes beside JPEG 2000 and JPEG XL.

    Example: plica evaluate efficiency images/ -c linear-4x1-2d linear-8x1-2d -o report
    """  # fmt: skip
    # Here, since it needs torch: `plica --help` should not wait for it.
    from plica.cli.costing import Bench

    manner = Manner(as_json, quiet)
    Existing(overwrite, resume)  # refuses both
    refuse_report(out, overwrite=overwrite, resume=resume)
    stages = _choose_stages(only, cohort)
    if resume and "storage" not in stages:
        raise SettingsError(
            "--resume goes on with what was kept of images, and the storage of none is measured: "
            "leave it out, or name a cohort"
        )
    dtypes = _check_words("--dtype", dtype, STORAGE_TYPES)
    place = choose_device(device)
    contenders = _load(codec, stages, weights, place, random=random_weights)
    bench = Bench(
        probe, place, CLASSES, batch, repeats, seconds,
        _choose_memory(memory, place), train,
    )  # fmt: skip
    storing = None
    if "storage" in stages and cohort is not None:
        need("the chart of bytes", "matplotlib")
        protocol = read_protocol(DEFAULT)
        selection = select(
            protocol, read_cohort(cohort), split=split, groups=group, limit=limit or None
        )
        standards = load_standards(standard or STANDARDS)
        storing = Storing(selection, contenders, standards, dtypes, most_pixels)
    with _telling(manner) as tell:
        bench.tell = tell
        fed = _measure(bench, contenders, stages, sides)
        results = (
            Results(())
            if storing is None
            else keep_all(storing, out, tell, overwrite=overwrite, resume=resume)
        )
    report = _compose(bench, fed, results, storing, cohort)
    page = publish(report, out, overwrite=overwrite or resume) if out is not None else None
    _print(report, fed, page, manner)
    if len(results.failures):
        raise typer.Exit(EXIT_FAILED)


# -- what was asked for --------------------------------------------------------------------------


def _choose_stages(only: Sequence[str] | None, cohort: Path | None) -> tuple[str, ...]:
    """What is measured: everything, but storage only where there are images."""
    stages = _check_words("--only", only, STAGES)
    if cohort is None and only and "storage" in stages:
        raise SettingsError(
            "what storage takes is measured on images: name a cohort, such as a folder of them"
        )
    if cohort is not None and "storage" not in stages:
        raise SettingsError(
            f"{cohort} would not be read, since only {', '.join(stages)} is asked for: leave it "
            "out, or add storage to --only"
        )
    return tuple(one for one in stages if one != "storage" or cohort is not None)


def _check_words(option: str, given: Sequence[str] | None, known: Sequence[Any]) -> tuple[Any, ...]:
    for word in given or ():
        check_word(option, word, known)
    return tuple(word for word in known if not given or word in given)


def _load(
    codec: Sequence[str] | None, stages: Sequence[str], weights: Sequence[str] | None,
    device: str, *, random: bool,
) -> tuple[Contender, ...]:  # fmt: skip
    from plica.cli.costing import refuse_streams

    if not codec:
        if "storage" in stages:
            raise SettingsError(
                "no codec whose latents are to be kept: name some, such as --codec linear-4x1-2d"
            )
        return ()
    contenders = load_contenders(
        name_contenders(codec), weights=weights or (), device=device, random=random
    )
    for contender in contenders:
        refuse_streams(contender)
    return contenders


def _choose_memory(memory: str | None, device: str) -> int | None:
    return parse_memory(memory or (None if device.startswith("cuda") else "8G"), "--memory")


# -- the work ------------------------------------------------------------------------------------


@contextmanager
def _telling(manner: Manner) -> Iterator[Callable[[str], None]]:
    """A bar without an end that says what is being done."""
    with progress(quiet=manner.silent, lines=True) as bar:
        task = bar.add_task("measuring", total=None)
        yield lambda what: bar.update(task, description=keep_end(what, 60), advance=1)


def _measure(
    bench: Bench, contenders: Sequence[Contender], stages: Sequence[str], size: Sequence[int] | None
) -> list[Fed]:
    from plica.cli.costing import SIZES, make_image

    if set(stages) == {"storage"}:
        return []
    sizes = tuple(size or SIZES[bench.dims])
    fed = bench.feed_images(sizes)
    image = make_image(sizes[0], bench.dims) if contenders else None
    if image is not None:
        fed += bench.feed_latents(contenders, image)
    if "latency" in stages:
        fed = bench.time(fed, contenders, image)
    if "memory" in stages and bench.device != "mps":
        fed = bench.fill(fed)
    return fed


# -- what came of it -----------------------------------------------------------------------------


def _compose(
    bench: Bench, fed: Sequence[Fed], results: Results, storing: Storing | None, cohort: Path | None
) -> Report:
    sections: list[Section] = []
    summary: list[str] = []
    unsuited: tuple[Unsuited, ...] = ()
    if fed:
        sections += show_sections(bench.probe, bench.classes, fed)
        summary += summarise(bench.probe, fed)
    if storing is not None:
        kept = tuple(show_storage(results, _computing(bench, fed)))
        unsuited = storing.list_unsuited(results)
        sections += [*kept, *show_unsuited(unsuited)]
        summary += [f"{part.title}. {part.prose[1]}" for part in kept]
        summary += say_unsuited(unsuited)
        notes = storing.selection.notes
        sections += [Section("Which images", notes)] if notes else []
    return Report(
        title="What latents cost, and what they save",
        summary=tuple(summary),
        sections=tuple(sections),
        record={
            "flops": record_operations(bench.probe, bench.classes, fed),
            "inputs": [one.to_json() for one in fed],
            "storage": [result.to_json() for result in results],
            "not_judged": [one.to_json() for one in unsuited],
        },
        setting=_describe(bench, storing, cohort),
        results=results,
    )


def _computing(bench: Bench, fed: Sequence[Fed]) -> Computing | None:
    if not fed:
        return None
    of_codec = {one.codec: one.multiply_adds / GIGA for one in fed if one.codec}
    return Computing(bench.probe, fed[0].name, fed[0].multiply_adds / GIGA, of_codec)


def _describe(bench: Bench, storing: Storing | None, cohort: Path | None) -> dict[str, str]:
    from plica.networks.cost import CONVENTION

    setting = {
        "Probe": f"{bench.probe}, {bench.classes} class, one channel or those of the latent",
        "Operations": CONVENTION,
        "Machine": say_machine(bench.device),
        "Versions": say_versions(),
        "Timing": f"batches of {bench.batch}, at most {bench.repeats} turns and "
        f"{bench.limit:g} s each",
    }
    if storing is not None and cohort is not None:
        setting["Cohort"] = f"{name_cohort(cohort)}, {len(storing.selection)} images" + (
            f" of the split {storing.selection.split}" if storing.selection.split else ""
        )
        for one in storing.contenders:
            setting[f"Codec {one.name}"] = one.codec.fingerprint
    return setting


def _print(report: Report, fed: Sequence[Fed], page: Path | None, manner: Manner) -> None:
    if manner.as_json:
        print_json({**report.record, "report": None if page is None else str(page)})
        return
    if not manner.quiet:
        told = (section for section in report.sections if section.title != NOT_JUDGED)
        for table in (table for section in told for table in section.tables):
            print_table(table.title, table.columns, table.rows, caption=table.caption)
        for sentence in report.summary:
            print_note(sentence)
        for one in fed:
            for why in one.left_out:
                print_note(f"{one.name}: {why}")
        if page is not None:
            print_note(f"the report: {page}")
    for result in report.results.failures:
        print_error(f"{result.facts.get('name', result.case)}, {result.codec}: {result.error}")
