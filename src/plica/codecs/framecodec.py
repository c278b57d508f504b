"""FrameCodec: a video autoencoder led along the slices of a volume, a few at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plica.boxes import Readable, count_held, gather
from plica.codecs.batches import Codes, Pushed
from plica.codecs.budget import PROCESS_BYTES, choose_memory
from plica.codecs.card import CodecCard
from plica.codecs.codec import Begin, check_blendable, check_image, check_maker, in_memory
from plica.codecs.plan import Plan, count_weights
from plica.codecs.preparing import PadMode, Preparing, Steps
from plica.codecs.running import Meter, Running
from plica.codecs.wayback import absent, outline_decoded, revert_whole
from plica.errors import LatentError, SettingsError, TooLarge, UnusablePixels
from plica.image import Image
from plica.latent import Latent, LatentKind, Trail
from plica.networks.frames import Framed
from plica.networks.heap import keeping_freed
from plica.networks.sending import send
from plica.preparation.leadin import LeadIn
from plica.preparation.pad import Pad
from plica.preparation.trail import foresee, recall, recalls
from plica.preparation.view import View

# Slices that are read, or codes that are handed on, at a time where the network wants all.
_HANDFUL = 8
_OVERHEAD = 1.3  # what allocators and workspaces take beside the maps


@dataclass(frozen=True)
class FrameCodec:
    """A codec around a network of sequences.

    ```text
    Image ─ finite, cast, planes, intensity, channels, pad, lead-in ─► frames ─ encode ─► codes
            └────────────────────────── trail ─────────────────────────┘
    ```

    The slices of a volume are the frames, in the order of the axis they are taken along; a frame's
    row and column are (j, i). A causal network is shown them a few at a time, each once and in
    order, and remembers what it must: nothing is cut, restarted or blended, and the codes are those
    of the whole volume. Codes stand for `period` slices each, on a grid of their own: the first one
    of a causal network stands for the first slice and as many of its copies before it.

    Args:
        card: The facts.
        network: Set to evaluation mode.
        fingerprint: Of the weights; stands in every latent.
        steps: The intensity steps for an image.
        device: Where the network runs.
        preparing: What the user asked for on the way in.
        padding: What fills incomplete cells at the far borders.
        running: In how much memory, and who is told. `tiling="whole"` shows the network all frames
            at once, `exact` a few; `auto` is exact where the network streams.
    """

    card: CodecCard
    network: Framed
    fingerprint: str
    steps: Steps
    device: str = "cpu"
    preparing: Preparing = field(default_factory=Preparing)
    padding: PadMode = "edge"
    running: Running = field(default_factory=Running)

    def __post_init__(self) -> None:
        if isinstance(self.network, torch.nn.Module):
            self.network.eval().requires_grad_(False).to(self.device)

    # -- encode ------------------------------------------------------------------------------

    def encode(
        self, image: Image, *, kind: LatentKind | None = None, seed: int | None = None
    ) -> Latent:
        """Fold a volume; see `Codec.encode`.

        Raises:
            UnusablePixels: It has a single slice's worth of channels too many, or none.
            TooLarge: The memory does not suffice; says what does.
        """
        self._check_asked(kind, seed)
        view, trail = self._foresee(image)
        self._plan_encoding(view, count_held(image.pixels))
        codes = np.empty(self._codes_shape(view.shape), np.float32)
        with keeping_freed():
            self._encode_groups(view.pixels, codes)
        return self._make_latent(codes, image, view, trail)

    def outline_latent(self, image: Image) -> Latent:
        """The latent of an image but for its codes, which are all zero and in no memory."""
        view, trail = self._foresee(image)
        codes = np.broadcast_to(np.zeros((), np.float32), self._codes_shape(view.shape))
        return self._make_latent(codes, image, view, trail)

    def plan_encoding(self, image: Image) -> Plan:
        """How `encode` would lead the network over an image, and what that would take.

        Raises:
            TooLarge: The memory does not suffice; says what does.
        """
        return self._plan_encoding(self._foresee(image)[0], count_held(image.pixels))

    def _check_asked(self, kind: LatentKind | None, seed: int | None) -> None:
        if kind not in (None, "raw"):
            raise LatentError(f"{self.card.name} has no {kind} latent; it offers raw")
        if seed is not None:
            raise LatentError(
                f"{self.card.name} is run at the mean of its posterior alone: leave out the seed"
            )

    def _foresee(self, image: Image) -> tuple[View, Trail]:
        check_image(image)
        check_blendable(image, self.card)
        steps = self.preparing.steps(
            image,
            intensity=self.steps,
            in_channels=self.card.in_channels,
            sliced=True,
            pad=Pad((self.card.factor, self.card.factor, 1), self.padding),
        )
        view, trail = foresee(View.of(image), (*steps, self._lead_in))
        if view.channels % self.card.in_channels:
            raise UnusablePixels(
                f"{self.card.name} takes {self.card.in_channels} channels, but the image has "
                f"{view.channels}: split its channels into images of their own"
            )
        return view, trail

    @property
    def _lead_in(self) -> LeadIn:
        return LeadIn(self.network.period, self.network.causal)

    def _codes_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        channels, *sides = shape
        cells = (side // by for side, by in zip(sides, self.card.factors, strict=True))
        return (channels // self.card.in_channels * self.card.channels, *cells)

    @torch.inference_mode()
    def _encode_groups(self, pixels: Readable, codes: Codes) -> None:
        shown = (*pixels.shape[:3], pixels.shape[3] - self._lead_in.before)
        meter = Meter(math.prod(shown), self.running.progress)
        taken, made = self.card.in_channels, self.card.channels
        for group in range(pixels.shape[0] // taken):
            own = slice(group * taken, (group + 1) * taken)
            frames = self._read(pixels, own, self._lead_in.before, meter)
            at = 0
            for piece in self._encode_frames(frames):
                laid = _to_slices(piece)
                here = (slice(group * made, (group + 1) * made), *[slice(None)] * 2)
                codes[(*here, slice(at, at + laid.shape[3]))] = laid
                at += laid.shape[3]

    def _read(
        self, pixels: Readable, channels: slice, first: int, meter: Meter
    ) -> Iterator[Tensor]:
        """Frames (1, channel, frame, row, column) of a volume, a few at a time."""
        _, i, j, k = pixels.shape
        step = self.network.frames_at_a_time or _HANDFUL
        for start in range(first, k, step):
            span = slice(start, min(start + step, k))
            box = (channels, slice(0, i), slice(0, j), span)
            yield send(torch.from_numpy(_to_frames(gather(pixels, box, np.float32))), self.device)
            meter.advance((span.stop - span.start) * (channels.stop - channels.start) * i * j)

    def _encode_frames(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        if self._streams:
            return self.network.encode_stream(frames)
        return iter((self.network.encode(torch.cat(list(frames), dim=2)),))

    def _make_latent(self, codes: Codes, image: Image, view: View, trail: Trail) -> Latent:
        line = f"encoded by {self.card.name} (raw latent, posterior mean)"
        return Latent(
            codes=codes,
            codec=self.card.identify(self.fingerprint),
            prepared=view.grid,
            factor=self.card.factors,
            source=image.grid,
            trail=trail,
            unit=image.unit,
            display=image.display,
            provenance=image.provenance.after(line),
            kind="raw",
        )

    # -- decode ------------------------------------------------------------------------------

    def decode(self, latent: Latent) -> Image:
        """Unfold a latent; see `Codec.decode`.

        Raises:
            TooLarge: The memory does not suffice; says what does.
        """
        return self.decode_into(latent, in_memory)

    def decode_into(self, latent: Latent, begin: Begin) -> Image:
        """Unfold a latent into pixels of the caller's; see `NetworkCodec.decode_into`.

        Raises:
            LatentError: Another codec made the latent, or it is damaged.
            TooLarge: The memory does not suffice; says what does.
        """
        self._check_latent(latent)
        prepared = absent(latent, self.card)
        if not recalls(latent.trail):
            whole = replace(prepared, pixels=self.decode_prepared(latent))
            return revert_whole(whole, latent, begin)
        view = recall(prepared, latent.trail)
        outline = outline_decoded(view, latent)
        pixels = begin(outline)
        self._plan_decoding(latent, count_held(pixels))
        self._decode_codes(latent, Pushed(prepared.pixels, view.pixels, pixels))
        return replace(outline, pixels=pixels)

    def decode_prepared(self, latent: Latent) -> Codes:
        """What the network makes of a latent, before the way back to the image's own values.

        Raises:
            LatentError: Another codec made the latent, or it is damaged.
            TooLarge: The memory does not suffice; says what does.
        """
        self._check_latent(latent)
        prepared = absent(latent, self.card)
        self._plan_decoding(latent, 4 * math.prod(prepared.shape))
        pixels = np.zeros(prepared.shape, np.float32)
        self._decode_codes(latent, pixels)
        return pixels

    def plan_decoding(self, latent: Latent, *, mapped: bool = False) -> Plan:
        """How `decode` would lead the network over a latent, and what that would take.

        Args:
            mapped: Whether the image goes into a file, as `decode_into` can.

        Raises:
            TooLarge: The memory does not suffice; says what does.
        """
        self._check_latent(latent)
        return self._plan_decoding(latent, 0 if mapped else 4 * math.prod(latent.source.shape))

    @torch.inference_mode()
    def _decode_codes(self, latent: Latent, out: Any) -> None:
        _, i, j, _ = out.shape
        taken, made = self.card.in_channels, self.card.channels
        meter = Meter(latent.codes.size, self.running.progress)
        with keeping_freed():
            for group in range(latent.codes.shape[0] // made):
                channels = slice(group * taken, (group + 1) * taken)
                at = self._lead_in.before
                for piece in self._decode_frames(self._read_codes(latent, group, meter)):
                    laid = _to_slices(piece)
                    span = slice(at, at + laid.shape[3])
                    out[(channels, slice(0, i), slice(0, j), span)] = laid
                    at += laid.shape[3]

    def _read_codes(self, latent: Latent, group: int, meter: Meter) -> Iterator[Tensor]:
        made = self.card.channels
        own = latent.codes[group * made : (group + 1) * made]
        for at in range(own.shape[3]):
            frames = np.array(_to_frames(own[..., at : at + 1]), np.float32)
            yield send(torch.from_numpy(frames), self.device)
            meter.advance(frames.size)

    def _decode_frames(self, codes: Iterator[Tensor]) -> Iterator[Tensor]:
        if self._streams:
            return self.network.decode_stream(codes)
        return iter((self.network.decode(torch.cat(list(codes), dim=2)),))

    def _check_latent(self, latent: Latent) -> None:
        check_maker(latent, self.card, self.fingerprint)
        fits = latent.codes.shape[0] % self.card.channels == 0
        shape = tuple(
            side * by for side, by in zip(latent.codes.shape[1:], latent.factor, strict=True)
        )
        if not fits or latent.factor != self.card.factors or shape != latent.prepared.shape:
            raise LatentError(
                f"{self.card.name} makes {self.card.channels} code channels at factor "
                f"{self.card.factors}, of slices after {self._lead_in.before} that are not shown, "
                f"but the latent holds {latent.codes.shape} at {latent.factor} for "
                f"{latent.prepared.shape} voxels: it is damaged"
            )

    # -- plans -------------------------------------------------------------------------------

    def check(self) -> None:
        """Refuse ways to run the network that it has not.

        Raises:
            SettingsError: Tiles or windows were asked for, or a few slices at a time of a network
                that needs all.
        """
        if self.running.tiling in {"window", "blend"} or self.running.tile:
            raise SettingsError(
                f"{self.card.name} is shown slices in order, and is not run in "
                f"{'tiles' if self.running.tile else 'windows'}: leave out the tile and choose "
                "exact or whole"
            )
        if self.running.tiling == "exact" and not self.network.streams:
            raise SettingsError(
                f"{self.card.name} knows no code before it has seen all slices, so that a few at a "
                "time would give others: leave out tiling=exact"
            )

    @property
    def _streams(self) -> bool:
        self.check()
        return self.network.streams and self.running.tiling != "whole"

    def _plan_encoding(self, view: View, held: int) -> Plan:
        codes = 4 * math.prod(self._codes_shape(view.shape))
        return self._plan("encoding", view.shape[1:], 0, held + codes)

    def _plan_decoding(self, latent: Latent, result: int) -> Plan:
        return self._plan("decoding", latent.prepared.shape, 1, latent.codes.nbytes + result)

    def _plan(self, verb: str, sides: tuple[int, ...], part: int, held: int) -> Plan:
        i, j, k = sides
        network = self.network
        thick = min(k, network.frames_at_a_time) if self._streams else k
        maps = 4 * network.floats_per_voxel[part] * _OVERHEAD * i * j * thick
        kept = 4 * network.kept_per_code[part] * math.prod(sides) / math.prod(self.card.factors)
        on_device = not self.device.startswith("cpu")
        needed, memory = int(maps + kept), choose_memory(self.running.memory)
        held += count_weights(network)
        least, allowed = PROCESS_BYTES + held + needed, memory
        if on_device:
            least, allowed = needed, self.running.device_memory or needed
        if least > allowed:
            option = "device_memory" if on_device else "memory"
            raise TooLarge(
                f"{verb} {i} × {j} × {k} with {self.card.name} needs at least "
                f"{least / 2**30:.2f} GiB, and {allowed / 2**30:.2f} GiB are allowed: give "
                f"{option}={math.ceil(least / 2**20)}M, or crop or resample the image",
                least=least,
            )
        return Plan(
            manner="frames" if self._streams else "whole",
            pieces=-(-k // max(1, thick)),
            sides=(i, j, thick),
            batch=1,
            piece_bytes=needed,
            held_bytes=held,
            memory=memory,
            on_device=on_device,
        )


def _to_frames(slices: Codes) -> Codes:
    """(channel, i, j, k) → (1, channel, frame, row, column)."""
    return np.ascontiguousarray(slices.transpose(0, 3, 2, 1))[None]


def _to_slices(frames: Tensor) -> Codes:
    """(1, channel, frame, row, column) → (channel, i, j, k)."""
    return frames[0].permute(0, 3, 2, 1).float().cpu().numpy()
