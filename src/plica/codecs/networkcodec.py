"""NetworkCodec: preparation, a network, and the way back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from plica.codecs.card import CodecCard
from plica.codecs.codec import check_image, check_maker, check_way_back
from plica.codecs.preparing import PadMode, Preparing
from plica.codecs.running import WORKING_BYTES, Meter, Running
from plica.codecs.tiling import Advance, plan_tiles, run_in_tiles, run_in_windows
from plica.errors import LatentError, SettingsError, TooLarge, UnusablePixels
from plica.grid import Grid
from plica.image import Image
from plica.latent import CodecIdentity, Latent, LatentKind
from plica.networks.autoencoder import (
    Autoencoder,
    Local,
    Pass,
    Projecting,
    Sampling,
    Staged,
)
from plica.preparation.step import Step
from plica.preparation.trail import prepare, revert

Codes = NDArray[np.float32]
# Voxels a batch of slices may hold: the published networks need about 14 kB per pixel.
BATCH_VOXELS = 2**18


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

    Args:
        card: The facts.
        network: An Autoencoder; it is set to evaluation mode.
        fingerprint: Of the weights; stands in every latent.
        steps: The intensity steps for an image, and reorientation where the codec wants one.
        device: Where the network runs.
        preparing: What the user asked for on the way in.
        padding: What fills incomplete cells at the far borders: background, or for networks that
            see a few voxels at a time the border's own voxels.
        running: In which pieces the network is run, and who is told.
    """

    card: CodecCard
    network: Autoencoder
    fingerprint: str
    steps: Callable[[Image], tuple[Step, ...]]
    device: str = "cpu"
    preparing: Preparing = field(default_factory=Preparing)
    padding: PadMode = "background"
    running: Running = field(default_factory=Running)

    def __post_init__(self) -> None:
        if isinstance(self.network, torch.nn.Module):
            self.network.eval().requires_grad_(False).to(self.device)

    # -- encode ------------------------------------------------------------------------------

    def encode(
        self, image: Image, *, kind: LatentKind | None = None, seed: int | None = None
    ) -> Latent:
        """Fold an image; see `Codec.encode`."""
        check_image(image)
        kind = self._check_kind(kind)
        if self.card.dims == 3 and not image.is_volume:
            raise UnusablePixels(
                f"{self.card.name} folds volumes, but the image is one slice of "
                f"{image.grid.shape[:2]} pixels: use a 2d codec"
            )
        prepared, trail = prepare(image, self._steps_for(image))
        with self._naming_lack_of_memory(prepared.grid):
            codes = self._encode_pixels(prepared.pixels, kind, seed)
        return Latent(
            codes=codes,
            codec=CodecIdentity(self.card.name, self.fingerprint, self.card.to_json()),
            prepared=prepared.grid,
            factor=self._factor,
            source=image.grid,
            trail=trail,
            unit=image.unit,
            display=image.display,
            provenance=image.provenance.after(self._describe(kind, seed)),
            kind=kind,
        )

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
                f"{grid.shape} voxels: resample or crop the image, or choose another device"
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
        return f"encoded by {self.card.name} ({kind} latent, {drawn})"

    @property
    def tiles(self) -> bool:
        """Whether it is run in exact tiles."""
        return self.card.tileable and isinstance(self.network, Local)

    @property
    def _factor(self) -> tuple[int, int, int]:
        factor = self.card.factor
        return (factor, factor, factor if self.card.dims == 3 else 1)

    def _steps_for(self, image: Image) -> tuple[Step, ...]:
        return self.preparing.steps(
            image,
            intensity=self.steps,
            in_channels=self.card.in_channels,
            factor=self._factor,
            sliced=self._sliced,
            padding=self.padding,
        )

    @property
    def _sliced(self) -> bool:
        return self.network.dims == 2

    @property
    def _stitched(self) -> bool:
        return self._sliced and self.card.dims == 3

    def _encode_pixels(self, pixels: Codes, kind: LatentKind, seed: int | None) -> Codes:
        generator = None if seed is None else torch.Generator().manual_seed(_check_seed(seed))
        groups = self._groups(pixels)
        meter = Meter(pixels.size, self.running.progress)
        batches = (
            self._encode_batch(x, kind, generator, meter) for x in self._batches(pixels, groups)
        )
        codes = np.ascontiguousarray(self._from_batches(batches, groups, pixels.shape[3]))
        return _resize_k(codes, codes.shape[3] // self.card.factor) if self._stitched else codes

    def _groups(self, pixels: Codes) -> int:
        channels, taken = pixels.shape[0], self.card.in_channels
        if channels % taken:
            raise UnusablePixels(
                f"{self.card.name} takes {taken} channels, but the image has {channels}: "
                "split its channels into images of their own"
            )
        return channels // taken

    @torch.inference_mode()
    def _encode_batch(
        self, x: Codes, kind: LatentKind, generator: torch.Generator | None, meter: Meter
    ) -> Codes:
        if generator is None:
            z = self._run(self.network.encode, x, meter)
        else:
            moments = torch.from_numpy(self._run(self._encode_moments, x, meter))
            mean, logvar = moments.chunk(2, dim=1)
            noise = torch.randn(mean.shape, generator=generator)
            z = (mean + torch.exp(logvar / 2) * noise).numpy()
        if kind == "projected":
            if not isinstance(self.network, Projecting):
                raise LatentError(f"{self.card.name} has no projected latent")
            z = self.network.project(torch.from_numpy(z).to(self.device)).cpu().numpy()
        return z

    def _encode_moments(self, x: Tensor) -> Tensor:
        """Mean and log-variance on one channel axis, so that windows can blend both."""
        if not isinstance(self.network, Sampling):
            raise LatentError(
                f"{self.card.name} has no posterior to sample from: leave out the seed"
            )
        return torch.cat(self.network.posterior(x), dim=1)

    # -- decode ------------------------------------------------------------------------------

    def decode(self, latent: Latent) -> Image:
        """Unfold a latent; see `Codec.decode`."""
        self._check_latent(latent)
        groups = latent.codes.shape[0] // self.card.channels
        slices = latent.prepared.shape[2]
        codes = _resize_k(latent.codes, slices) if self._stitched else latent.codes
        cell = self.card.factor**2
        with self._naming_lack_of_memory(latent.prepared):
            meter = Meter(codes.size, self.running.progress)
            batches = (
                self._decode_batch(z, meter) for z in self._batches(codes, groups, cell=cell)
            )
            pixels = self._from_batches(batches, groups, slices)
        prepared = Image(
            pixels, latent.prepared, provenance=latent.provenance, display=latent.display
        )
        image = revert(prepared, latent.trail)
        check_way_back(image.grid, latent.source)
        return replace(
            image,
            unit=latent.unit,
            provenance=image.provenance.after(f"decoded by {self.card.name}"),
        )

    @torch.inference_mode()
    def _decode_batch(self, z: Codes, meter: Meter) -> Codes:
        return self._run(self.network.decode, z, meter, decoding=True)

    def _run(
        self,
        function: Callable[[Tensor], Tensor],
        x: Codes,
        meter: Meter,
        *,
        decoding: bool = False,
    ) -> Codes:
        """Lead the network over a batch: in exact tiles where it has them, else in windows."""
        network = self.network
        if not self.card.tileable or not isinstance(network, Local):
            return self._run_windows(function, x, meter, decoding=decoding)
        passes = self._passes(network, function, x, decoding=decoding)
        counted = x.size
        for one in passes:
            tile = self._choose_tile(one, x, decoding=decoding)
            told = meter.part(one.share * counted / x.size)
            x = self._run_tiles(one, x, tile, told)
        return x

    def _run_tiles(self, one: Pass, x: Codes, tile: tuple[int, ...], told: Advance) -> Codes:
        def function(part: Tensor) -> Tensor:
            return one.function(part.to(self.device))

        return run_in_tiles(function, x, tile=tile, halo=one.reach, factor=one.factor, advance=told)

    def _run_windows(
        self,
        function: Callable[[Tensor], Tensor],
        x: Codes,
        meter: Meter,
        *,
        decoding: bool,
    ) -> Codes:
        factor, window = self.card.factor, self.card.native_window
        result = run_in_windows(
            function,
            torch.from_numpy(np.array(x)).to(self.device),
            window=window // factor if decoding else window,
            factor=1 / factor if decoding else factor,
            advance=meter.advance,
        )
        return result.cpu().numpy()

    def _passes(
        self, network: Local, function: Callable[[Tensor], Tensor], x: Codes, *, decoding: bool
    ) -> tuple[Pass, ...]:
        factor = self.card.factor
        encode, decode = network.floats_per_voxel
        if not decoding:
            return (Pass(function, network.encoder_reach * factor, factor, encode),)
        if isinstance(network, Staged):
            return network.decoding_passes()
        floats = decode * factor ** (x.ndim - 2)
        return (Pass(function, network.decoder_reach, 1 / factor, floats),)

    def _choose_tile(self, one: Pass, x: Codes, *, decoding: bool) -> tuple[int, ...]:
        """Sides of tiles in cells of x: the user's, or as large as the memory allowed."""
        sides = x.shape[2:]
        if self.running.tile:
            cell = self.card.factor if decoding else 1  # voxels of the image per side of one of x
            return tuple(max(1, self.running.tile // cell) for _ in sides)
        return plan_tiles(
            sides,
            halo=one.reach,
            stride=max(1, round(one.factor)),
            most_voxels=WORKING_BYTES / (4 * len(x) * one.floats),
        )

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

    # -- images ⇄ batches ----------------------------------------------------------------------

    def _batches(self, array: Codes, groups: int, cell: int = 1) -> Iterator[Codes]:
        """(groups · channel, i, j, k) as (batch, channel, *space), some slices at once.

        `cell` is how many pixels one element of a slice stands for.
        """
        grouped = np.asarray(array, np.float32).reshape(groups, -1, *array.shape[1:])
        if not self._sliced:
            for volume in grouped:
                yield volume[None]
            return
        slices = grouped.transpose(4, 0, 1, 3, 2)  # k, group, channel, j, i
        slices = slices.reshape(-1, *slices.shape[2:])
        step = max(1, BATCH_VOXELS // (slices[0, 0].size * cell))
        for start in range(0, len(slices), step):
            yield slices[start : start + step]

    def _from_batches(self, batches: Iterator[Codes], groups: int, slices: int) -> Codes:
        """Undo `_batches` on what the network made of them; each is laid in its place at once."""
        if not self._sliced:
            volumes = [volume[0] for volume in batches]  # one alone is not copied
            return volumes[0] if len(volumes) == 1 else np.concatenate(volumes)
        first = next(batches)
        whole = np.empty((slices * groups, *first.shape[1:]), np.float32)
        done = 0
        for batch in itertools.chain([first], batches):
            whole[done : done + len(batch)] = batch
            done += len(batch)
        by_slice = whole.reshape(slices, -1, *whole.shape[2:])  # k, group and channel, j, i
        return by_slice.transpose(1, 3, 2, 0)  # a view: a copy of a volume would cost as much again


def _check_seed(seed: int) -> int:
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole or not 0 <= seed < 2**63:
        raise SettingsError(f"a seed is a whole number from 0 to 2^63 - 1, but got {seed!r}")
    return int(seed)


def _resize_k(codes: Codes, slices: int) -> Codes:
    """Codes (c, i, j, k) interpolated linearly along k: centres aligned, smoothed when fewer."""
    channels, i, j, k = codes.shape
    rows = torch.from_numpy(np.array(codes, np.float32).reshape(1, channels, i * j, k))
    resized = F.interpolate(rows, size=(i * j, slices), mode="bilinear", antialias=True)
    return resized.numpy().reshape(channels, i, j, slices)
