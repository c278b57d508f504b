"""Plan: in which pieces a network is led over an image, and what that takes, before any work."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from plica.codecs.budget import PROCESS_BYTES, choose_memory
from plica.codecs.cuts import Course, Cut, cost, count_between
from plica.codecs.running import Running
from plica.codecs.tiling import choose_window, count_tiles, hold, place_windows, plan_tiles
from plica.errors import SettingsError, TooLarge
from plica.networks.autoencoder import Autoencoder, Local, Pass, Passing, Staged
from plica.networks.coders import Decoder, Encoder
from plica.networks.schedule import Schedule, plan_schedule
from plica.networks.stitched import BATCH_PIXELS, Stitched

Part = Literal["encode", "posterior", "decode"]
Manner = Literal["tiles", "windows", "whole", "exact", "frames"]
# What the feature maps of tiles may take at most: larger ones are not faster.
WORKING_BYTES = 2**30
# Voxels a batch of slices may hold where the memory allows it: more are not faster, on a processor
# (measured) and on a device (enough for its thousands of cores).
BATCH_VOXELS, DEVICE_BATCH_VOXELS = 2**18, 2**24
# Maps as wide as the finest level that exist at once, where a network runs whole. Measured.
_ENCODER_MAPS, _DECODER_MAPS = 5.0, 6.0
_LEAST_TILE = 16
_GIB = 2**30


@dataclass(frozen=True)
class Plan:
    """How one image is led through a network.

    Args:
        manner: "tiles", "windows", "whole", "exact" or "frames".
        pieces: How many pieces.
        sides: Of one piece, without what it sees around, in cells of the input.
        batch: Inputs (slices) led through at a time.
        piece_bytes: What the feature maps of one piece take, or of an exact schedule.
        held_bytes: What is held beside them: weights, image, codes.
        memory: What the process may hold.
        on_device: Whether pieces live on a device of their own memory.
        maps: Where whole feature maps of an exact schedule live: "memory" or "scratch".
        tiles: Sides of the tiles of each pass.
        schedule: Of the exact layers, as `networks.schedule` made it.
    """

    manner: Manner
    pieces: int
    sides: tuple[int, ...]
    batch: int
    piece_bytes: int
    held_bytes: int
    memory: int
    on_device: bool = False
    maps: str = ""
    tiles: tuple[tuple[int, ...], ...] = ()
    schedule: Schedule | None = field(default=None, repr=False, compare=False)

    @property
    def peak_bytes(self) -> int:
        """The most the process is foretold to hold."""
        return PROCESS_BYTES + self.held_bytes + (0 if self.on_device else self.piece_bytes)

    def describe(self) -> str:
        """One line for people."""
        sides = "×".join(map(str, self.sides))
        what = {
            "tiles": f"{self.pieces} tile{'s' * (self.pieces > 1)} of at most {sides} that the "
            "card says are exact",
            "windows": f"{self.pieces} window{'s' * (self.pieces > 1)} of {sides}",
            "whole": f"whole ({sides})",
            "frames": f"slice after slice, exact, {self.sides[-1]} at a time",
            "exact": f"layer by layer, exact, maps in {self.maps or 'memory'}",
        }[self.manner]
        return (
            f"{what}; {self.piece_bytes / _GIB:.2f} GiB at a time, foretold peak "
            f"{self.peak_bytes / _GIB:.2f} GiB of {self.memory / _GIB:.2f} GiB"
        )


@dataclass(frozen=True)
class Planner:
    """Makes plans for one network.

    Args:
        name: Of the codec, for messages.
        network: That is to be led.
        factor: Voxels per code and axis.
        tileable: Whether the codec's card says its tiles are exact.
        native_window: Of the card.
        running: What the user asked for.
        device: Where pieces are computed.
    """

    name: str
    network: Autoencoder
    factor: int
    tileable: bool
    native_window: int
    running: Running
    device: str = "cpu"

    @property
    def is_local(self) -> bool:
        """Whether tiles with a halo give the very result."""
        return self.tileable and isinstance(self.network, Local | Passing)

    @property
    def is_passing(self) -> bool:
        """Whether it is led in passes of which some take a coarse map at once."""
        return self.tileable and isinstance(self.network, Passing)

    @property
    def has_schedule(self) -> bool:
        """Whether its layers can be led one after another in pieces."""
        coder = getattr(self.network, "encoder", None), getattr(self.network, "decoder", None)
        return isinstance(coder[0], Encoder) and isinstance(coder[1], Decoder)

    def make(self, part: Part, shape: tuple[int, ...], held: int) -> Plan:
        """The plan for one input.

        Args:
            part: What is to be computed.
            shape: (inputs, channels, *sides) of what the network takes.
            held: Bytes held beside feature maps and weights: image, codes.

        Raises:
            SettingsError: The network cannot be led in the way that was asked for.
            TooLarge: The memory does not suffice; says what does.
        """
        self.check()
        tiling = self.running.tiling
        held = held + count_weights(self.network)
        if self.is_passing:
            return self._plan_passes(part, shape, held, whole=tiling == "whole")
        if self.is_local:
            return self._plan_tiles(part, shape, held, whole=tiling == "whole")
        if tiling == "window" or (tiling == "auto" and self._has_windows):
            return self._plan_windows(part, shape, held, limit=self.native_window)
        if tiling == "blend":
            return self._plan_windows(
                part, shape, held, limit=self._choose_limit(part, shape, held)
            )
        if tiling == "exact":
            return self._plan_exact(part, shape, held)
        return self._plan_whole(part, shape, held, or_exact=tiling == "auto")

    def check(self) -> None:
        """Refuse ways to run the network that it has not.

        Raises:
            SettingsError: Its tiles are exact and windows were asked for, or the other way round.
        """
        tiling = self.running.tiling
        if self.is_local:
            if tiling in {"window", "blend"}:
                raise SettingsError(
                    f"{self.name} has exact tiles, so that windows would only add an error: leave "
                    f"out tiling={tiling}"
                )
            return
        if self.running.tile and tiling != "blend":
            raise SettingsError(
                f"{self.name} has no exact tiles, since its network looks at the whole map: leave "
                "out the tile, or ask for tiling=blend"
            )
        if tiling == "window" and not self._has_windows:
            raise SettingsError(
                f"{self.name} has no published windows, its authors ran it whole: leave out "
                "tiling=window, or choose exact"
            )
        if tiling == "exact" and not self.has_schedule:
            raise SettingsError(
                f"{self.name} has no exact schedule, since the layers of its network are not "
                "known here: choose tiling=whole"
            )

    # -- memory ----------------------------------------------------------------------------------

    @property
    def memory(self) -> int:
        """Bytes the process may hold."""
        return choose_memory(self.running.memory)

    def _room(self, held: int) -> int:
        """Bytes that are left for feature maps."""
        if self._on_device:
            return self._device_room()
        return self.memory - PROCESS_BYTES - held

    @property
    def _on_device(self) -> bool:
        return not self.device.startswith("cpu")

    def _device_room(self) -> int:
        if self.running.device_memory is not None:
            return self.running.device_memory
        if self.device.startswith("cuda"):
            import torch

            # What PyTorch keeps of maps that were freed is free for it, and for nobody else.
            kept = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(
                self.device
            )
            return int((torch.cuda.mem_get_info(self.device)[0] + kept) * 0.9)
        return self.memory // 2  # other devices share the host's

    def _refuse(self, part: Part, shape: tuple[int, ...], held: int, least: int) -> TooLarge:
        """The error that says what came, what is needed, and what to do."""
        verb = "decoding codes of" if part == "decode" else "encoding"
        sides = " × ".join(map(str, shape[2:]))
        if self._on_device:
            needed, given, option = least, self._device_room(), "device_memory"
        else:
            needed, given, option = PROCESS_BYTES + held + least, self.memory, "memory"
        least_text = f"{math.ceil(needed / 2**20)}M"
        advice = f"give {option}={least_text}"
        if self.running.tiling == "whole":
            advice += ", or leave out tiling=whole"
        elif self.running.tile:
            advice += ", or a smaller tile"
        return TooLarge(
            f"{verb} {sides} with {self.name} needs at least {needed / _GIB:.2f} GiB, and "
            f"{given / _GIB:.2f} GiB are allowed: {advice}, or crop or resample the image",
            least=needed,
        )

    # -- tiles -----------------------------------------------------------------------------------

    def passes(self, part: Part) -> tuple[Pass, ...]:
        """The walks over an input of a local network."""
        network: Any = self.network
        if isinstance(network, Passing):
            return network.decoding_passes() if part == "decode" else network.encoding_passes()
        encode, decode = network.floats_per_voxel
        if part != "decode":
            function = network.encode
            return (Pass(function, network.encoder_reach * self.factor, self.factor, encode),)
        if isinstance(network, Staged):
            return network.decoding_passes()
        floats = decode * self.factor**network.dims
        return (Pass(network.decode, network.decoder_reach, 1 / self.factor, floats),)

    def _plan_tiles(self, part: Part, shape: tuple[int, ...], held: int, *, whole: bool) -> Plan:
        passes, sides = self.passes(part), shape[2:]
        room, batch = self._room(held), self._choose_batch(shape, part)
        least = self._least_cut(passes, sides, part)
        if whole:
            cuts = [Cut.of(passes, (sides,) * len(passes), sides, sides, one) for one in (batch, 1)]
        else:
            cuts = [self._cut(passes, sides, part, one, room) for one in (batch, 1)]
            cuts += [] if self.running.tile else [least]
        fitting = next((cut for cut in cuts if cut.bytes <= room), None)
        if fitting is None:
            needed = cuts[-1] if whole or self.running.tile else least
            raise self._refuse(part, shape, held, needed.bytes)
        last = fitting.tiles[-1]
        return Plan(
            manner="whole" if whole or last == sides else "tiles",
            pieces=count_tiles(sides, last) * -(-shape[0] // fitting.batch),
            sides=last,
            batch=fitting.batch,
            piece_bytes=fitting.bytes,
            held_bytes=held,
            memory=self.memory,
            on_device=self._on_device,
            tiles=(*fitting.tiles, fitting.block) if len(passes) > 1 else fitting.tiles,
        )

    def _cut(
        self, passes: tuple[Pass, ...], sides: tuple[int, ...], part: Part, batch: int, room: int
    ) -> Cut:
        """As large as the memory allows, or as the user says."""
        block, between = sides, count_between(passes)
        if between:
            most = min(WORKING_BYTES, room / 3) / (4 * batch * between)
            block = plan_tiles(sides, halo=passes[1].reach, stride=1, most_voxels=max(1.0, most))
        left = min(WORKING_BYTES, room - 4 * batch * between * hold(block, sides, passes[-1].reach))
        tiles = tuple(
            self._choose_tile(one, sides, part, left / cost(one, batch)) for one in passes
        )
        return Cut.of(passes, tiles, block, sides, batch)

    def _least_cut(self, passes: tuple[Pass, ...], sides: tuple[int, ...], part: Part) -> Cut:
        """Below it, tiles would be computed for their halo's sake."""
        tile = self._least_tile(sides, part)
        return Cut.of(passes, (tile,) * len(passes), tile, sides, 1)

    def _least_tile(self, sides: tuple[int, ...], part: Part) -> tuple[int, ...]:
        cell = self.factor if part == "decode" else 1  # voxels of the image per side of a cell
        return tuple(min(side, max(1, _LEAST_TILE // cell)) for side in sides)

    def _choose_tile(
        self, one: Pass, sides: tuple[int, ...], part: Part, most_voxels: float
    ) -> tuple[int, ...]:
        """Sides of tiles in cells of the input."""
        if self.running.tile:
            cell = self.factor if part == "decode" else 1
            return tuple(min(side, max(1, self.running.tile // cell)) for side in sides)
        stride = max(1, round(one.factor))
        tile = plan_tiles(sides, halo=one.reach, stride=stride, most_voxels=max(1.0, most_voxels))
        return tuple(map(max, tile, self._least_tile(sides, part)))

    def _choose_batch(self, shape: tuple[int, ...], part: Part) -> int:
        cells = math.prod(shape[2:]) * (self.factor ** len(shape[2:]) if part == "decode" else 1)
        most = DEVICE_BATCH_VOXELS if self._on_device else BATCH_VOXELS
        return max(1, min(shape[0], most // cells))

    def _plan_passes(self, part: Part, shape: tuple[int, ...], held: int, *, whole: bool) -> Plan:
        """One pass after the other, each over all of its map."""
        room = self._room(held)
        batches = dict.fromkeys((self._choose_batch(shape, part), 1))
        courses = [self._course(part, shape[2:], one, room, whole=whole) for one in batches]
        if not whole and not self.running.tile:
            courses.append(self._course(part, shape[2:], 1, 0, whole=False))
        fitting = next((one for one in courses if one.bytes <= room), None)
        if fitting is None:
            raise self._refuse(part, shape, held, courses[-1].bytes)
        pieces = max(fitting.pieces)
        return Plan(
            manner="whole" if whole or pieces == 1 else "tiles",
            pieces=pieces * -(-shape[0] // fitting.batch),
            sides=fitting.tiles[fitting.pieces.index(pieces)],
            batch=fitting.batch,
            piece_bytes=fitting.bytes,
            held_bytes=held,
            memory=self.memory,
            on_device=self._on_device,
            tiles=fitting.tiles,
        )

    def _course(
        self, part: Part, sides: tuple[int, ...], batch: int, room: float, *, whole: bool
    ) -> Course:
        """Tiles of each pass, as large as there is room for beside the maps between the passes."""
        tiles, pieces, most, before = [], [], 0.0, 0.0
        for one in self.passes(part):
            after = 4 * batch * one.channels * math.prod(sides) / one.factor ** len(sides)
            left = min(WORKING_BYTES, room - before - after)
            tile = sides
            if not whole and not one.whole:
                tile = self._choose_tile(one, sides, part, left / cost(one, batch))
            tiles.append(tile)
            pieces.append(count_tiles(sides, tile))
            most = max(most, before + after + cost(one, batch) * hold(tile, sides, one.reach))
            sides = tuple(round(side / one.factor) for side in sides)
            before = after
        return Course(tuple(tiles), tuple(pieces), batch, int(most))

    # -- windows ---------------------------------------------------------------------------------

    @property
    def _has_windows(self) -> bool:
        return self.native_window > 0 and self.network.dims == 3

    def _choose_limit(self, part: Part, shape: tuple[int, ...], held: int) -> int:
        """Below which length windows stay that were asked for: the user's, or what fits."""
        if self.running.tile:
            return self.running.tile + 1
        if self._has_windows:
            return self.native_window
        limit = max(shape[2:]) * (self.factor if part == "decode" else 1) + 1
        while limit > 2 * self.factor:
            sides = self._windows(part, shape, limit)
            if self.whole_bytes(part, (1, shape[1], *sides)) <= self._room(held):
                break
            limit = limit // 2 + 1
        return limit

    def _windows(self, part: Part, shape: tuple[int, ...], limit: int) -> tuple[int, ...]:
        cell = self.factor if part == "decode" else 1
        return tuple(choose_window(side * cell, limit, self.factor) // cell for side in shape[2:])

    def _plan_windows(self, part: Part, shape: tuple[int, ...], held: int, *, limit: int) -> Plan:
        """Windows, each whole where it fits and layer by layer where it does not."""
        sides = self._windows(part, shape, limit)
        row = self._row_bytes(part, shape, sides)
        one = self._plan_whole(part, (1, shape[1], *sides), held + row, or_exact=True)
        cell = 1 if part == "decode" else self.factor
        pieces = math.prod(
            len(place_windows(side, length, cell))
            for side, length in zip(shape[2:], sides, strict=True)
        )
        alone = sides == shape[2:]
        return Plan(
            manner=one.manner if alone else "windows",
            pieces=pieces * shape[0],
            sides=sides,
            batch=1,
            piece_bytes=one.piece_bytes,
            held_bytes=held + (0 if alone else row),
            memory=self.memory,
            on_device=self._on_device,
            maps=one.maps,
            schedule=one.schedule,
        )

    def _row_bytes(self, part: Part, shape: tuple[int, ...], sides: tuple[int, ...]) -> int:
        """What the sums of windows along one row take: values, weights, and a copy on the move."""
        voxels = math.prod(shape[2:-1]) * sides[-1]
        network = self.network
        if part == "decode":
            return 4 * voxels * self.factor ** len(sides) * (2 * network.in_channels + 2)
        return 4 * voxels // self.factor ** len(sides) * (4 * network.code_channels + 2)

    # -- whole and exact -------------------------------------------------------------------------

    def _plan_whole(self, part: Part, shape: tuple[int, ...], held: int, *, or_exact: bool) -> Plan:
        room = self._room(held)
        one = self.whole_bytes(part, (1, *shape[1:]))
        if one > room:
            if or_exact and self.has_schedule:
                return self._plan_exact(part, shape, held)
            raise self._refuse(part, shape, held, one)
        batch = max(1, min(self._choose_batch(shape, part), room // max(1, one)))
        return Plan(
            manner="whole",
            pieces=-(-shape[0] // batch),
            sides=shape[2:],
            batch=batch,
            piece_bytes=one * batch,
            held_bytes=held,
            memory=self.memory,
            on_device=self._on_device,
        )

    def whole_bytes(self, part: Part, shape: tuple[int, ...]) -> int:
        """What the feature maps of an input run whole take; 0 where the network is not known."""
        network: Any = self.network
        if not self.has_schedule:
            floats = getattr(network, "floats_per_voxel", (0.0, 0.0))[part == "decode"]
            cells = self.factor ** len(shape[2:]) if part == "decode" else 1
            return int(4 * floats * shape[0] * cells * math.prod(shape[2:]))
        size = next(network.parameters()).element_size()
        inputs, voxels = shape[0], math.prod(shape[2:])
        if part == "decode":
            maps = _DECODER_MAPS * network.decoder.conv_out.in_channels
            voxels *= self.factor ** len(shape[2:])
        else:
            maps = _ENCODER_MAPS * network.encoder.conv_in.out_channels
            if isinstance(network, Stitched):
                inputs, voxels = 1, min(voxels, max(BATCH_PIXELS, shape[2] * shape[3]))
        return int(inputs * voxels * (maps * size + 8 * network.in_channels))

    def _plan_exact(self, part: Part, shape: tuple[int, ...], held: int) -> Plan:
        """Layer by layer, what memory has no room for in scratch files."""
        room = self._room(held)
        network: Any = self.network
        try:
            schedule = plan_schedule(
                network, part, sides=shape[2:], memory=max(0, room), into=True
            )  # fmt: skip
        except TooLarge as error:
            raise self._refuse(part, shape, held, error.least) from error
        homes = set(schedule.homes.values())
        return Plan(
            manner="exact",
            pieces=schedule.boxes * schedule.slices * shape[0],
            sides=shape[2:],
            batch=1,
            piece_bytes=schedule.peak_bytes,
            held_bytes=held,
            memory=self.memory,
            on_device=self._on_device,
            maps=" and ".join(sorted(homes)),
            schedule=schedule,
        )


def count_weights(network: Any) -> int:
    """Bytes of a network's weights."""
    if not isinstance(network, nn.Module):
        return 0
    tensors = [*network.parameters(), *network.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
