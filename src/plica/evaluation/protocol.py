"""Protocol: which images are judged, how they are drawn and cut, and what was published."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from plica import settings
from plica.errors import SettingsError, UnknownName
from plica.evaluation.datasets import DATASETS, DataSet, find_dataset

Triple = tuple[int, int, int]
Size = tuple[int, ...]

_PACKAGE = Path(__file__).resolve().parent.parent
# In a wheel the protocols lie inside the package; in a checkout, beside `src`.
FOLDERS = (_PACKAGE / "protocols", _PACKAGE.parent.parent / "protocols")
DEFAULT = "reconstruction"


@dataclass(frozen=True)
class Crop:
    """A window around the middle of a volume.

    Args:
        voxels: Towards the patient's right/left, front/back and head/feet, however the volume is
            stored; columns, rows and 1 of a picture.
        smaller: What happens to an image with a shorter side: its whole side is taken, or the
            image is refused.
    """

    voxels: Triple
    smaller: Literal["take what is there", "refuse"] = "take what is there"


@dataclass(frozen=True)
class Resize:
    """Bicubic interpolation to another number of pixels over the same field of view.

    Args:
        shape: Pixels along i, j, k of a picture; of a volume, along right/left, front/back and
            head/feet. The aspect ratio is not kept. () keeps them.
        longest: Pixels of the longest side, with the aspect ratio kept; 0 keeps them.
    """

    shape: Size = ()
    longest: int = 0


@dataclass(frozen=True)
class Sample:
    """How many images of each group, and how often they are drawn anew.

    Args:
        images: Of each group in each draw; 0 takes all.
        draws: How many; each has a seed of its own.
        seed: Of the first draw; the next ones follow.
        fewer: What happens when a group has fewer images: all are taken, in one draw, or the
            cohort is refused.
    """

    images: int = 0
    draws: int = 1
    seed: int = 0
    fewer: Literal["take all", "refuse"] = "take all"


@dataclass(frozen=True)
class Group:
    """One kind of image: what a table has a column for.

    Args:
        name: The column's heading.
        data: The data sets it is drawn from: a case belongs to it when its label `dataset` names
            one of them.
        where: Labels that also make a case one of it, each with its values: so can a cohort of
            other images be judged by the same protocol.
        task: The task of `evaluation.tasks` it is, for probes.
        dims: 2 for pictures, 3 for volumes; 0 takes the protocol's.
        sample: How its images are drawn; None takes the protocol's.
        crop: What is cut out; None takes whole images.
        resize: What it is interpolated to, after the crop; None keeps the pixels.
        window: Values (low, high) that are clipped to, in the unit of absolute values (HU); then
            high − low is the data range. () clips nothing.
        boxes: Label that names boxes (`selection.parse_boxes`); metrics then look inside them
            alone. "" looks everywhere.
    """

    name: str
    data: tuple[str, ...] = ()
    where: dict[str, tuple[str, ...]] = field(default_factory=dict)
    task: str = ""
    dims: Literal[0, 2, 3] = 0
    sample: Sample | None = None
    crop: Crop | None = None
    resize: Resize | None = None
    window: tuple[float, ...] = ()
    boxes: str = ""


@dataclass(frozen=True)
class Probe:
    """How a classifier is trained on latents.

    Args:
        network: The classifier, as the table of probes calls it.
        training: Whether the last layer alone is trained, or the whole network.
        epochs: Passes over the training images.
        batch: Images per step.
        batch_full: Where it differs, for full-resolution images; 0 takes `batch`.
        rate: Learning rate of AdamW.
        seeds: Trainings, each with a seed of its own.
    """

    network: str
    training: Literal["linear", "full"] = "linear"
    epochs: int = 100
    batch: int = 256
    batch_full: int = 0
    rate: float = 1e-4
    seeds: int = 3


@dataclass(frozen=True)
class Published:
    """A row of the paper's table.

    Args:
        method: As the paper calls it.
        factor: f as printed: over the area or volume (MedVAE), or per axis (the precursor).
        channels: Of the code.
        codec: plica's codec of the same method and size; "" where there is none.
        values: By group and metric: the mean, and its spread where the paper gives one.
    """

    method: str
    factor: int
    channels: int
    values: dict[str, dict[str, tuple[float, ...]]]
    codec: str = ""

    @property
    def label(self) -> str:
        """What tells this row from the others."""
        return f"{self.method}, f = {self.factor}, C = {self.channels}"


@dataclass(frozen=True)
class Protocol:
    """One way of judging codecs, versioned: equal versions give numbers that can be compared.

    Args:
        name: As its file is called.
        version: Grows whenever numbers would change.
        title: One sentence.
        kind: Whether images are reconstructed, or a classifier is trained on latents.
        paper: Whose table it is; "" for plica's own.
        table: Which one.
        dims: 2 for pictures, 3 for volumes, 0 for both.
        metrics: Of each pair of images, as in the table `METRICS`; for probes, of each task.
        set_metrics: Between the set of sources and the set of decoded images.
        groups: Kinds of images; () makes one of each value of `group_by`.
        group_by: The label that then tells the kinds apart; without it there is one kind.
        splits: Splits it may be run on, the first that a cohort has is taken.
        sample: How images are drawn.
        value_range: What counts as the full range of values: "unit" as in
            `metrics.choose_data_range`; "window or own" is high − low of the group's window, else
            greatest − least of the whole image before anything is cut from it.
        probe: How a classifier is trained, for probes.
        datasets: Data sets its groups are drawn from that plica does not know (`datasets`).
        published: What the paper reports.
        notes: What the paper leaves open, and what is done here.

    Raises:
        SettingsError: A value is out of its range or two parts do not fit each other.
    """

    name: str
    version: int
    title: str
    metrics: tuple[str, ...]
    dims: Literal[0, 2, 3] = 0
    kind: Literal["reconstruction", "probe"] = "reconstruction"
    paper: str = ""
    table: str = ""
    set_metrics: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    group_by: str = ""
    splits: tuple[str, ...] = ("test", "dev-test", "validation")
    sample: Sample = field(default_factory=Sample)
    value_range: Literal["unit", "window or own"] = "unit"
    probe: Probe | None = None
    datasets: tuple[DataSet, ...] = ()
    published: tuple[Published, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for fault in _faults(self):
            raise SettingsError(f"the protocol {self.name}: {fault}")

    def group(self, name: str) -> Group:
        """A group by its name; one by `group_by` has nothing of its own.

        Raises:
            UnknownName: There is no such group.
        """
        if not self.groups:
            return Group(name)
        for group in self.groups:
            if group.name == name:
                return group
        names = [group.name for group in self.groups]
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        advice = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(names)}"
        raise UnknownName(f"{self.name} has no group '{name}'; {advice}")

    def sample_of(self, group: str) -> Sample:
        """How a group's images are drawn."""
        return self.group(group).sample or self.sample

    def dims_of(self, group: str) -> int:
        """2 for pictures, 3 for volumes, 0 for both."""
        return self.group(group).dims or self.dims

    def dataset(self, name: str) -> DataSet:
        """A data set by its name: one of the protocol's own, or one plica knows.

        Raises:
            UnknownName: There is no such data set.
        """
        own = {dataset.name: dataset for dataset in self.datasets}
        return own[name] if name in own else find_dataset(name)

    def published_means(self) -> dict[str, dict[str, dict[str, float]]]:
        """What the paper reports, by group, row and metric.

        A row is called after plica's codec of the same method, where there is one.
        """
        means: dict[str, dict[str, dict[str, float]]] = {}
        for row in self.published:
            for group, values in row.values.items():
                found = {metric: numbers[0] for metric, numbers in values.items()}
                means.setdefault(group, {})[row.codec or row.label] = found
        return means


@dataclass(frozen=True)
class Listed:
    """A protocol that comes with plica, as a list shows it."""

    name: str
    path: Path
    protocol: Protocol


def list_protocols() -> tuple[Listed, ...]:
    """The protocols that come with plica, by name.

    Examples:
        names = [listed.name for listed in list_protocols()]
    """
    return tuple(Listed(path.stem, path, read_protocol(path)) for path in _shipped())


def read_protocol(name: str | Path) -> Protocol:
    """Read a protocol, one of plica's by name or any TOML file by path, strictly.

    Raises:
        UnknownName: No protocol comes with plica under that name, and no such file is there.
        SettingsError: A setting is unknown, missing, of the wrong kind or out of range.

    Examples:
        read_protocol("medvae-table-2").metrics
    """
    path = Path(name)
    if path.suffix != ".toml" and len(path.parts) <= 1:
        path = _find(str(name))
    elif not path.is_file():
        raise UnknownName(f"no protocol at {path}; `plica evaluate protocols` lists those of plica")
    return settings.read(Protocol, path)


def _shipped() -> list[Path]:
    folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
    return sorted(folder.glob("*.toml"), key=lambda path: path.stem) if folder else []


def _find(name: str) -> Path:
    paths = {path.stem: path for path in _shipped()}
    if name in paths:
        return paths[name]
    near = difflib.get_close_matches(name, paths, n=3, cutoff=0.5)
    if near:
        raise UnknownName(f"no protocol '{name}'; did you mean {' or '.join(near)}?")
    raise UnknownName(
        f"no protocol '{name}'; there are: {', '.join(paths)}. A path to a .toml file will do"
    )


# -- checks --------------------------------------------------------------------------------------


def _faults(protocol: Protocol) -> Iterator[str]:
    if protocol.version < 1:
        yield f"versions begin at 1, but this is version {protocol.version}"
    if not protocol.metrics and not protocol.set_metrics:
        yield "metrics: it measures nothing; name one at least"
    yield from _sample_faults(protocol.sample)
    if (protocol.kind == "probe") != (protocol.probe is not None):
        yield "the table [probe] belongs to protocols of the kind 'probe', and to all of them"
    names = [group.name for group in protocol.groups]
    if len(set(names)) < len(names):
        yield "two groups have one name"
    for group in protocol.groups:
        yield from (f"groups.{group.name}: {fault}" for fault in _group_faults(protocol, group))
    yield from _published_faults(protocol)


def _group_faults(protocol: Protocol, group: Group) -> Iterator[str]:
    known = DATASETS.keys() | {dataset.name for dataset in protocol.datasets}
    if unknown := set(group.data) - known:
        yield f"no data set is called {', '.join(sorted(unknown))}; describe it in [[datasets]]"
    yield from _sample_faults(group.sample or protocol.sample)
    if group.crop and min(group.crop.voxels) < 1:
        yield f"crop.voxels are three sides of 1 or more, but got {group.crop.voxels}"
    resize = group.resize
    if resize and (bool(resize.shape) == bool(resize.longest)):
        yield "resize is either a shape or the longest side"
    if resize and resize.shape and (len(resize.shape) != 3 or min(resize.shape) < 1):
        yield f"resize.shape is three sides of 1 or more, but got {resize.shape}"
    if group.window and (len(group.window) != 2 or not group.window[0] < group.window[1]):
        yield f"window is (low, high), low below high, but got {group.window}"
    if not (group.data or group.where):
        yield "it names neither data sets nor labels, so no case could belong to it"


def _sample_faults(sample: Sample) -> Iterator[str]:
    if sample.images < 0 or sample.draws < 1:
        yield "sample: images are 0 (all) or more, draws 1 or more"


def _published_faults(protocol: Protocol) -> Iterator[str]:
    names = {group.name for group in protocol.groups}
    measured: set[Any] = {*protocol.metrics, *protocol.set_metrics}
    for row in protocol.published:
        for group, values in row.values.items():
            if group not in names:
                yield f"published.{row.label}: there is no group '{group}'"
            for metric, numbers in values.items():
                if metric not in measured:
                    yield f"published.{row.label}: {metric} is not measured"
                if len(numbers) not in (1, 2) or not all(map(math.isfinite, numbers)):
                    yield f"published.{row.label}: {metric} is a mean, or a mean and a spread"
