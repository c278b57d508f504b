"""The latents of a store as an iterable dataset: shuffled, shared out, to be resumed anywhere."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed
from torch.utils.data import IterableDataset, get_worker_info

from plica.errors import SettingsError
from plica.formats import store_places
from plica.formats.store_places import Place
from plica.training.store_order import Order, Span

if TYPE_CHECKING:
    from plica.training.stored import StoredLatents


class StreamedLatents(IterableDataset[Any]):
    """A stream of a store's items; see `StoredLatents.stream`.

    Each rank and each worker of its loader meets other items, and together they meet each once per
    epoch. Which ones and in which order depends on seed, epoch, and how many ranks and workers
    there are, and on nothing else. It holds the index of the few shards it is at, and no places.

    The rank is that of `torch.distributed`, or else of the environment (RANK, WORLD_SIZE), when
    the stream is made.

    Args:
        source: Whose items.
        seed: Of the order.
        shuffle: Whether there is any.
        buffer: How many items are shuffled among each other.
        even: Whether each worker of each rank has as many items as the others.

    Examples:
        >>> from torch.utils.data import DataLoader
        >>> stream = plica.open_store("archive.store").stream(seed=1)
        >>> for epoch in range(2):
        ...     stream.set_epoch(epoch)
        ...     print(sum(len(batch["key"]) for batch in DataLoader(stream, batch_size=4)))
        6
        6
    """

    def __init__(
        self, source: StoredLatents, *, seed: int, shuffle: bool, buffer: int, even: bool
    ) -> None:
        self.source = source
        self.even = even
        self.rank, self.world = find_rank()
        self._rows = source.rows_of_shards()
        counts = source.store.counts if self._rows is None else tuple(map(len, self._rows))
        self.order = Order(counts, seed, shuffle, buffer)
        # Epoch, batches done, their size: in memory that workers share, who may outlive an epoch.
        self._at = torch.tensor([0, 0, 1], dtype=torch.int64)
        self._at.share_memory_()  # type: ignore[no-untyped-call]

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass; to be called before each."""
        self.resume(epoch=epoch, batches=0)

    def resume(self, *, epoch: int, batches: int, batch_size: int = 1) -> None:
        """Begin the next pass in the middle: after so many batches this rank's loader has given.

        With as many ranks and workers as before, the batches that follow are those that would have
        followed.

        Args:
            epoch: Of the pass that was broken off.
            batches: How many it gave to this rank.
            batch_size: The loader's; 1 where there is no loader.

        Raises:
            SettingsError: A number is negative.
        """
        if min(epoch, batches, batch_size - 1) < 0:
            raise SettingsError(
                f"epoch {epoch}, {batches} batches and {batch_size} a batch are no position"
            )
        self._at.copy_(torch.tensor([epoch, batches, batch_size]))

    def count_batches(self, batch_size: int, *, workers: int = 0, drop_last: bool = False) -> int:
        """How many batches this rank's loader gives in a pass from the beginning."""
        parts = max(1, workers)
        sizes = [len(self._span(worker, parts)) for worker in range(parts)]
        return sum(size // batch_size if drop_last else -(-size // batch_size) for size in sizes)

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        epoch, batches, size = self._at.tolist()
        # Loaders ask workers in turn and begin with the first: it takes the turn that is due.
        worker = (worker + batches) % workers
        span = self._span(worker, workers)
        skip = min(len(span), size * -(-(batches - worker) // workers)) if batches > worker else 0
        yield from self._items(epoch, span, skip)

    def _span(self, worker: int, workers: int) -> Span:
        mine = self.order.whole.cut(self.rank, self.world, even=self.even)
        return mine.cut(worker, workers, even=self.even)

    def _items(self, epoch: int, span: Span, skip: int) -> Iterator[Any]:
        source, store = self.source, self.source.store
        first = self._first_items()
        indices: OrderedDict[int, Mapping[str, list[Any]]] = OrderedDict()
        columns = tuple(dict.fromkeys((*source.form.needed, *store_places.COLUMNS)))
        most = self._shards_of_a_block()
        for shard, at in self.order.walk(epoch, span, skip):
            if shard not in indices:
                indices[shard] = source.columns_of(shard, columns)
                while len(indices) > most:
                    indices.popitem(last=False)
            indices.move_to_end(shard)
            row = at if self._rows is None else int(self._rows[shard][at])
            facts = {name: values[row] for name, values in indices[shard].items()}
            place = Place(
                shard, facts["dtype"], tuple(facts["codes_shape"]), facts["codes_at"],
                facts["scale_at"],
            )  # fmt: skip
            packed = store.packed_at(store.shards[shard], place)
            labels = source.labels_of(first[shard] + at) if first else {}
            yield source.form.make(packed, facts, labels)

    def _first_items(self) -> list[int]:
        """Number of each shard's first item among the labelled; nothing without labels."""
        if self._rows is None:
            return []
        firsts = [0]
        for rows in self._rows:
            firsts.append(firsts[-1] + len(rows))
        return firsts

    def _shards_of_a_block(self) -> int:
        """More shards than one block of the order can touch."""
        counts = sorted(count for count in self.order.counts if count)
        touched, room = 2, self.order.buffer
        for count in counts:
            if room <= 0:
                break
            touched, room = touched + 1, room - count
        return touched


def find_rank() -> tuple[int, int]:
    """This process's rank and how many there are.

    Raises:
        SettingsError: The environment's RANK and WORLD_SIZE are no such numbers.
    """
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    said = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    if not all(word.isdecimal() for word in said) or not int(said[0]) < int(said[1]):
        raise SettingsError(
            f"RANK={said[0]} and WORLD_SIZE={said[1]} are no rank; set both as torchrun does, or "
            "neither"
        )
    return int(said[0]), int(said[1])
