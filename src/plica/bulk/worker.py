"""A worker: a shard's series read ahead, encoded one after another, and written together."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace

from plica.bulk.marker import Marker
from plica.bulk.reading import read_item, sign
from plica.bulk.task import AT_ONCE, Clock, Item, Made, Order, Outcome, Task, Unbegun
from plica.codecs.catalogue import load
from plica.codecs.codec import Codec
from plica.errors import LatentError, OutputError, PlicaError, UnreadableFile
from plica.formats.latent_record import compose
from plica.formats.store import Store
from plica.formats.store_writing import ShardWriter
from plica.formats.terms import BURNED_IN
from plica.image import Image
from plica.latent import Latent

_WIDTHS = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
_NAMES = 600  # about what a latent takes beside its numbers and its record
CHANGED = "its files changed while they were read; run again to encode what they are now"


@dataclass(frozen=True)
class _Encoded:
    """A latent that waits for its shard."""

    latent: Latent
    row: dict[str, object]
    outcome: Outcome


class Worker:
    """Makes shards, one after another: while one is written, the next is encoded already.

    It may be called from several threads. The codec is one shard's until all of it is encoded, so
    that a death costs one shard; the images that come first in the next are read meanwhile.

    Args:
        order: How series are encoded.
        codec: Loaded already; else it is loaded here.

    Raises:
        PlicaError: The codec cannot be loaded, or the store not be opened.
    """

    def __init__(self, order: Order, codec: Codec | None = None) -> None:
        self.order = order
        self.codec = codec or load_codec(order)
        self.store = Store.open(order.store)
        self._turn = threading.Lock()
        self._abandoned = threading.Event()
        self._halted = threading.Event()
        # Volumes are led through a network one by one: those read for a batch would only be held.
        flat = getattr(getattr(self.codec, "network", None), "dims", 0) == 2
        self._batch = order.batch if flat else 1
        self._words: int | None = None  # bytes of a latent's record
        self._unfolding = 2.0  # bytes of an image for each of its files, at most, so far

    def abandon(self) -> None:
        """Begin no series more: tasks that are not done end with an error, and write no shard."""
        self._abandoned.set()

    def halt(self) -> None:
        """Begin no shard more: tasks of which nothing is encoded yet are given back."""
        self._halted.set()

    def run(self, task: Task) -> Made | Unbegun:
        """Encode a task's series and write its shard.

        A series that cannot be encoded fails alone. A worker that halts gives back what it has not
        begun.

        Raises:
            OutputError: The shard cannot be written: nothing of it is left, and no series is to
                blame.
        """
        if self._halted.is_set():
            return Unbegun(task.shard)
        marker = Marker(self.order.store, task.shard)
        try:
            return self._run(task, marker)
        finally:
            marker.close()

    def _run(self, task: Task, marker: Marker) -> Made | Unbegun:
        clock = Clock()
        done = self._encode(task, marker, clock)
        if done is None:
            return Unbegun(task.shard)
        encoded, outcomes = done
        begun = time.perf_counter()
        made = self._write(task, encoded, outcomes)
        clock.writing += time.perf_counter() - begun
        return replace(made, outcomes=tuple(outcomes[item.key] for item in task.items), clock=clock)

    def _encode(
        self, task: Task, marker: Marker, clock: Clock
    ) -> tuple[dict[str, _Encoded], dict[str, Outcome]] | None:
        """What came of each series; None where the worker halts and had not begun."""
        encoded: dict[str, _Encoded] = {}
        outcomes: dict[str, Outcome] = {}
        # Closed here: left to be collected, readers could be waited for by one of themselves.
        with ExitStack() as turn, closing(self._read_batches(task, marker, clock)) as coming:
            for number, some in enumerate(coming):
                if number == 0:  # its first images are read
                    turn.enter_context(self._turn)
                    if self._halted.is_set():
                        return None
                    marker.take_turn()
                for done in self._attempt_together(some, clock):
                    key = done.key if isinstance(done, Outcome) else done.outcome.key
                    marker.end(key, 0 if isinstance(done, Outcome) else self._weigh(done))
                    if isinstance(done, Outcome):
                        outcomes[key] = done
                    else:
                        encoded[key], outcomes[key] = done, done.outcome
        return encoded, outcomes

    def _read_batches(
        self, task: Task, marker: Marker, clock: Clock
    ) -> Generator[list[tuple[Item, Image | PlicaError]]]:
        """Whoever is suspected of having killed a worker first and alone: nothing is lost then."""
        alone = [item for item in task.items if item.suspect]
        others = [item for item in task.items if not item.suspect]
        for items, readers in ((alone, 0), (others, self.order.readers)):
            with closing(self._read_ahead(items, readers, marker, clock)) as coming:
                yield from self._gather(coming, 1 if readers == 0 else self._batch)

    def _weigh(self, done: _Encoded) -> int:
        """About how many bytes of a shard and its index a latent takes; the first one is tried."""
        latent = done.latent
        numbers = latent.codes.size * _WIDTHS[self.store.dtype]
        numbers += sum(one.nbytes for each in latent.trail.records for one in each.arrays.values())
        if self._words is None:
            with suppress(PlicaError):
                composed = compose(latent, self.store.dtype, codec_apart=True)
                self._words = len(composed.record) + _NAMES
        return numbers + (self._words or _NAMES)

    # -- reading -----------------------------------------------------------------------------

    def _read_ahead(
        self, items: Sequence[Item], readers: int, marker: Marker, clock: Clock
    ) -> Generator[tuple[Item, Image | PlicaError]]:
        """Each item with its image, read while the ones before it are encoded."""
        if readers == 0 or len(items) < 2:
            for item in items:
                marker.begin(item.key)
                yield item, self._read(item, clock)
            return
        with ThreadPoolExecutor(readers, thread_name_prefix="reading") as pool:
            waiting: list[tuple[Item, Future[Image | PlicaError]]] = []
            unread = list(items)
            while unread or waiting:
                while unread and self._has_room(waiting, unread[0]):
                    item = unread.pop(0)
                    marker.begin(item.key)
                    waiting.append((item, pool.submit(self._read, item, clock)))
                item, coming = waiting.pop(0)
                begun = time.perf_counter()
                image = coming.result()
                clock.waiting += time.perf_counter() - begun
                yield item, image

    def _has_room(
        self, waiting: Sequence[tuple[Item, Future[Image | PlicaError]]], item: Item
    ) -> bool:
        """Whether one more image may be read ahead; how large it is is known only afterwards."""
        if not waiting:
            return True
        held = sum(one.bytes for one, _ in waiting) + item.bytes
        room = self.order.ahead_bytes / AT_ONCE
        fits = held * self._unfolding <= (room if self._batch == 1 else room / 2)
        return fits and len(waiting) < self.order.ahead

    def _read(self, item: Item, clock: Clock) -> Image | PlicaError:
        begun = time.perf_counter()
        path = self.order.archive / item.path
        try:
            if sign(path, item.files) != item.signature:
                return UnreadableFile(CHANGED)
            image = read_item(self.order.archive, item, max_bytes=self.order.max_bytes)
            # Read whole, it may still be half of one state and half of another.
            changed = sign(path, item.files) != item.signature
            unfolding = image.pixels.nbytes / max(1, item.bytes)
            self._unfolding = max(self._unfolding, unfolding)
            return UnreadableFile(CHANGED) if changed else image
        except PlicaError as error:
            return error
        except (OSError, MemoryError) as error:
            return UnreadableFile(str(error) or "there is not enough memory")
        finally:
            clock.reading += time.perf_counter() - begun

    # -- encoding ----------------------------------------------------------------------------

    def _gather(
        self, coming: Iterator[tuple[Item, Image | PlicaError]], most: int
    ) -> Iterator[list[tuple[Item, Image | PlicaError]]]:
        """At most so many at a time, which hold at most half of what may be read ahead."""
        some: list[tuple[Item, Image | PlicaError]] = []
        held = 0
        for item, image in coming:
            if self._abandoned.is_set():
                raise OutputError("the run was ended before this shard was done")
            some.append((item, image))
            held += image.pixels.nbytes if isinstance(image, Image) else 0
            if len(some) >= most or held > self.order.ahead_bytes / AT_ONCE / 2:
                yield some
                some, held = [], 0
        if some:
            yield some

    def _attempt_together(
        self, some: Sequence[tuple[Item, Image | PlicaError]], clock: Clock
    ) -> Iterator[_Encoded | Outcome]:
        """Encode images in one go; each by itself where there is one, or one cannot be encoded."""
        fine = [(item, image) for item, image in some if isinstance(image, Image)]
        together = getattr(self.codec, "encode_together", None)
        latents: list[Latent] = []
        begun = time.perf_counter()
        if together is not None and len(fine) > 1:
            with suppress(PlicaError, MemoryError):
                latents = together([image for _, image in fine], kind=self.order.kind)
            clock.encoding += time.perf_counter() - begun
        if not latents:
            yield from (self._attempt(item, image, clock) for item, image in some)
            return
        seconds = time.perf_counter() - begun
        for (item, image), latent in zip(fine, latents, strict=True):
            yield self._keep(item, image, latent, seconds / len(fine))
        unread = [(item, image) for item, image in some if not isinstance(image, Image)]
        yield from (self._attempt(item, image, clock) for item, image in unread)

    def _attempt(self, item: Item, image: Image | PlicaError, clock: Clock) -> _Encoded | Outcome:
        if isinstance(image, PlicaError):
            return Outcome(item.key, str(image), changed=str(image) == CHANGED)
        begun = time.perf_counter()
        try:
            latent = self.codec.encode(image, kind=self.order.kind)  # type: ignore[arg-type]
        except (PlicaError, MemoryError) as error:
            return Outcome(item.key, str(error) or "there is not enough memory")
        finally:
            seconds = time.perf_counter() - begun
            clock.encoding += seconds
        return self._keep(item, image, latent, seconds)

    def _keep(self, item: Item, image: Image, latent: Latent, seconds: float) -> _Encoded:
        row: dict[str, object] = {
            "source": item.path if self.order.keep_paths else "",
            "source_hash": image.provenance.content,
        }
        outcome = Outcome(
            item.key, seconds=seconds, image_bytes=image.pixels.nbytes,
            burned_in=BURNED_IN in image.provenance.notes,
        )  # fmt: skip
        return _Encoded(latent, row, outcome)

    # -- writing -----------------------------------------------------------------------------

    def _write(
        self, task: Task, encoded: dict[str, _Encoded], outcomes: dict[str, Outcome]
    ) -> Made:
        # A driver that died may have left it, or a worker that outlived its driver.
        self.store.discard(task.shard)
        with ShardWriter(self.store, task.shard) as writer:
            for key in sorted(encoded):
                try:
                    writer.add(key, encoded[key].latent, encoded[key].row)
                except (OutputError, LatentError) as error:
                    if writer.closed:  # the disk is to blame, and not the series
                        raise
                    outcomes[key] = Outcome(key, str(error))
            broken = task.whole and any(one.error for one in outcomes.values())
            if broken or not len(writer):
                return Made(task.shard, ())
            meta = writer.close()
        return Made(task.shard, (), meta.bytes, meta.index_sha256)


def load_codec(order: Order) -> Codec:
    """The codec of an order.

    Raises:
        PlicaError: It is not known, or cannot be loaded.
    """
    if order.threads:
        import torch

        torch.set_num_threads(order.threads)
    codec = load(order.codec, order.weights, order.device, **order.options)
    from plica.codecs.framecodec import FrameCodec  # torch is there by now
    from plica.codecs.networkcodec import NetworkCodec

    if isinstance(codec, NetworkCodec | FrameCodec):  # others work in what an image takes
        running = replace(codec.running, memory=order.memory, device_memory=order.device_memory)
        codec = replace(codec, running=running)
        (codec.planner if isinstance(codec, NetworkCodec) else codec).check()
    return codec
