"""plica bulk encode: an archive → a store of latents."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from plica.bulk.crew import Crew, OwnProcess, RayCrew
from plica.bulk.engine import Habits, Ran, Watcher, encode_archive, open_store
from plica.bulk.ledger import Ledger
from plica.bulk.planning import MOST_BYTES, MOST_SERIES
from plica.bulk.task import Death, Made, Order
from plica.bulk.worker import load_codec
from plica.cli import options as o
from plica.cli.choosing import asked_preparing, asked_running, parse_settings
from plica.cli.console import (
    EXIT_FAILED,
    format_bytes,
    print_error,
    print_json,
    print_note,
    print_table,
    progress,
    speak_shell,
)
from plica.cli.encode import KINDS
from plica.cli.jobs import Manner
from plica.codecs.budget import PROCESS_BYTES, choose_memory
from plica.codecs.codec import RANDOM, Codec
from plica.errors import SettingsError, TooLarge
from plica.formats.limits import DEFAULT_MAX_BYTES
from plica.formats.store_index import import_arrow

WORK = "Work"
EXIT_INTERRUPTED = 130
_SHOWN = 10
# What a small image takes on its way, with the pieces it is cut into.
_LEAST_WORK = 2**26


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
            rich_help_panel=o.CODEC,
        ),
    ],
    device: o.Device = "auto",
    weights: o.Weights = None,
    random_weights: Annotated[
        bool,
        typer.Option(
            "--random-weights",
            help="Made weights, to try the way of a network without its own.",
            rich_help_panel=o.CODEC,
        ),
    ] = False,
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
            help="Of a Ray cluster, whose machines see archive and store at the same paths.",
            show_default=False,
            rich_help_panel=WORK,
        ),
    ] = "",
    gpus: Annotated[
        float,
        typer.Option(
            help="Cards each worker takes, or a part of one.", min=0, rich_help_panel=WORK
        ),
    ] = 0,
    batch: Annotated[
        int,
        typer.Option(
            help="Images of equal sides that are encoded at once; more than 1 pays on a GPU, and "
            "takes its share of what is read ahead.",
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
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Try again what failed before.", rich_help_panel=WORK),
    ] = False,
    moved: Annotated[
        bool,
        typer.Option(
            "--moved", help="The archive lies elsewhere than before.", rich_help_panel=WORK
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
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Encode every series of an archive exactly once. Interrupted? The same command goes on.

    Example: plica bulk encode archive/ -o archive.store --codec compact-4x1-3d --workers 4
    """  # fmt: skip
    _check_words(dtype, latent, weights, random_weights)
    preparing = asked_preparing(axis, fill_nonfinite, keep_outside, foreground, resample, pipeline)
    running = asked_running(tile, memory, device_memory, tiling, precision)
    room = running.pop("memory", None)
    if room is None and workers > 1 and not address:
        room = choose_memory(None) // workers  # they share what one would take
    order = Order(
        archive=archive.absolute(),
        store=out.absolute(),
        codec=codec,
        weights=RANDOM if random_weights else weights,
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
    import_arrow("encoding an archive")  # before it is looked through
    facts = {"kind": order.kind or "", "options": dict(order.options), "paths": keep_paths}
    loaded = load_codec(order)
    _check_room(loaded, order, workers)
    open_store(order.store, loaded, dtype, facts)  # type: ignore[arg-type]
    habits = Habits(
        shard_series,
        MOST_BYTES,
        retry_failed=retry_failed,
        moved=moved,
        lookers=os.cpu_count() or 1,
    )

    def hire() -> Crew:
        if workers == 1 and not address:
            return OwnProcess(order)
        return RayCrew(order, workers, address=address, gpus=gpus)

    manner = Manner(as_json, quiet)
    with progress(quiet=manner.silent) as bar:
        ran = encode_archive(order, hire, habits=habits, watcher=_watch(bar))
    raise typer.Exit(_report(order.store, ran, manner))


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


def _check_words(dtype: str, latent: str, weights: str | None, random_weights: bool) -> None:
    if dtype not in o.DTYPES:
        raise SettingsError(f"--dtype takes {', '.join(o.DTYPES)}, but got '{dtype}'")
    if latent and latent not in KINDS:
        raise SettingsError(f"--latent takes {', '.join(KINDS)}, but got '{latent}'")
    if weights and random_weights:
        raise SettingsError("--weights and --random-weights contradict each other: leave one out")


def _check_places(order: Order) -> None:
    store, archive = order.store.resolve(), order.archive.resolve()
    if store == archive or archive in store.parents or store in archive.parents:
        raise SettingsError(
            f"archive {order.archive} and store {order.store} lie within each other: the store "
            "would be looked through for images; choose a folder beside the archive"
        )


def _watch(bar: Any) -> Watcher:
    """A bar that counts series, first discovered and then encoded."""
    task = bar.add_task("looking through the archive", total=None)

    def looked(folders: int, files: int) -> None:
        bar.update(task, description=f"looking: {folders} folders, {files} files")

    def planned(waiting: int, done: int) -> None:
        bar.update(task, description="encoding", total=waiting + done, completed=done)

    def booked(made: Made) -> None:
        bar.advance(task, len(made.outcomes))

    def died(death: Death) -> None:
        bar.update(task, description="encoding (a worker died, and was replaced)")

    return Watcher(looked, planned, booked, died)


# -- what came of it -------------------------------------------------------------------------------


def _report(store: Path, ran: Ran, manner: Manner) -> int:
    with Ledger(store) as ledger:
        counts, changed = ledger.count(), ledger.count_changed()
        failures = list(ledger.failures())
        left_out = sum(1 for _ in ledger.left_out())
    code = EXIT_INTERRUPTED if ran.interrupted else EXIT_FAILED if failures else 0
    if manner.as_json:
        print_json(to_json(ran, counts, changed, left_out, failures))
        return code
    if not manner.quiet:
        print_table("Encoded", ("what", ""), [(k, v) for k, v in _rows(ran, counts) if v])
        _say_notes(ran, changed, left_out, len(failures))
    for _, path, reason in failures[:_SHOWN]:
        print_error(speak_shell(f"{path}: {reason}"))
    return code


def _rows(ran: Ran, counts: Mapping[str, int]) -> list[tuple[str, str]]:
    clock = ran.clock
    rate = ran.done / ran.wall if ran.wall else 0
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
        ("encoding", f"{ran.wall:.1f} s, {rate:.3g} series a second" if ran.wall else ""),
        ("workers that died", str(ran.deaths or "")),
        ("the codec worked", f"{100 * ran.share:.0f} % of the time" if ran.wall else ""),
        ("it waited for images", f"{clock.waiting:.1f} s" if ran.wall else ""),
        ("shards were written", f"{clock.writing:.1f} s" if ran.wall else ""),
        ("bottleneck", ran.bottleneck if ran.wall else ""),
    ]


def _say_notes(ran: Ran, changed: int, left_out: int, failed: int) -> None:
    if changed:
        print_note(f"{changed} series have changed since they were encoded: `plica bulk status`")
    if left_out:
        print_note(f"{left_out} files are no images: `plica bulk status --left-out` lists them")
    if failed > _SHOWN:
        print_note(f"{failed - _SHOWN} more failed: `plica bulk status` lists them")
    if failed:
        print_note("failed series are tried again with --retry-failed")
    if ran.interrupted:
        print_note("interrupted; the same command goes on")


def to_json(
    ran: Ran, counts: Mapping[str, int], changed: int, left_out: int,
    failures: list[tuple[str, str, str]],
) -> dict[str, Any]:  # fmt: skip
    """What a run did, for machines."""
    return {
        **counts,
        "changed": changed,
        "left_out": left_out,
        "run": {
            "encoded": ran.done - ran.failed,
            "failed": ran.failed,
            "shards": ran.shards,
            "image_bytes": ran.image_bytes,
            "shard_bytes": ran.shard_bytes,
            "deaths": ran.deaths,
            "workers": ran.workers,
            "looking_s": round(ran.looked, 3),
            "wall_s": round(ran.wall, 3),
            "seconds": vars(replace(ran.clock)),
            "share_of_codec": round(ran.share, 4),
            "bottleneck": ran.bottleneck if ran.wall else "",
            "interrupted": ran.interrupted,
        },
        "failures": [{"key": k, "path": p, "reason": r} for k, p, r in failures],
    }
