"""The compact autoencoder: residual blocks around the optimal linear one.

```text
      ┌────────── analysis ──────────┐
x ──►─┤                              +─►─ u ─ standardise ─►─ z           f voxels per code cell
      └─ cells ─ conv ─ blocks ─ conv┘                                    and axis
      ┌────────── synthesis ─────────┐
u ──►─┤                              +─►─ x̂
      └─ conv ─ blocks ─ conv ─ cells┘
```

Analysis and synthesis are those of `networks.linear`. The last convolution of either branch begins
at zero, so that training begins at the score of the linear autoencoder. Nothing looks at the whole
map: what a code sees, and what sees a code, is finite and known (`encoder_reach`, `decoder_reach`),
so that tiles with such a halo give the very result.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from plica.errors import SettingsError, WeightsError
from plica.networks.autoencoder import Pass
from plica.networks.blocks import CONVOLUTION, add
from plica.networks.branches import CONVOLVE, Block, Decoding, Encoding, pad_cells, read_stages
from plica.networks.cells import expect_deviations, make_cosines, shuffle

MOST_FACTOR = 64


class Compact(nn.Module):
    """Small learned codes for images of one channel.

    The stages of encoder and decoder are written one after another as (side, width, blocks, …),
    where `side` is how many voxels a cell of the stage's grid has per axis. The encoder's sides
    grow up to at most `factor`, the decoder's shrink from at most `factor`; () leaves the branch
    out.

    Args:
        dims: Axes of space: 2 or 3.
        factor: Voxels per code and axis.
        code_channels: Codes per cell.
        encoder: Its stages.
        decoder: Its stages.
        kernels: Sides of a block's two convolutions.
        expansion: A block's inner channels, as a multiple of the width.

    Examples:
        >>> encoder, decoder = (4, 96, 5), (4, 96, 8)
        >>> network = Compact(dims=2, factor=4, code_channels=3, encoder=encoder, decoder=decoder)
        >>> network.encode(torch.zeros(1, 1, 64, 64)).shape
        torch.Size([1, 3, 16, 16])
    """

    code_scale: Tensor
    code_mean: Tensor
    code_deviation: Tensor

    def __init__(
        self,
        *,
        dims: int,
        factor: int,
        code_channels: int,
        encoder: tuple[int, ...],
        decoder: tuple[int, ...],
        kernels: tuple[int, ...] = (3, 3),
        expansion: int = 1,
    ) -> None:
        super().__init__()
        _check_numbers(dims, factor, code_channels, kernels, expansion)
        self.dims = dims
        self.factor = factor
        self.in_channels = 1
        self.code_channels = code_channels
        self.expansion = expansion
        self.analysis = nn.Parameter(torch.zeros(code_channels, 1, *[factor] * dims))
        self.synthesis = nn.Parameter(torch.zeros(factor**dims, code_channels, *[3] * dims))
        self.register_buffer("code_scale", torch.ones(code_channels))
        self.register_buffer("code_mean", torch.zeros(code_channels))
        self.register_buffer("code_deviation", torch.ones(code_channels))
        self.encoder_stages = read_stages("encoder", encoder, factor)
        self.decoder_stages = read_stages("decoder", decoder, factor)
        block = partial(Block, dims=dims, kernels=tuple(kernels), expansion=expansion)
        if self.encoder_stages:
            self.encoder = Encoding(dims, factor, code_channels, self.encoder_stages, block)
        if self.decoder_stages:
            self.decoder = Decoding(dims, factor, code_channels, self.decoder_stages, block)

    # -- folding and unfolding -------------------------------------------------------------------

    def encode(self, x: Tensor) -> Tensor:
        """Codes (batch, code, *space / factor), standardised."""
        u = self._analyse(x)
        if self.encoder_stages:
            u = add(self.encoder(x).to(u.dtype) * self._per_code(self.code_scale), u)
        return (u - self._per_code(self.code_mean)) / self._per_code(self.code_deviation)

    def decode(self, z: Tensor) -> Tensor:
        """The image of codes z, about [−1, 1]; not clamped."""
        u = self._unstandardise(z)
        x = shuffle(self._synthesise(u), self.factor)
        if self.decoder_stages:
            x = add(self.decoder(u / self._per_code(self.code_scale)).to(x.dtype), x)
        return x

    def _unstandardise(self, z: Tensor) -> Tensor:
        return z * self._per_code(self.code_deviation) + self._per_code(self.code_mean)

    def _analyse(self, x: Tensor) -> Tensor:
        """The linear codes, never in half precision: no branch can repair what is rounded."""
        with torch.autocast(x.device.type, enabled=False):
            return CONVOLVE[self.dims](x.to(self.analysis.dtype), self.analysis, stride=self.factor)

    def _synthesise(self, u: Tensor) -> Tensor:
        with torch.autocast(u.device.type, enabled=False):
            return CONVOLVE[self.dims](pad_cells(u.to(self.synthesis.dtype)), self.synthesis)

    def _per_code(self, numbers: Tensor) -> Tensor:
        return numbers.reshape(-1, *[1] * self.dims)

    def decoding_passes(self) -> tuple[Pass, ...]:
        """Decoding in one pass, or in two where the first stage is as coarse as the codes.

        Coarse blocks see far and finer ones need memory; apart, neither pays for the other.
        """
        stages, enlarging = self.decoder_stages, 1 / self.factor
        floats = self.floats_per_voxel[1] * self.factor**self.dims
        if len(stages) < 2 or stages[0].side != self.factor:
            return (Pass(self.decode, self.decoder_reach, enlarging, floats),)
        far, near = self.decoder.reaches
        coarse = (4 + self.expansion) * stages[0].width + self.code_channels
        share = self.decoder.begun_share
        begun = stages[0].width + self.code_channels
        return (
            Pass(self._begin_decoding, far, 1, coarse, share, begun),
            Pass(self._finish_decoding, near, enlarging, floats, 1 - share),
        )

    def _begin_decoding(self, z: Tensor) -> Tensor:
        u = self._unstandardise(z)
        return torch.cat([u, self.decoder.begin(u / self._per_code(self.code_scale))], 1)

    def _finish_decoding(self, begun: Tensor) -> Tensor:
        u, h = begun[:, : self.code_channels], begun[:, self.code_channels :]
        return add(self.decoder.finish(h), shuffle(self._synthesise(u), self.factor))

    # -- weights from elsewhere ------------------------------------------------------------------

    @torch.no_grad()
    def adopt_linear(self, state: Mapping[str, Tensor]) -> None:
        """Take the two kernels of a fitted `networks.linear.Linear` of the same size.

        Raises:
            WeightsError: They are missing or of another size.
        """
        for name in ("analysis", "synthesis"):
            own, given = getattr(self, name), state.get(name)
            if given is None or given.shape != own.shape:
                came = "nothing" if given is None else tuple(given.shape)
                raise WeightsError(
                    f"the linear start for this compact network needs {name} of "
                    f"{tuple(own.shape)}, but {came} came: take the linear codec of the same "
                    "dims, factor and channels"
                )
            own.copy_(given)
        self.code_scale.copy_(self._expect_scale())

    def _expect_scale(self) -> Tensor:
        """Deviations of the linear codes: those of cosines, seen through the analysis."""
        cosines = torch.from_numpy(make_cosines(self.factor, self.dims))
        deviations = torch.from_numpy(expect_deviations(self.factor, self.dims))
        rows = self.analysis.detach().flatten(1).double().cpu()
        return torch.linalg.vector_norm((rows @ cosines.T) * deviations, dim=1).to(self.code_scale)

    @torch.no_grad()
    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Give codes that have had these statistics, per channel, mean 0 and deviation 1.

        The image does not change: `decode` undoes what `encode` does.

        Raises:
            SettingsError: There is not one finite mean and positive deviation per code channel.
        """
        shape = self.code_mean.shape
        fine = mean.shape == shape and deviation.shape == shape
        if not fine or not (mean.isfinite() & deviation.isfinite() & (deviation > 0)).all():
            raise SettingsError(
                f"standardised codes need {shape[0]} finite means and as many deviations above "
                f"zero, but {mean.tolist()} and {deviation.tolist()} came"
            )
        self.code_mean += mean.to(self.code_mean) * self.code_deviation
        self.code_deviation *= deviation.to(self.code_deviation)

    # -- facts -----------------------------------------------------------------------------------

    @property
    def least_cells(self) -> int:
        """How many code cells a side has at least.

        None of the volumes it is trained on ends on both sides of a cell: where one does, whole
        slices come back too light or too dark.
        """
        return 2 if self.dims == 3 else 1

    @property
    def encoder_reach(self) -> int:
        """How many code cells away a voxel may lie, per axis, for a code to see it."""
        return -(-self._reach_voxels // self.factor)

    @property
    def decoder_reach(self) -> int:
        """How many code cells away a code may lie, per axis, for a voxel to see it."""
        return sum(self.decoder.reaches) if self.decoder_stages else 1

    @property
    def receptive_field(self) -> int:
        """Voxels per axis that one code sees."""
        return self.factor + 2 * self._reach_voxels

    @property
    def _reach_voxels(self) -> int:
        return self.encoder.reach_voxels if self.encoder_stages else 0

    @property
    def floats_per_voxel(self) -> tuple[float, float]:
        """About how many numbers are held at once per voxel: encoding, decoding.

        Of a block: what came, the inner map, the result, and as much again as a convolution's
        workspace. Around it: the image, its cells, and the cells with a border.
        """
        maps = 3 + self.expansion
        encoder, decoder = (
            max((maps * one.width / one.side**self.dims for one in stages), default=0.0)
            for stages in (self.encoder_stages, self.decoder_stages)
        )
        return 3 + encoder, 3 + decoder

    def multiply_adds(self) -> tuple[float, float]:
        """Multiplications with a weight per voxel of the image: to encode, and to decode."""
        voxels = self.factor**self.dims
        return (
            self.analysis.numel() / voxels
            + (self.encoder.multiply_adds() if self.encoder_stages else 0),
            self.synthesis.numel() / voxels
            + (self.decoder.multiply_adds() if self.decoder_stages else 0),
        )


def _check_numbers(
    dims: int, factor: int, code_channels: int, kernels: tuple[int, ...], expansion: int
) -> None:
    if dims not in CONVOLUTION or not 1 <= factor <= MOST_FACTOR or code_channels < 1:
        raise SettingsError(
            f"a compact network has 2 or 3 dims, a factor of 1 to {MOST_FACTOR} and at least one "
            f"code channel, but dims {dims}, factor {factor} and code_channels {code_channels} came"
        )
    sides = isinstance(kernels, tuple | list) and len(kernels) == 2
    if not sides or any(side not in (1, 3, 5, 7) for side in kernels) or not 1 <= expansion <= 8:
        raise SettingsError(
            "a compact network's blocks have two kernels of side 1, 3, 5 or 7 and an expansion of "
            f"1 to 8, but kernels {kernels!r} and expansion {expansion!r} came"
        )
