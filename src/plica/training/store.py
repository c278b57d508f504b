"""The front door to a store of latents for training: `plica.open_store`, which waits with torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from plica.cohort import Cohort
    from plica.training.store_labels import Labels
    from plica.training.stored import StoredLatents


def open_store(
    path: str | PathLike[str],
    *,
    columns: Sequence[str] = (),
    labels: Labels | Cohort | str | PathLike[str] | None = None,
    dims: Literal[2, 3] = 3,
    dtype: Literal["float32", "stored"] = "float32",
    transform: Callable[[dict[str, Any]], Any] | None = None,
) -> StoredLatents:
    """A store of latents as a PyTorch dataset.

    Its items are dicts: "codes", a tensor (code channel, i, j, k); "key"; the index's columns that
    were asked for; and the labels. `.stream()` gives the same items in a shuffled order shared out
    among ranks and workers, `.as_monai()` and `.as_torchio()` as these libraries want them,
    `.store` the latents themselves with their way back to the patient. Items of several sizes
    become batches by `plica.training.store_sizes`.

    Args:
        path: The folder `plica bulk encode` wrote.
        columns: Of the index, to stand in each item; see `plica.formats.store_index.COLUMNS`.
        labels: A table or cohort whose column "path" is that of the encoded images, or a
            `plica.training.store_labels.Labels` that says more.
        dims: 2 leaves out the last axis, which must then be one code thick.
        dtype: Of codes: "stored" leaves float16 and bfloat16 as they are.
        transform: What is to be done to each item at last.

    Raises:
        UnreadableFile: The folder is no store.
        LatentError: The store is damaged.
        InputError: A column does not exist, or labels do not fit.
        MissingExtra: pyarrow is needed.

    Examples:
        >>> from torch.utils.data import DataLoader
        >>> data = plica.open_store("archive.store", labels="labels.csv")
        >>> loader = DataLoader(data.stream(seed=1), batch_size=2)  # num_workers=4 for a large one
        >>> next(iter(loader))["codes"].shape
        torch.Size([2, 1, 8, 8, 1])
    """
    from plica.training.store_labels import Labels
    from plica.training.stored import Form, StoredLatents

    asked = labels if labels is None or isinstance(labels, Labels) else Labels(labels)
    form = Form(tuple(columns), dims, dtype, transform)
    return StoredLatents.open(path, form, asked)
