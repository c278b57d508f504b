"""plica bulk encode: an archive → a store of latents."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from plica.bulk.beginning import removing_unused
from plica.bulk.crew import Crew, OwnProcess, RayCrew
from plica.bulk.engine import Habits, Ran, encode_archive, open_store
from plica.bulk.forecast import Estimate, format_rate
from plica.bulk.ledger import Ledger
from plica.bulk.planning import MOST_BYTES, MOST_SERIES
from plica.bulk.task import Order
from plica.bulk.worker import load_codec
from plica.cli import completing
from plica.cli import options as o
from plica.cli.bulk_reasons import explain_nothing, explain_reason
from plica.cli.bulk_watch import watch
from plica.cli.choosing import (
    asked_preparing,
    asked_running,
    check_word,
    choose_weights,
    parse_settings,
)
from plica.cli.console import (
    EXIT_FAILED,
    format_bytes,
    format_duration,
    print_error,
    print_json,
    print_note,
    print_table,
    progress,
)
from plica.cli.jobs import Manner
from plica.cli.reading import refuse_missing
from plica.codecs.budget import PROCESS_BYTES, choose_memory
from plica.codecs.codec import Codec
from plica.errors import SettingsError, TooLarge
from plica.formats.limits import DEFAULT_MAX_BYTES
from plica.formats.store import Store
from plica.formats.store_facts import FACTS
from plica.formats.store_index import import_arrow
from plica.formats.store_paths import LEDGER, PATHS

WORK = "Work"
EXIT_INTERRUPTED = 130
_SHOWN = 10
_WORTH_S = 0.5  # of starting: less is not told
LINE_OF_HOURS = 60.0
"""Seconds between lines of progress in a log: an archive takes hours."""
# What a small image takes on its way, with the pieces it is cut into.
_LEAST_WORK = 2**26


def _refuse_no_marks(asked: bool) -> bool:
    """Say how latents lose their marks to who knows the option from `plica encode`."""
    if asked:
        raise SettingsError(
            "--no-marks is of `plica encode`: latents of a store have marks, by which it is known "
            "what is encoded. To pass latents on without marks, write them with `plica encode "
            "FOLDER -o LATENTS --no-marks`, or encode a store and write its latents one by one, "
            "as docs/stores.md shows under 'Passed on without marks'"
        )
    return asked


def encode(
    archive: Annotated[
        Path, typer.Argument(help="A tree of images and DICOM series.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="The store: a folder; made, or gone on with.",
            show_default=False,
            rich_help_panel=o.OUTPUT,
        ),
    ],
    codec: Annotated[
        str,
        typer.Option(
            "--codec",
            "-c",
            help="A codec's name (see `plica codecs`) or the folder of a "
            "trained one. A store holds latents of one.",
            show_default=False,
            autocompletion=completing.codecs,
            rich_help_panel=o.CODEC,
        ),
    ],
    device: o.Device = "auto",
    weights: o.Weights = None,
    random_weights: o.RandomWeights = False,
    settings: o.Settings = None,
    latent: o.LatentKind = "",
    dtype: o.Dtype = "float16",
    memory: o.Memory = None,
    device_memory: o.DeviceMemory = None,
    tiling: o.Tiling = None,
    tile: o.Tile = None,
    precision: o.Precision = None,
    axis: o.Axis = None,
    fill_nonfinite: o.FillNonfinite = False,
    keep_outside: o.KeepOutside = False,
    pipeline: o.Pipeline = None,
    foreground: o.Foreground = False,
    resample: o.Resample = None,
    max_bytes: o.MaxBytes = DEFAULT_MAX_BYTES,
    workers: Annotated[
        int,
        typer.Option(
            help="How many encode at a time. 1 works in this process; more need Ray "
            "(extra 'bulk').",
            min=1,
            rich_help_panel=WORK,
        ),
    ] = 1,
    address: Annotated[
        str,
        typer.Option(
            help="Address of a Ray cluster, whose machines see archive and store at the same "
            "paths.",
            show_default=False,
            rich_help_panel=WORK,
        ),
    ] = "",
    gpus: Annotated[
        float,
        typer.Option(
            help="GPUs each of several workers takes, or a part of one; in this process --device "
            "says where.",
            min=0,
            rich_help_panel=WORK,
        ),
    ] = 0,
    batch: Annotated[
        int,
        typer.Option(
            help="Images of equal sides that a 2D network encodes at once (a 3D one takes them one "
            "by one); more than 1 pays on a GPU, and takes its share of what is read ahead.",
            min=1,
            rich_help_panel=WORK,
        ),
    ] = 1,
    readers: Annotated[
        int,
        typer.Option(help="Threads of each worker that read ahead.", min=1, rich_help_panel=WORK),
    ] = 2,
    shard_series: Annotated[
        int,
        typer.Option(
            help="At most so many series in a shard, the unit of work.", min=1, rich_help_panel=WORK
        ),
    ] = MOST_SERIES,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Encode about so many series and say what all would take; the same command "
            "without it encodes the rest.",
            min=1,
            show_default=False,
            rich_help_panel=WORK,
        ),
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Try again what failed before.", rich_help_panel=WORK),
    ] = False,
    renew: Annotated[
        bool,
        typer.Option(
            "--renew",
            help="Encode again the shards that hold series whose files have changed since.",
            rich_help_panel=WORK,
        ),
    ] = False,
    moved: Annotated[
        bool,
        typer.Option(
            "--moved",
            help="The archive lies elsewhere than before, its images in it as they were.",
            rich_help_panel=WORK,
        ),
    ] = False,
    keep_paths: Annotated[
        bool,
        typer.Option(
            "--keep-paths",
            help="Put paths within the archive into the index; they may name patients.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = False,
    no_marks: Annotated[  # its callback answers
        bool,
        typer.Option(
            "--no-marks",
            hidden=True,
            callback=_refuse_no_marks,
            help="Refused: latents of a store have marks.",
        ),
    ] = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Encode every series of an archive exactly once. Interrupted? The same command goes on.

    Example: plica bulk encode images/ -o images.store --codec compact-4x3-2d

    Example: plica bulk encode volumes/ -o volumes.store --codec compact-4x1-3d --workers 4
    """  # fmt: skip
    begun = time.perf_counter()
    check_word("--dtype", dtype, o.DTYPES)
    if latent:
        check_word("--latent", latent, o.KINDS)
    preparing = asked_preparing(axis, fill_nonfinite, keep_outside, foreground, resample, pipeline)
    running = asked_running(tile, memory, device_memory, tiling, precision)
    room = running.pop("memory", None)
    if room is None and workers > 1 and not address:
        room = choose_memory(None) // workers  # they share what one would take
    order = Order(
        archive=archive.absolute(),
        store=out.absolute(),
        codec=codec,
        weights=choose_weights(weights, random=random_weights),
        device=device,
        device_memory=running.pop("device_memory", None),
        options={**parse_settings(settings), **preparing, **running},
        kind=latent or None,
        keep_paths=keep_paths,
        max_bytes=max_bytes,
        readers=readers,
        ahead=max(4, 2 * batch),
        batch=batch,
        **_share_out(room),
        threads=max(1, (os.cpu_count() or 1) // workers) if workers > 1 and not address else 0,
    )
    _check_places(order)
    _check_cards(gpus, workers, address)
    import_arrow("encoding an archive")  # before it is looked through
    facts = {"kind": order.kind or "", "options": dict(order.options), "paths": keep_paths}
    habits = Habits(
        shard_series, MOST_BYTES, retry_failed=retry_failed, moved=moved,
        lookers=os.cpu_count() or 1, renew=renew, limit=limit,
    )  # fmt: skip
    loaded = load_codec(order)
    _check_room(loaded, order, workers)
    alone = workers == 1 and not address
    hire: Callable[[], Crew] = (
        partial(OwnProcess, order, loaded)
        if alone
        else partial(RayCrew, order, workers, address=address, gpus=gpus)
    )
    manner = Manner(as_json, quiet)
    try:
        with removing_unused(order.store):
            open_store(order.store, loaded, dtype, facts)  # type: ignore[arg-type]
            del loaded  # Ray's workers load their own
            with progress(quiet=manner.silent, lines=True, each=LINE_OF_HOURS) as bar:
                watcher = watch(bar, limit, silent=manner.silent, hired=0 if alone else workers)
                ran = encode_archive(order, hire, habits=habits, watcher=watcher)
            raise typer.Exit(_report(order.store, ran, manner, time.perf_counter() - begun))
    except KeyboardInterrupt:
        print_error("stopped at once; what is in the store stays, and the same command goes on")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _share_out(memory: int | None) -> dict[str, int]:
    """A quarter of a worker's memory for images that wait for its codec, the rest for the codec."""
    return {} if memory is None else {"memory": memory - memory // 4, "ahead_bytes": memory // 4}


def _check_room(codec: Codec, order: Order, workers: int) -> None:
    """Refuse before the run what would fail with each series.

    Raises:
        TooLarge: A worker's share of the memory does not hold its codec.
    """
    from plica.codecs.plan import count_weights  # torch is there by now

    weights = count_weights(getattr(codec, "network", None))
    least = PROCESS_BYTES + weights + _LEAST_WORK
    if order.memory is None or order.memory >= least:
        return
    needed = -(-4 * least // 3 // 2**20)
    raise TooLarge(
        f"a worker with {codec.card.name} needs at least {needed}M, of which a quarter is for "
        f"images read ahead, and has {(4 * order.memory // 3) >> 20}M: say --memory {needed}M"
        + (f", or fewer than {workers} --workers" if workers > 1 else ""),
        least=needed << 20,
    )


def _check_places(order: Order) -> None:
    refuse_missing(order.archive, "archive")
    store, archive = order.store.resolve(), order.archive.resolve()
    if store == archive or archive in store.parents or store in archive.parents:
        raise SettingsError(
            f"archive {order.archive} and store {order.store} lie within each other: the store "
            "would be looked through for images; choose a folder beside the archive"
        )
    if (archive / FACTS).is_file() and (archive / "shards").is_dir():
        raise SettingsError(
            f"{order.archive} is a store of latents and holds no image: give the folder of the "
            "images, and the store with -o"
        )


def _check_cards(gpus: float, workers: int, address: str) -> None:
    if gpus and workers == 1 and not address:
        raise SettingsError(
            f"--gpus {gpus:g} is what each of several workers takes, and one works in this "
            "process: say --device cuda, or give --workers or --address"
        )


# -- what came of it -------------------------------------------------------------------------------


def _report(store: Path, ran: Ran, manner: Manner, seconds: float) -> int:
    with Ledger(store) as ledger:
        counts = ledger.count()
        changed, renewable = ledger.count_changed(), ledger.count_renewable()
        failures = [(key, path, explain_reason(why)) for key, path, why in ledger.failures()]
        skipped = list(ledger.left_out())
    left_out = len(skipped)
    nothing = "" if ran.interrupted or any(counts.values()) else explain_nothing(skipped)
    wrong = failures or ran.kept or nothing
    code = EXIT_INTERRUPTED if ran.interrupted else EXIT_FAILED if wrong else 0
    if manner.as_json:
        record = to_json(ran, counts, left_out, failures)
        record |= {"changed": changed, "renewable": renewable}
        print_json(record | ({"error": nothing} if nothing else {}))
        return code
    if not manner.quiet:
        print_table("Encoded", ("what", ""), [(k, v) for k, v in _rows(ran, counts, seconds) if v])
        asked = f"plica bulk status {store}"
        _say_changed(ran, changed, renewable, asked)
        _say_notes(ran, 0 if nothing else left_out, len(failures), asked)
        _say_private(store, ran)
        _say_rest(ran, counts)
    if nothing:
        print_error(nothing)
    for _, path, reason in failures[:_SHOWN]:
        print_error(f"{path}: {reason}")
    for one in ran.kept[:_SHOWN]:
        print_error(f"{one.path}: its latent stays as it was: {explain_reason(one.reason)}")
    return code


def _rows(ran: Ran, counts: Mapping[str, int], seconds: float) -> list[tuple[str, str]]:
    clock = ran.clock
    return [
        ("series encoded", str(ran.done - ran.failed)),
        ("in the store", str(counts["done"])),
        ("failed", str(counts["failed"] or "")),
        ("waiting", str(counts["waiting"] or "")),
        ("copies of other series", str(counts["duplicate"] or "")),
        ("gone before they were read", str(counts["gone"] or "")),
        ("shards written", str(ran.shards or "")),
        ("pixels", format_bytes(ran.image_bytes) if ran.image_bytes else ""),
        ("latents", format_bytes(ran.shard_bytes) if ran.shard_bytes else ""),
        ("looking and planning", f"{ran.looked:.1f} s"),
        ("starting workers", f"{ran.started:.1f} s" if ran.started >= _WORTH_S else ""),
        ("encoding", _say_pace(ran)),
        ("in all, with loading", f"{seconds:.1f} s"),
        ("workers that died", str(ran.deaths or "")),
        ("the codec worked", f"{100 * ran.share:.0f} % of the time" if ran.wall else ""),
        ("it waited for images", f"{clock.waiting:.1f} s" if ran.wall else ""),
        ("shards were written", f"{clock.writing:.1f} s" if ran.wall else ""),
        ("bottleneck", ran.bottleneck if ran.wall else ""),
    ]


def _say_pace(ran: Ran) -> str:
    if not ran.wall:
        return ""
    encoded = ran.done - ran.failed
    return f"{ran.wall:.1f} s" + (f", {format_rate(encoded / ran.wall)}" if encoded else "")


def _say_changed(ran: Ran, changed: int, renewable: int, asked: str) -> None:
    if renewable:
        print_note(
            f"of {renewable} series files have another size or time now: `{asked}` lists them, "
            "and --renew encodes their shards again"
        )
    if changed > renewable:
        print_note(
            f"of {changed - renewable} series files have another size or time now, and latents "
            f"stay: `{asked}` says why"
        )
    if len(ran.kept) > _SHOWN:
        print_note(f"{len(ran.kept) - _SHOWN} more could not be encoded again: --json lists them")


def _say_notes(ran: Ran, left_out: int, failed: int, asked: str) -> None:
    if left_out:
        what = "1 file is no image" if left_out == 1 else f"{left_out} files are no images"
        them = "it" if left_out == 1 else "them"
        print_note(f"{what}: `{asked} --left-out` lists {them}")
    if failed > _SHOWN:
        print_note(f"{failed - _SHOWN} more failed: `{asked}` lists them")
    if failed:
        print_note("failed series are tried again with --retry-failed")
    if ran.interrupted:
        print_note("interrupted; the same command goes on")


def _say_private(store: Path, ran: Ran) -> None:
    """What of the store may name patients."""
    if ran.burned_in:
        print_note(
            f"{ran.burned_in} of the series encoded now say that text is burnt into their pixels, "
            f"which may name patients: `plica bulk status {store} --burned-in` lists all that do"
        )
    if not ran.shards:
        return
    if Store.open(store).settings.get(PATHS):
        print_note(
            f"index/ and {LEDGER} hold the images' paths (--keep-paths), which may name patients: "
            f"to leave {LEDGER} behind does not take them out. Pass on a store that was encoded "
            "without --keep-paths"
        )
    else:
        print_note(
            f"{LEDGER} holds the images' paths: leave it behind when you pass the store on "
            "(readers need it only to join labels by path)"
        )


def _estimate_rest(ran: Ran, counts: Mapping[str, int]) -> Estimate | None:
    """What encoding all would take, where a limit left some and the others tell."""
    encoded, rest = ran.done - ran.failed, counts["waiting"]
    if not rest or ran.interrupted or not encoded:
        return None
    each = ran.shard_bytes / encoded
    return Estimate(rest, rest * ran.wall / ran.done, rest * each, each)


def _say_rest(ran: Ran, counts: Mapping[str, int]) -> None:
    if rest := _estimate_rest(ran, counts):
        print_note(
            f"{rest.series} series wait, and the same command without --limit encodes them: about "
            f"{format_duration(rest.seconds)} and {format_bytes(rest.bytes)} "
            f"({format_bytes(rest.each)} each)"
        )


def to_json(
    ran: Ran, counts: Mapping[str, int], left_out: int, failures: list[tuple[str, str, str]]
) -> dict[str, Any]:
    """What a run did, for machines."""
    rest = _estimate_rest(ran, counts)
    return {
        **counts,
        "remaining": rest
        and {
            "series": rest.series,
            "seconds": round(rest.seconds, 3),
            "bytes": round(rest.bytes),
        },
        "left_out": left_out,
        "run": {
            "encoded": ran.done - ran.failed,
            "failed": ran.failed,
            "shards": ran.shards,
            "image_bytes": ran.image_bytes,
            "burned_in": ran.burned_in,
            "shard_bytes": ran.shard_bytes,
            "deaths": ran.deaths,
            "workers": ran.workers,
            "looking_s": round(ran.looked, 3),
            "starting_s": round(ran.started, 3),
            "wall_s": round(ran.wall, 3),
            "seconds": vars(replace(ran.clock)),
            "share_of_codec": round(ran.share, 4),
            "bottleneck": ran.bottleneck if ran.wall else "",
            "interrupted": ran.interrupted,
        },
        "failures": [{"key": k, "path": p, "reason": r} for k, p, r in failures],
        "kept": [vars(one) | {"reason": explain_reason(one.reason)} for one in ran.kept],
    }
