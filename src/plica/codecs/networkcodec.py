"""NetworkCodec: preparation, a network, and the way back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from plica.boxes import count_held, stands_on
from plica.codecs.batches import (
    Batches,
    Codes,
    Pushed,
    Volume,
    VolumeOut,
    count_slab,
    read_ahead,
    resize_k,
)
from plica.codecs.card import CodecCard
from plica.codecs.codec import Begin, check_blendable, check_image, check_maker, in_memory
from plica.codecs.leading import Leader
from plica.codecs.plan import DEVICE_BATCH_VOXELS, Part, Plan, Planner
from plica.codecs.preparing import PadMode, Preparing, Steps
from plica.codecs.running import Meter, Running
from plica.codecs.tiling import run_in_tiles
from plica.codecs.together import find_alike, split_codes
from plica.codecs.wayback import absent, outline_decoded, revert_whole
from plica.errors import LatentError, SettingsError, TooLarge, UnusablePixels
from plica.grid import Grid
from plica.image import Image
from plica.latent import Latent, LatentKind, Trail
from plica.networks.autoencoder import Autoencoder, Local, Pass, Passing, Projecting, Sampling
from plica.networks.heap import keeping_freed
from plica.networks.precision import Precision, set_precision
from plica.networks.sending import send
from plica.preparation.pad import Pad
from plica.preparation.step import Step
from plica.preparation.trail import foresee, recall, recalls
from plica.preparation.view import Behind, View

# How far the layers of the second latent see, in codes.
_PROJECTION_REACH = 2


@dataclass(frozen=True)
class NetworkCodec:
    """A codec around a network.

    ```text
    Image ─ finite, cast, planes, intensity steps, channels, pad ─► x ─ encode ─► codes
            └────────────────────── trail ─────────────────────┘
    ```

    A two-dimensional network sees (row, column) = (j, i) of every slice along k by itself; a
    three-dimensional one sees (i, j, k). Where an image has more channels than the network takes,
    each is folded alone and their codes follow one another.

    A card of three dimensions around a two-dimensional network is a *stitched* codec: the slices'
    codes are interpolated along k to the size of a three-dimensional latent, which is how MedVAE
    compares 2D autoencoders with 3D ones (Varma et al., 2025, section 4.1).

    Neither the prepared image nor the decoded one before its way back need exist whole: the
    network reads boxes of the former, and what it makes of them goes back box by box.

    Args:
        card: The facts.
        network: An Autoencoder; it is set to evaluation mode.
        fingerprint: Of the weights; stands in every latent.
        steps: The intensity steps for an image, and reorientation where the codec wants one.
        device: Where the network runs.
        preparing: What the user asked for on the way in.
        padding: What fills incomplete cells at the far borders: background, or for networks that
            see a few voxels at a time the border's own voxels.
        running: In how much memory and which pieces the network is run, and who is told.
        precision: "float32", or "bfloat16", to which the network's weights are then rounded.
    """

    card: CodecCard
    network: Autoencoder
    fingerprint: str
    steps: Steps
    device: str = "cpu"
    preparing: Preparing = field(default_factory=Preparing)
    padding: PadMode = "background"
    running: Running = field(default_factory=Running)
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        if isinstance(self.network, torch.nn.Module):
            self.network.eval().requires_grad_(False).to(self.device)
            if self.precision != "float32":
                set_precision(self.network, self.precision)

    # -- encode ------------------------------------------------------------------------------

    def encode(
        self, image: Image, *, kind: LatentKind | None = None, seed: int | None = None
    ) -> Latent:
        """Fold an image; see `Codec.encode`.

        Raises:
            TooLarge: The memory does not suffice; says what does.
        """
        kind = self._check_kind(kind)
        view, trail = self._foresee(image)
        with self._naming_lack_of_memory(view.grid):
            codes = self._encode_pixels(view, (image,), kind, seed)
        return self._make_latent(codes, image, view, trail, self._describe(kind, seed), kind)

    def encode_together(
        self, images: Sequence[Image], *, kind: LatentKind | None = None
    ) -> list[Latent]:
        """Fold several images; slices of equal sides share batches, which pays on a GPU.

        Each latent is what `encode` gives but for rounding, since sums may be taken in another
        order. Where the network sees volumes, one follows the other.

        Raises:
            UnusablePixels: The codec does not take one of them.
            TooLarge: The memory does not suffice; says what does.
        """
        kind = self._check_kind(kind)
        seen = [self._foresee(image) for image in images]
        made: dict[int, Codes] = {}
        held = sum(count_held(image.pixels) for image in images)
        apart = not self._sliced or self._stitched
        for places in find_alike([view for view, _ in seen], apart=apart):
            views = [seen[n][0] for n in places]
            view, some = Behind.join(views), [images[n] for n in places]
            beside = held - sum(count_held(image.pixels) for image in some)
            with self._naming_lack_of_memory(views[0].grid):
                codes = self._encode_pixels(view, some, kind, None, beside)
            held += 2 * codes.nbytes
            made |= dict(zip(places, split_codes(codes, views), strict=True))
        line = self._describe(kind, None)
        return [
            self._make_latent(made[n], image, *seen[n], line, kind)
            for n, image in enumerate(images)
        ]

    def outline_latent(self, image: Image) -> Latent:
        """The raw latent of an image but for its codes, which are all zero and in no memory."""
        view, trail = self._foresee(image)
        channels, i, j, _ = self._codes_shape(view.shape, "encode")
        shape = (channels, i, j, view.shape[3] // self._factor[2])
        codes = np.broadcast_to(np.zeros((), np.float32), shape)
        return self._make_latent(codes, image, view, trail, self._describe("raw", None), "raw")

    def _make_latent(
        self, codes: Codes, image: Image, view: View, trail: Trail, line: str, kind: LatentKind
    ) -> Latent:
        return Latent(
            codes=codes,
            codec=self.card.identify(self.fingerprint),
            prepared=view.grid,
            factor=self._factor,
            source=image.grid,
            trail=trail,
            unit=image.unit,
            display=image.display,
            provenance=image.provenance.after(line),
            kind=kind,
        )

    def plan_encoding(self, image: Image) -> Plan:
        """How `encode` would lead the network over an image, and what that would take.

        Raises:
            TooLarge: The memory does not suffice; says what does.
        """
        view, _ = self._foresee(image)
        return self._plan_encoding("encode", view, (image,))

    def _foresee(self, image: Image) -> tuple[View, Trail]:
        check_image(image)
        check_blendable(image, self.card)
        if self.card.dims == 3 and not image.is_volume:
            raise UnusablePixels(
                f"{self.card.name} folds volumes, but the image is one slice of "
                f"{image.grid.shape[:2]} pixels: use a 2d codec"
            )
        return foresee(View.of(image), self._steps_for(image))

    @contextmanager
    def _naming_lack_of_memory(self, grid: Grid) -> Iterator[None]:
        """Torch says what it could not allocate; the user needs to know for which image."""
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            said = str(error)
            if isinstance(error, RuntimeError) and not (
                "out of memory" in said or "allocate memory" in said
            ):
                raise
            raise TooLarge(
                f"there is not enough memory on '{self.device}' to run {self.card.name} on "
                f"{grid.shape} voxels: allow less with memory= (smaller pieces), resample or crop "
                "the image, or choose another device"
            ) from error

    def _check_kind(self, kind: LatentKind | None) -> LatentKind:
        kinds = self.card.latents
        if kind is None:
            return kinds[0]  # type: ignore[return-value]  # cards hold strings read from JSON
        if kind not in kinds:
            raise LatentError(
                f"{self.card.name} has no {kind} latent; it offers {' and '.join(kinds)}"
            )
        return kind

    def _describe(self, kind: LatentKind, seed: int | None) -> str:
        drawn = "posterior mean" if seed is None else f"posterior sample, seed {seed}"
        blended = ", in blended windows" if self.running.tiling == "blend" else ""
        rounded = "" if self.precision == "float32" else f", in {self.precision}"
        return f"encoded by {self.card.name} ({kind} latent, {drawn}{blended}{rounded})"

    @property
    def tiles(self) -> bool:
        """Whether it is run in exact tiles."""
        return self.card.tileable and isinstance(self.network, Local | Passing)

    @property
    def _factor(self) -> tuple[int, int, int]:
        factor = self.card.factor
        return (factor, factor, factor if self.card.dims == 3 else 1)

    def _steps_for(self, image: Image) -> tuple[Step, ...]:
        return self.preparing.steps(
            image,
            intensity=self.steps,
            in_channels=self.card.in_channels,
            sliced=self._sliced,
            pad=Pad(self._factor, self.padding, getattr(self.network, "least_cells", 1)),
        )

    @property
    def _sliced(self) -> bool:
        return self.network.dims == 2

    @property
    def _stitched(self) -> bool:
        return self._sliced and self.card.dims == 3

    @property
    def planner(self) -> Planner:
        """What makes the plans by which the network is run."""
        return Planner(
            name=self.card.name,
            network=self.network,
            factor=self.card.factor,
            tileable=self.card.tileable,
            native_window=self.card.native_window,
            running=self.running,
            device=self.device,
        )

    def _plan_encoding(
        self, part: Part, view: View, images: Sequence[Image], beside: int = 0
    ) -> Plan:
        groups = self._groups(view.channels)
        _, i, j, k = view.shape
        shape = (k * groups, self.card.in_channels, j, i) if self._sliced else None
        codes = 4 * math.prod(self._codes_shape(view.shape, part))
        held = beside + sum(count_held(image.pixels) for image in images)
        held += codes * (1 + self._stitched + (part == "posterior"))
        parts = view.pixels.parts if isinstance(view.pixels, Behind) else (view.pixels,)
        for pixels, image in zip(parts, images, strict=True):
            held += 0 if stands_on(pixels, image.pixels) else count_held(pixels)
        if self._sliced:
            held += count_slab(view.shape, 0 if self.device == "cpu" else DEVICE_BATCH_VOXELS)
        return self.planner.make(part, shape or (1, self.card.in_channels, i, j, k), held)

    def _codes_shape(self, shape: tuple[int, ...], part: Part) -> tuple[int, ...]:
        """Of the codes of all slices, before they are stitched."""
        channels, i, j, k = shape
        per_group = self.card.channels * (2 if part == "posterior" else 1)
        f = self.card.factor
        codes = channels // self.card.in_channels * per_group
        return (codes, i // f, j // f, k if self._sliced else k // f)

    def _groups(self, channels: int) -> int:
        taken = self.card.in_channels
        if channels % taken:
            raise UnusablePixels(
                f"{self.card.name} takes {taken} channels, but the image has {channels}: "
                "split its channels into images of their own"
            )
        return channels // taken

    def _encode_pixels(
        self, view: View, images: Sequence[Image], kind: LatentKind, seed: int | None,
        beside: int = 0,
    ) -> Codes:  # fmt: skip
        part: Part = "encode" if seed is None else "posterior"
        if seed is not None:
            seed = _check_seed(seed)
            self._check_posterior()
        plan = self._plan_encoding(part, view, images, beside)
        codes = np.empty(self._codes_shape(view.shape, part), np.float32)
        self._lead(plan, part, view.pixels, codes, self._groups(view.channels))
        if seed is not None:
            codes = self._draw(codes, seed)
        if kind == "projected":
            codes = self._project(codes)
        return resize_k(codes, codes.shape[3] // self.card.factor) if self._stitched else codes

    @torch.inference_mode()
    def _lead(self, plan: Plan, part: Part, pixels: Any, out: Any, groups: int) -> None:
        """Lead the network over (channel, i, j, k), slice by slice or volume by volume."""
        with keeping_freed():
            self._lead_all(plan, part, pixels, out, groups)

    def _lead_all(self, plan: Plan, part: Part, pixels: Any, out: Any, groups: int) -> None:
        leader = Leader(self.planner)
        meter = Meter(math.prod(pixels.shape), self.running.progress)
        if self._sliced:
            batches = Batches(pixels, groups, plan.batch).walk(out)
            # A device leaves the processor free to prepare what comes next.
            for x, lay in batches if self.device == "cpu" else read_ahead(batches):
                lay(leader.lead(plan, part, x, advance=meter.advance))
            return
        for group in range(groups):
            volume, laid = Volume(pixels, group, groups), VolumeOut(out, group, groups)
            leader.lead(plan, part, volume, out=laid, advance=meter.advance)

    def _check_posterior(self) -> None:
        if not isinstance(self.network, Sampling):
            raise LatentError(
                f"{self.card.name} has no posterior to sample from: leave out the seed"
            )

    def _draw(self, moments: Codes, seed: int) -> Codes:
        """A sample of the posterior: the same however the network was led over the image."""
        channels = self.card.channels
        grouped = moments.reshape(-1, 2, channels, *moments.shape[1:])
        mean, logvar = grouped[:, 0], grouped[:, 1]
        noise = np.random.default_rng(seed).standard_normal(mean.shape, np.float32)
        drawn = (mean + np.exp(logvar / 2) * noise).astype(np.float32, copy=False)
        return drawn.reshape(-1, *moments.shape[1:])

    @torch.inference_mode()
    def _project(self, codes: Codes) -> Codes:
        """The second latent; its layers see so little that tiles of them are exact."""
        network = self.network
        if not isinstance(network, Projecting):
            raise LatentError(f"{self.card.name} has no projected latent")
        groups = codes.shape[0] // self.card.channels
        out = np.empty_like(codes)

        one = Pass(lambda z: network.project(send(z, self.device)), _PROJECTION_REACH, 1, 64)

        def lead(x: Any, target: Any = None) -> Any:
            return run_in_tiles(one, x, tile=(128,) * (len(x.shape) - 2), out=target)

        if self._sliced:
            for x, lay in Batches(codes, groups, 1).walk(out):
                lay(lead(x))
        else:
            for group in range(groups):
                lead(Volume(codes, group, groups), VolumeOut(out, group, groups))
        return out

    # -- decode ------------------------------------------------------------------------------

    def decode(self, latent: Latent) -> Image:
        """Unfold a latent; see `Codec.decode`.

        Raises:
            TooLarge: The memory does not suffice; says what does.
        """
        return self.decode_into(latent, in_memory)

    def decode_into(self, latent: Latent, begin: Begin) -> Image:
        """Unfold a latent into pixels of the caller's, such as those mapped from a file.

        Args:
            latent: What this codec made.
            begin: Is given the image as it will be, its pixels all zero and in no memory, and
                gives the array they are laid into.

        Raises:
            LatentError: Another codec made the latent, or it is damaged.
            TooLarge: The memory does not suffice; says what does.
        """
        self._check_latent(latent)
        prepared = absent(latent, self.card)
        if not recalls(latent.trail):
            return self._decode_whole(latent, prepared, begin)
        view = recall(prepared, latent.trail)
        outline = outline_decoded(view, latent)
        pixels = begin(outline)
        plan = self._plan_decoding(latent, prepared, count_held(pixels))
        with self._naming_lack_of_memory(latent.prepared):
            out = Pushed(prepared.pixels, view.pixels, pixels)
            self._decode_codes(plan, latent, prepared, out)
        return replace(outline, pixels=pixels)

    def decode_prepared(self, latent: Latent) -> Codes:
        """What the network makes of a latent, before the way back to the image's own values.

        Raises:
            LatentError: Another codec made the latent, or it is damaged.
            TooLarge: The memory does not suffice; says what does.
        """
        self._check_latent(latent)
        prepared = absent(latent, self.card)
        pixels = np.empty(prepared.shape, np.float32)
        plan = self._plan_decoding(latent, prepared, pixels.nbytes)
        with self._naming_lack_of_memory(latent.prepared):
            self._decode_codes(plan, latent, prepared, pixels)
        return pixels

    def plan_decoding(self, latent: Latent, *, mapped: bool = False) -> Plan:
        """How `decode` would lead the network over a latent, and what that would take.

        Args:
            mapped: Whether the image goes into a file, as `decode_into` can.

        Raises:
            TooLarge: The memory does not suffice; says what does.
        """
        self._check_latent(latent)
        prepared = absent(latent, self.card)
        if not recalls(latent.trail):
            return self._plan_decoding(latent, prepared, None)
        outline = outline_decoded(recall(prepared, latent.trail), latent)
        size = 0 if mapped else outline.pixels.size * outline.pixels.itemsize
        return self._plan_decoding(latent, prepared, size)

    def _plan_decoding(self, latent: Latent, prepared: View, result: int | None) -> Plan:
        """The plan, for a result of so many bytes in memory; None where it needs all at once."""
        codes, taken = latent.codes, self.card.channels
        _, i, j, k = codes.shape
        slices = prepared.shape[3]
        shape = (slices * codes.shape[0] // taken, taken, j, i)
        held = codes.nbytes + (4 * codes.size * slices // k if self._stitched else 0)
        # Decoded in float32, and on its way back in steps that each make a copy.
        held += 4 * 4 * math.prod(prepared.shape) if result is None else result
        held += count_slab((codes.shape[0], i, j, slices)) if self._sliced else 0
        return self.planner.make("decode", shape if self._sliced else (1, taken, i, j, k), held)

    def _decode_codes(self, plan: Plan, latent: Latent, prepared: View, out: Any) -> None:
        groups = latent.codes.shape[0] // self.card.channels
        slices = prepared.shape[3]
        codes = resize_k(latent.codes, slices) if self._stitched else latent.codes
        self._lead(plan, "decode", codes, out, groups)

    def _decode_whole(self, latent: Latent, prepared: View, begin: Begin) -> Image:
        """Where the way back needs all voxels together."""
        plan = self._plan_decoding(latent, prepared, None)
        pixels = np.empty(prepared.shape, np.float32)
        with self._naming_lack_of_memory(latent.prepared):
            self._decode_codes(plan, latent, prepared, pixels)
        return revert_whole(replace(prepared, pixels=pixels), latent, begin)

    def _check_latent(self, latent: Latent) -> None:
        check_maker(latent, self.card, self.fingerprint)
        if latent.kind != "raw":
            raise LatentError(
                f"a {latent.kind} latent is made for classifiers and cannot be decoded: "
                "encode the image again with the raw latent"
            )
        if latent.codes.shape[0] % self.card.channels or latent.factor != self._factor:
            raise LatentError(
                f"{self.card.name} makes {self.card.channels} code channels at factor "
                f"{self._factor}, but the latent holds {latent.codes.shape[0]} at {latent.factor}"
            )


def _check_seed(seed: int) -> int:
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole or not 0 <= seed < 2**63:
        raise SettingsError(f"a seed is a whole number from 0 to 2^63 - 1, but got {seed!r}")
    return int(seed)
