"""Costing: what a probe costs on images and on latents, measured as the options say."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from plica.cli.contenders import Contender
from plica.errors import SettingsError
from plica.evaluation.efficiency import Capacity, Fed
from plica.grid import Grid
from plica.image import Image
from plica.networks.cost import (
    build_shapes,
    count_work,
    make_optimiser,
    prepare_forward,
    prepare_step,
    time_once,
    time_together,
)
from plica.networks.memory import find_largest_batch
from plica.networks.probes import build_probe, find_probe

SIZES = {2: (1024, 256, 128, 64), 3: (256, 64, 32)}
"""Sides of what is fed to a probe, by its axes: the papers' full size, then latents' sizes."""
_STEP_PER_FORWARD = 3.5  # backward costs about twice as much as forward, and the optimiser some
_FULL_MAY = 4  # times as long as others: without full size there is nothing to compare with
Tell = Callable[[str], None]


@dataclass
class Bench:
    """Where and how a probe is measured.

    Args:
        probe: Its name in the table.
        device: "cpu", "cuda", …
        classes: Of its last layer.
        batch: Inputs in each turn that is timed.
        repeats: Turns.
        limit: Seconds for each thing that is timed; what would need more in one turn is left out.
        memory: Bytes a batch may need; None takes all of a card's.
        train: Whether steps of training are measured too.
        tell: Is told what is being done.
    """

    probe: str
    device: str
    classes: int = 1
    batch: int = 1
    repeats: int = 5
    limit: float = 60.0
    memory: int | None = None
    train: bool = False
    tell: Tell = lambda what: None
    _shapes: dict[int, Any] = field(default_factory=dict)
    _built: dict[int, Any] = field(default_factory=dict)
    _optimisers: dict[int, Any] = field(default_factory=dict)

    @property
    def dims(self) -> int:
        """Axes of space the probe sees."""
        return find_probe(self.probe).dims

    # -- what it is fed --------------------------------------------------------------------------

    def feed_images(self, sizes: Sequence[int]) -> list[Fed]:
        """Images of one channel, of these sides, each with its operations.

        Raises:
            SettingsError: One is smaller than the probe can look at, or stands twice.
        """
        least = find_probe(self.probe).least
        if small := [side for side in sizes if side < least]:
            raise SettingsError(
                f"{self.probe} looks at sides of {least} at least, but --sides says {small[0]}"
            )
        if len(set(sizes)) < len(sizes):
            raise SettingsError("--sides names one side twice: name each once")
        return [
            self._count(Fed("×".join([str(side)] * self.dims), (1, *(side,) * self.dims)))
            for side in sizes
        ]

    def feed_latents(self, contenders: Sequence[Contender], image: Image) -> list[Fed]:
        """What codecs make of an image, each with its operations.

        Raises:
            SettingsError: A codec makes no latents, or folds volumes and the probe sees pictures.
        """
        return [self._feed_latent(contender, image) for contender in contenders]

    def _feed_latent(self, contender: Contender, image: Image) -> Fed:
        name = contender.name
        refuse_streams(contender)
        if not contender.takes(image):
            raise SettingsError(
                f"{name} folds volumes, and {self.probe} sees pictures: choose a probe of volumes, "
                "such as --probe seresnet-152"
            )
        self.tell(f"{name}: encoding")
        codes = contender.codec.encode(image).codes
        shape = codes.shape[: 1 + self.dims]
        least = find_probe(self.probe).least
        if min(shape[1:]) < least:
            raise SettingsError(
                f"{name} makes latents of {'×'.join(map(str, shape[1:]))}, and {self.probe} looks "
                f"at sides of {least} at least: give a larger first --sides"
            )
        return self._count(Fed(name, tuple(shape), name))

    def _count(self, fed: Fed) -> Fed:
        channels = fed.shape[0]
        if channels not in self._shapes:
            self._shapes[channels] = build_shapes(self._builder(channels))
        work = count_work(self._shapes[channels], (1, *fed.shape))
        return replace(fed, multiply_adds=work.multiply_adds, elsewhere=work.elsewhere)

    def _build(self, channels: int) -> Any:
        if channels not in self._built:
            self.tell(f"{self.probe}: building")
            self._built[channels] = self._builder(channels)()
        return self._built[channels]

    def _builder(self, channels: int) -> Callable[[], Any]:
        """Can be pickled: memory is measured in a child process."""
        return functools.partial(
            build_probe, self.probe, in_channels=channels, classes=self.classes
        )

    # -- time ------------------------------------------------------------------------------------

    def time(
        self, fed: Sequence[Fed], contenders: Sequence[Contender] = (), image: Image | None = None
    ) -> list[Fed]:
        """Passes, steps and encoding, each kind in turns; what would take too long is left out."""
        passes, found = self._time_kind(fed, "forward pass", self._prepare_forward, {})
        fed = [replace(one, batch=self.batch, forward=passes.get(one.name, ())) for one in found]
        if self.train:
            guesses = {n: _STEP_PER_FORWARD * min(seconds) for n, seconds in passes.items()}
            steps, fed = self._time_kind(fed, "training step", self._prepare_step, guesses)
            fed = [replace(one, step=steps.get(one.name, ())) for one in fed]
        if contenders and image is not None:
            works = {c.name: functools.partial(c.codec.encode, image) for c in contenders}
            encoded = time_together(
                works, repeats=self.repeats, seconds=self.limit,
                tell=lambda name: self.tell(f"{name}: encoding"),
            )  # fmt: skip
            fed = [replace(one, encode=encoded.get(one.codec, ())) for one in fed]
        return list(fed)

    def _time_kind(
        self,
        fed: Sequence[Fed],
        kind: str,
        prepare: Callable[[Fed], Callable[[], None]],
        guesses: dict[str, float],
    ) -> tuple[dict[str, tuple[float, ...]], list[Fed]]:
        """Each once, from small to large, as long as the next is not foretold to take too long."""
        works: dict[str, Callable[[], None]] = {}
        warmed: dict[str, float] = {}
        left: dict[str, str] = {}
        pace = math.inf  # the best so far, in seconds for a multiply-add: others share the machine
        for one in sorted(fed, key=lambda one: one.multiply_adds):
            guess = guesses.get(one.name, pace * one.multiply_adds if works else 0.0)
            bound = self.limit * (_FULL_MAY if one is fed[0] else 1)
            if guess > bound or (self.train and guesses and one.name not in guesses):
                left[one.name] = (
                    f"{kind}: foretold to take {guess:.0f} s and left out; --seconds allows more"
                    if guess > bound else f"{kind}: left out, as its forward pass was"
                )  # fmt: skip
                continue
            self.tell(f"{one.name}: {kind}")
            works[one.name] = prepare(one)
            warmed[one.name] = time_once(works[one.name])
            pace = min(pace, warmed[one.name] / max(1, one.multiply_adds))
        seconds = time_together(
            works, repeats=self.repeats, seconds=self.limit, warmed=warmed,
            tell=lambda name: self.tell(f"{name}: {kind}"),
        )  # fmt: skip
        noted = [
            replace(one, left_out=(*one.left_out, *([left[one.name]] if one.name in left else ())))
            for one in fed
        ]
        return seconds, noted

    def _prepare_forward(self, fed: Fed) -> Callable[[], None]:
        module = self._build(fed.shape[0])
        return prepare_forward(module, (self.batch, *fed.shape), device=self.device)

    def _prepare_step(self, fed: Fed) -> Callable[[], None]:
        channels = fed.shape[0]
        module = self._build(channels).to(self.device)
        if channels not in self._optimisers:
            self._optimisers[channels] = make_optimiser(module)
        return prepare_step(
            module, (self.batch, *fed.shape), device=self.device,
            optimiser=self._optimisers[channels],
        )  # fmt: skip

    # -- memory ----------------------------------------------------------------------------------

    def fill(self, fed: Sequence[Fed]) -> list[Fed]:
        """The largest batch of each input; of what was left out before, none."""
        self._optimisers.clear()
        if self.device != "cpu":
            self._built.clear()  # the card is for the batch
        found: dict[tuple[int, ...], tuple[Capacity, Capacity | None]] = {}
        for one in fed:
            if not one.left_out and one.shape not in found:
                self.tell(f"{one.name}: largest batch")
                forward = self._find_capacity(one, train=False)
                step = self._find_capacity(one, train=True) if self.train else None
                found[one.shape] = forward, step
        return [
            replace(one, forward_capacity=found[one.shape][0], step_capacity=found[one.shape][1])
            if one.shape in found else one
            for one in fed
        ]  # fmt: skip

    def _find_capacity(self, fed: Fed, *, train: bool) -> Capacity:
        found = find_largest_batch(
            self._builder(fed.shape[0]),
            fed.shape,
            device=self.device,
            memory=self.memory,
            train=train,
        )
        return Capacity(found.batch, found.power_of_two, found.memory, found.how, found.bound)


def refuse_streams(contender: Contender) -> None:
    """Refuse a codec that makes no latents.

    Raises:
        SettingsError: It does not.
    """
    if "bitstream" in contender.codec.card.latents:
        raise SettingsError(
            f"{contender.name} makes a stream of bytes and no latents a probe could look at: leave "
            "it out of --codec; jpeg2000 and jpegxl stand beside latents by themselves"
        )


def make_image(side: int, dims: int) -> Image:
    """Something to encode: waves and noise, the same each time."""
    shape = (side, side, side if dims == 3 else 1)
    waves = sum(
        np.sin(np.arange(n, dtype=np.float32) / 20).reshape(
            [n if a == axis else 1 for a in (0, 1, 2)]
        )
        for axis, n in enumerate(shape)
    )
    noise = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    pixels = (1000 + 200 * waves + 20 * noise).astype(np.int16)[None]
    return Image(pixels, Grid.from_spacing(shape, (1.0, 1.0, 1.0)))
