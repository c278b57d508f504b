"""Self-attention over all voxels of a feature map, in memory linear in their number.

For tokens n, m (the voxels), with one head as wide as the map has channels C:

    y_n = Σ_m softmax_m(q_n · k_m / √C) v_m

The published code writes the N × N table twice: 34 GB for a picture of 1024² at f = 4. Here
no more than `TABLE` of its entries exist at a time, and the result is the same to rounding.

Measured on two CPU cores in float32, C = 512 (memory is what comes on top of q, k and v):

    N        rows of the table                 scaled_dot_product_attention
    16 384   2.2 s (4.2 s CPU), 0.18 GiB       3.7 s (4.0 s CPU), 0.03 GiB
    65 536   69 to 78 s CPU, 0.27 GiB          63 to 66 s CPU, 0.13 GiB

The work is the same; PyTorch's kernel kept one core busy with a single head, the table's products
keep all. Where a gradient is wanted, or on CUDA, PyTorch's kernel is taken.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from plica.networks.blocks import CONVOLUTION, add, normalisation

TABLE = 2**25


class Attention(nn.Module):
    """x + proj(attention(norm(x))) with a single head.

    Args:
        dims: Axes of space: 2 or 3.
        width: Channels of x.
    """

    def __init__(self, *, dims: int, width: int) -> None:
        super().__init__()
        convolution = CONVOLUTION[dims]
        self.norm = normalisation(width)
        self.q = convolution(width, width, 1)
        self.k = convolution(width, width, 1)
        self.v = convolution(width, width, 1)
        self.proj_out = convolution(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The block's result, of x's shape."""
        h = self.norm(x)
        q, k, v = (layer(h).flatten(2).transpose(1, 2) for layer in (self.q, self.k, self.v))
        h = attend(q, k, v).transpose(1, 2).reshape(x.shape)
        return add(self.proj_out(h), x)


def attend(q: Tensor, k: Tensor, v: Tensor, table: int = TABLE) -> Tensor:
    """Attention of (batch, token, channel) queries over keys and values.

    Args:
        table: How many entries of the table of weights may exist at a time.

    Examples:
        >>> q, k, v = torch.randn(3, 1, 5, 8)
        >>> attend(q, k, v).shape
        torch.Size([1, 5, 8])
    """
    by_rows = q.device.type != "cuda" and q.dtype in {torch.float32, torch.float64}
    if torch.is_grad_enabled() or not by_rows:
        # Its kernels are linear in memory too, keep little for the gradient, and sum in float32.
        return functional.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
    y = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    rows = max(1, min(q.shape[1], table // k.shape[1]))
    weights = torch.empty(rows, k.shape[1], dtype=q.dtype, device=q.device)
    for one in range(len(q)):
        for start in range(0, q.shape[1], rows):
            part = slice(start, start + rows)
            _attend_rows(q[one, part], k[one], v[one], weights=weights, y=y[one, part])
    return y


def _attend_rows(q: Tensor, k: Tensor, v: Tensor, *, weights: Tensor, y: Tensor) -> None:
    """Write the attention of some queries to `y`; `weights` is overwritten."""
    p = weights[: len(q)]
    torch.addmm(p, q, k.T, beta=0, alpha=q.shape[1] ** -0.5, out=p)
    p.sub_(p.amax(1, keepdim=True)).exp_()
    torch.mm(p, v, out=y)
    y.div_(p.sum(1, keepdim=True))


def attend_to_chunks(q: Tensor, chunks: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Attention of (token, channel) queries over keys and values that come in chunks.

    With the largest score so far m, what was summed before is made smaller whenever m grows
    (Milakov and Gimelshein, 2018):

        l ← l e^(m − m′) + Σ e^(s − m′)        y ← y e^(m − m′) + Σ e^(s − m′) v

    Args:
        q: The queries.
        chunks: Keys and values, each (token, channel); at least one.

    Examples:
        >>> q, k, v = torch.randn(3, 5, 8)
        >>> attend_to_chunks(q, zip(k.split(2), v.split(2))).shape
        torch.Size([5, 8])
    """
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:
        return _attend_to_chunks_in_half(q, chunks)
    precise = torch.promote_types(q.dtype, torch.float32)
    most = torch.full((len(q), 1), -torch.inf, dtype=precise, device=q.device)
    total = torch.zeros_like(most)
    y = torch.zeros(q.shape, dtype=precise, device=q.device)
    table = torch.empty(0, dtype=precise, device=q.device)
    for k, v in chunks:
        if len(table) < len(q) * len(k):
            table = torch.empty(len(q) * len(k), dtype=precise, device=q.device)
        p = _score(q, k, table[: len(q) * len(k)].view(len(q), len(k)))
        larger = torch.maximum(most, p.amax(1, keepdim=True))
        p.sub_(larger).exp_()
        fading = most.sub_(larger).exp_()
        total.mul_(fading).add_(p.sum(1, keepdim=True))
        y.mul_(fading)
        y.addmm_(p, v) if v.dtype == precise else y.add_(torch.mm(p.to(v.dtype), v))
        most = larger
    return y.div_(total).to(q.dtype)


def _attend_to_chunks_in_half(q: Tensor, chunks: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """The same by PyTorch's own kernel, which in bfloat16 is four times as fast as products are.

    It tells of each chunk the logarithm of its sum of weights, by which results are weighed:

        y = Σ_c e^(L_c − L) y_c        L = log Σ_c e^L_c
    """
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    y = torch.zeros(q.shape, dtype=torch.float32)
    whole = torch.full((len(q), 1), -torch.inf)
    for k, v in chunks:
        part, logarithm = kernel(q[None, None], k[None, None], v[None, None])
        larger = torch.logaddexp(whole, logarithm.reshape(-1, 1))
        y.mul_((whole - larger).exp_()).addcmul_(
            part[0, 0].float(), (logarithm.reshape(-1, 1) - larger).exp_()
        )
        whole = larger
    return y.to(q.dtype)


def _score(q: Tensor, k: Tensor, p: Tensor) -> Tensor:
    """Write q · k / √C to p."""
    scale = q.shape[1] ** -0.5
    if q.dtype == p.dtype:
        return torch.addmm(p, q, k.T, beta=0, alpha=scale, out=p)
    return p.copy_(torch.mm(q, k.T)).mul_(scale)
