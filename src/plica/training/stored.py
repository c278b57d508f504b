"""The latents of a store as a PyTorch dataset: any item by its number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from operator import index
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from plica.errors import InputError, MissingExtra, SettingsError
from plica.formats.codes import Packed, unpack
from plica.formats.store import Store
from plica.formats.store_index import check_columns
from plica.training.store_labels import Joined, Labels, Value, join

if TYPE_CHECKING:
    import pyarrow

    from plica.training.streamed import StreamedLatents

Item = dict[str, Any]
Container = Literal["tensor", "monai", "torchio"]
CODES, KEY, AFFINE = "codes", "key", "codes_affine"
_EXTRAS = {"monai": "cad", "torchio": "interop"}


# -- items ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Form:
    """What an item looks like.

    Args:
        columns: Of the index, that stand in it.
        dims: 2 leaves out the last axis of the codes.
        dtype: "float32", or "stored": float16 and bfloat16 stay so.
        transform: Done to each item at last.
        container: What holds the codes.

    Raises:
        InputError: The index has no such column.
        SettingsError: There is no such number of axes or type, or the container has four axes.
        MissingExtra: The container's library is needed.
    """

    columns: tuple[str, ...] = ()
    dims: int = 3
    dtype: str = "float32"
    transform: Callable[[Item], Any] | None = None
    container: Container = "tensor"

    def __post_init__(self) -> None:
        check_columns(self.columns)
        if self.dims not in {2, 3} or self.dtype not in {"float32", "stored"}:
            raise SettingsError(
                f"dims is 2 or 3 and dtype 'float32' or 'stored', but they are {self.dims} and "
                f"{self.dtype!r}"
            )
        if self.container == "torchio" and self.dims == 2:
            raise SettingsError("TorchIO's images have four axes: open the store with dims=3")
        if self.container != "tensor":
            _import(self.container)  # so that a missing library is said before any work

    @property
    def needed(self) -> tuple[str, ...]:
        """The index's columns that items are made from."""
        affine = () if self.container == "tensor" else (AFFINE,)
        return tuple(dict.fromkeys((KEY, *self.columns, *affine)))

    def make(self, packed: Packed, row: Mapping[str, Any], labels: Mapping[str, Value]) -> Any:
        """The item of stored codes, a row of the index and labels."""
        codes = to_tensor(packed, row[KEY], stored=self.dtype == "stored")
        if self.dims == 2:
            if codes.shape[-1] != 1:
                raise InputError(
                    f"the codes of {row[KEY]} are {tuple(codes.shape)}: a volume's; open the store "
                    "with dims=3"
                )
            codes = codes[..., 0]
        item: Item = {CODES: self._contain(codes, row), KEY: row[KEY]}
        item |= {column: row[column] for column in self.columns}
        item |= {name: _narrow(value) for name, value in labels.items()}
        if self.container == "torchio":
            item = _import("torchio").Subject(item)
        return self.transform(item) if self.transform else item

    def _contain(self, codes: Tensor, row: Mapping[str, Any]) -> Any:
        if self.container == "tensor":
            return codes
        if row[AFFINE] is None:
            raise InputError(
                f"the latent {row[KEY]} is a stream of bytes, which have no place in the patient; "
                "it cannot become an image"
            )
        affine = np.array(row[AFFINE], np.float64).reshape(4, 4)
        if self.container == "monai":
            return _import("monai").MetaTensor(codes, affine=affine)
        return _import("torchio").ScalarImage(tensor=codes, affine=affine)


def _narrow(value: Value) -> Any:
    """A float of single precision, as codes are: batches of Python's own would be float64."""
    return np.float32(value) if type(value) is float else value


def to_tensor(packed: Packed, name: str, *, stored: bool = False) -> Tensor:
    """Stored codes as a tensor of its own memory.

    Args:
        name: For messages.
        stored: Leave float16 and bfloat16 as they are; int8 and its scales become float32 always.

    Examples:
        >>> from plica.formats.codes import pack
        >>> to_tensor(pack(latent.codes, "float16"), "made", stored=True).dtype
        torch.float16
    """
    if packed.dtype == "I8":
        return torch.from_numpy(unpack(packed, name))
    little = np.array(packed.array, packed.array.dtype.newbyteorder("="))
    codes = torch.from_numpy(little)
    if packed.dtype == "BF16":
        codes = codes.view(torch.bfloat16)
    return codes if stored or packed.dtype == "U8" else codes.float()


def _import(container: str) -> Any:
    module = {"monai": "monai.data.meta_tensor", "torchio": "torchio"}[container]
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f"a store's items for {container}", container, _EXTRAS[container]
        ) from error


# -- the dataset ---------------------------------------------------------------------------------


class StoredLatents(Dataset[Any]):
    """Latents by number; see `plica.open_store`.

    From the first item on it holds some 40 bytes for each latent of the store, and the columns that
    stand in items; after `load`, workers that are forked share them. Samplers shuffle it and
    `torch.utils.data.DistributedSampler` shares it out; `stream` does both and holds less.

    Args:
        store: Where they are.
        form: What an item looks like.
        labels: Of the latents it consists of; None: of all, without labels.

    Raises:
        InputError: A label has the name of something else in an item.
    """

    def __init__(self, store: Store, form: Form, labels: Joined | None = None) -> None:
        self.store = store
        self.form = form
        self.labels = labels
        self._tables: list[pyarrow.Table] | None = None
        if labels is not None:
            taken = {CODES, KEY, *form.columns} & set(labels.values)
            if taken:
                raise InputError(
                    f"labels and index both have {', '.join(sorted(taken))}; choose columns with "
                    "Labels(kinds=…), or fewer of the index's"
                )

    @classmethod
    def open(
        cls, path: str | PathLike[str], form: Form, labels: Labels | None = None
    ) -> StoredLatents:
        """Open a store and join its labels."""
        store = Store.open(path)
        return cls(store, form, None if labels is None else join(labels, store))

    def __len__(self) -> int:
        return len(self.store) if self.labels is None else len(self.labels.numbers)

    def __getitem__(self, at: Any) -> Any:
        try:
            at = index(at)
        except TypeError:
            raise InputError(
                f"items are asked for by number, from 0 to {len(self) - 1}, but got {at!r}: the "
                "codes of a key are `data.store.codes(key)`, its latent `data.store.read(key)`; "
                "for several items take torch.utils.data.Subset(data, numbers)"
            ) from None
        if not -len(self) <= at < len(self):
            raise IndexError(f"there is no item {at} among {len(self)}")
        at %= len(self)
        number = at if self.labels is None else int(self.labels.numbers[at])
        shard, row = self.store.places.locate(number)
        table = self._load()[shard]
        facts = {name: table.column(name)[row].as_py() for name in self.form.needed}
        return self.form.make(self.store.packed(number), facts, self.labels_of(at))

    def __iter__(self) -> Iterator[Any]:
        return (self[at] for at in range(len(self)))

    def load(self) -> StoredLatents:
        """Read now what the first item would be waited for, to be shared with forked workers."""
        self.store.places  # noqa: B018 - a property that is kept
        self._load()
        return self

    def _load(self) -> list[pyarrow.Table]:
        if self._tables is None:
            self._tables = list(self.store.tables(self.form.needed))
        return self._tables

    def labels_of(self, at: int) -> dict[str, Value]:
        """The labels of an item."""
        if self.labels is None:
            return {}
        return {name: values[at] for name, values in self.labels.values.items()}

    def rows_of_shards(self) -> list[NDArray[np.int64]] | None:
        """Which rows of each shard are items; None: all of all."""
        if self.labels is None:
            return None
        ends = np.cumsum(np.array((0, *self.store.counts), np.int64))
        cuts = np.searchsorted(self.labels.numbers, ends)
        return [
            self.labels.numbers[begin:end] - first
            for begin, end, first in zip(cuts[:-1], cuts[1:], ends[:-1], strict=True)
        ]

    # -- other forms -------------------------------------------------------------------------

    def stream(
        self, *, seed: int = 0, shuffle: bool = True, buffer: int = 8192, even: bool = False
    ) -> StreamedLatents:
        """The same items as an iterable dataset, shared out among ranks and workers.

        Args:
            seed: Of the order.
            shuffle: Whether shards are taken in another order each epoch, and items shuffled.
            buffer: How many items are shuffled among each other.
            even: Give each worker of each rank as many, and leave out the few left over, so that
                ranks that wait for each other end together.
        """
        from plica.training.streamed import StreamedLatents

        return StreamedLatents(self, seed=seed, shuffle=shuffle, buffer=buffer, even=even)

    def as_monai(self) -> StoredLatents:
        """The same, with codes as MONAI MetaTensors on the latents' own grids.

        Raises:
            MissingExtra: MONAI is needed.
        """
        return StoredLatents(self.store, replace(self.form, container="monai"), self.labels)

    def as_torchio(self) -> StoredLatents:
        """The same, as TorchIO Subjects with codes as ScalarImages on the latents' own grids.

        Raises:
            MissingExtra: TorchIO is needed.
            SettingsError: The store was opened with dims=2.
        """
        return StoredLatents(self.store, replace(self.form, container="torchio"), self.labels)

    def columns_of(self, shard: int, columns: Sequence[str]) -> Mapping[str, list[Any]]:
        """Columns of one shard's index."""
        name = self.store.shards[shard]
        table = next(iter(self.store.tables(columns, shards=(name,))))
        return {column: table.column(column).to_pylist() for column in columns}
