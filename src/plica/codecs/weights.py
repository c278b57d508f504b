"""Weights files: found, opened without running anything in them, checked, put into a network.

A weights file comes from a stranger. It is opened as safetensors, or as a pickle by PyTorch's
unpickler for weights, which knows tensors and refuses everything else; nothing in it is ever
executed, and it cannot claim more memory than it has bytes.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.codec import RANDOM
from plica.codecs.fetching import fetch, first_line
from plica.codecs.random_weights import draw_weights
from plica.errors import PlicaError, WeightsError
from plica.networks.blocks import lay_out
from plica.networks.contract import RAISED
from plica.networks.heap import give_back

Weights = dict[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)

# The whole checkpoint of a latent diffusion model has some 8 GB; nothing here reads a larger one.
MOST_BYTES = 16 * 2**30
# What the diffusers library calls the weights in a folder.
_IN_FOLDER = "diffusion_pytorch_model.safetensors"
# Under which of these a file's weights may lie, beside what a training keeps.
_NESTS = ("state_dict", "unet_state_dict")
# How many digits of a checksum a message shows, where those tell it from another.
_TOLD = 12
# How many keys a message names.
_NAMED = 3
_HUB = re.compile(
    r"hub:(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?(?::(?P<filename>.+))?"
)
# What PyTorch's unpickler and zip reader raise on bytes that are not what they should be.
_DAMAGED = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    AssertionError,
    OSError,
)
# How files of PyTorch before 1.6 begin: a pickled number, by which it knows its own.
_OLD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9"


class Inert:
    """Stands in for objects of a training framework that lie beside the weights in a pickle.

    It does nothing with what it is given, so that nothing of theirs is imported or run.
    """

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


# PyTorch Lightning, with which the latent diffusion models were trained, pickles its callbacks,
# and NumPy scalars among them.
_INERT = (
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "_codecs.encode",
)


# -- all of it ---------------------------------------------------------------------------------


def load_network(
    card: CodecCard,
    given: str | Path | None,
    *,
    make: Callable[[], Network],
    convert: Callable[[Weights], Weights],
    read_folder: Callable[[Path], Weights] | None = None,
    sha256: str = "",
) -> tuple[Network, str]:
    """A network with its weights, and their fingerprint.

    Args:
        given: A weights file, "hub:repo@revision:file", or "random"; None takes the card's own
            source.
        make: Makes the network; it is called where parameters take no memory.
        convert: Brings the file's keys and shapes to the network's.
        read_folder: Reads a folder, for networks whose weights come in several files.
        sha256: What a given file must hash to; "" where it may be any.

    Raises:
        WeightsError: The weights are missing, damaged or of another network.
    """
    with torch.device("meta"):
        network = _make(make, card.name)
    if given == RANDOM:
        state = draw_weights(network)
    elif read_folder is not None and given is not None and Path(given).is_dir():
        state = convert(read_folder(Path(given)))
    else:
        path = resolve(card.weights, given, name=card.name)
        own = card.weights.kind == "package"
        otherwise = "fetch it again" + (" or correct the card's sha256" if own else "")
        sha256 = card.weights.sha256 if given is None else sha256
        state = convert(read(path, sha256=sha256, otherwise=otherwise))
    fill(network, state, name=card.name)
    del state
    give_back()
    return network, fingerprint(network.state_dict())


def _make(make: Callable[[], Network], name: str) -> Network:
    """The network; a fault of another's constructor is a sentence."""
    try:
        return make()
    except PlicaError:
        raise
    except RAISED as error:
        raise WeightsError(
            f"the network of {name} cannot be made: {type(error).__name__}: {first_line(error)}"
        ) from error


# -- finding -----------------------------------------------------------------------------------


def resolve(source: WeightsSource, given: str | Path | None, *, name: str) -> Path:
    """The weights file to read: the user's own, or the one from the card's hub.

    Args:
        given: A path, or "hub:repo", "hub:repo@revision", "hub:repo@revision:file"; what is left
            out is taken from `source`.
        name: The codec's, for messages.

    Raises:
        WeightsError: There is none, and how to come by it.

    Examples:
        >>> source = WeightsSource("file")
        >>> resolve(source, "weights/taef2_decoder.pth", name="taef2").name
        'taef2_decoder.pth'
    """
    if given is None:
        if source.kind != "hub":
            published = source.filename and f"; where it was published: {source.filename}"
            raise WeightsError(
                f"{name} comes without weights: give a local file with --weights, of several the "
                f"folder they lie in{published}"
            )
        return fetch(source.repo, source.filename, source.revision, name=name)
    if given == RANDOM:
        raise WeightsError(f"{name} has no random weights: its weights are computed, not trained")
    if str(given).startswith("hub:"):
        asked = _parse_hub(str(given), source)
        return fetch(asked.repo, asked.filename, asked.revision, name=name)
    path = _look_into(Path(given))
    if not path.is_file():
        raise WeightsError(
            f"no weights file at {path}: --weights takes a .safetensors, .ckpt or .bin file, a "
            "folder that holds one, or hub:repo@revision"
        )
    return path


def _look_into(path: Path) -> Path:
    """The weights file of a folder in the layout of the diffusers library; else the path."""
    inside = (path / _IN_FOLDER, path / "vae" / _IN_FOLDER) if path.is_dir() else ()
    found = next((file for file in inside if file.is_file()), None)
    if inside and found is None:
        raise WeightsError(
            f"no weights file at {path}: the folder holds no {_IN_FOLDER}; give the file itself, "
            "or a folder that holds one of that name"
        )
    return found or path


def _parse_hub(given: str, source: WeightsSource) -> WeightsSource:
    match = _HUB.fullmatch(given)
    filename = (match["filename"] if match else None) or source.filename
    if match is None or not filename:
        raise WeightsError(
            f"'{given}' does not name weights on the hub: write hub:owner/name@revision:file"
        )
    return WeightsSource("hub", match["repo"], match["revision"] or "", filename)


# -- reading -----------------------------------------------------------------------------------


def read(path: Path, *, sha256: str = "", otherwise: str = "fetch it again") -> Weights:
    """The tensors of a weights file, by their keys.

    Args:
        sha256: What the file must hash to; "" where it is not known.
        otherwise: What to do with one that does not.

    Raises:
        WeightsError: It is neither safetensors nor a pickle of tensors alone, or is damaged.

    Examples:
        >>> len(read(Path("my-codec/weights.safetensors")))
        120
    """
    size = _measure(path)
    wanted = sha256.strip().lower()  # as some tools print it
    if wanted and (found := _hash(path)) != wanted:
        has, expected = _tell_apart(found, wanted)
        raise WeightsError(
            f"{path.name} has the SHA-256 {has}, but {expected} was expected: "
            f"the file is incomplete or another one, {otherwise}"
        )
    with path.open("rb") as opened:
        start = opened.read(9)
    try:
        if start.startswith(b"PK\x03\x04"):
            loaded = _unpickle(path, size)
        elif start == _OLD:
            loaded = _unpickle_old(path, size)
        elif start[8:] == b"{":
            loaded = load_file(path)
        else:
            raise WeightsError(
                f"{path.name} is neither safetensors nor a PyTorch file: "
                "save its weights as one of them"
            )
    except SafetensorError as error:
        raise WeightsError(f"{path.name} is damaged safetensors: {first_line(error)}") from error
    return _take_tensors(loaded, path.name)


def _measure(path: Path) -> int:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise WeightsError(f"the weights file {path} cannot be read: {error}") from error
    if size > MOST_BYTES:
        raise WeightsError(
            f"{path.name} has {size / 2**30:.1f} GiB, more than the {MOST_BYTES / 2**30:.0f} GiB "
            "any checkpoint read here has: it is something else"
        )
    return size


def _hash(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _tell_apart(found: str, wanted: str) -> tuple[str, str]:
    """Two checksums that differ: their beginnings where those do, else all their digits."""
    if found[:_TOLD] != wanted[:_TOLD]:
        return f"{found[:_TOLD]}…", f"{wanted[:_TOLD]}…"
    if len(wanted) != len(found):
        return f"{found} ({len(found)} digits)", f"{wanted} ({len(wanted)} digits)"
    return found, wanted


def _unpickle_old(path: Path, size: int) -> Any:
    """A file in which the values follow their pickle, as the classifiers of 2017 still are."""
    with _naming_damage(path):
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        # Its pickle says how large a value is before any of it is read; memory that was asked for
        # and never filled is not taken yet.
        if sum(_stored_by_storage(loaded).values()) > size:
            raise WeightsError(f"{path.name} claims more values than it holds: it is damaged")
        return loaded


def _stored_by_storage(loaded: Any) -> dict[int, int]:
    state = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else {}
    values = state.values() if isinstance(state, Mapping) else ()
    tensors = [value for value in values if isinstance(value, Tensor) and not value.is_sparse]
    return {t.untyped_storage().data_ptr(): _stored_bytes(t) for t in tensors}


def _unpickle(path: Path, size: int) -> Any:
    with _naming_damage(path):
        with zipfile.ZipFile(path) as archive:
            # PyTorch stores its members as they are; a compressed one would be a bomb.
            if sum(member.file_size for member in archive.infolist()) > size:
                raise WeightsError(f"{path.name} holds compressed parts, which weights never do")
        with torch.serialization.safe_globals([(Inert, name) for name in _INERT]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


@contextmanager
def _naming_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise WeightsError(
            f"{path.name} could not be read as weights alone: {first_line(error)}. "
            "Nothing in it was run; save its tensors as safetensors where they come from"
        ) from error


def _take_tensors(loaded: Any, name: str) -> Weights:
    """The state dict itself, or the one that is nested."""
    nests = [nest for nest in _NESTS if isinstance(loaded, Mapping) and nest in loaded]
    state = loaded[nests[0]] if nests else loaded
    if not isinstance(state, Mapping) or not state:
        raise WeightsError(f"{name} holds no weights: a table of tensors by key was expected")
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(
                f"{name} holds '{key}', which is no tensor: a table of tensors by key was expected"
            )
        if value.is_sparse or value.numel() * value.element_size() > _stored_bytes(value):
            raise WeightsError(
                f"{name} claims more values for '{key}' than it holds: it is damaged"
            )
    return dict(state)


def _stored_bytes(value: Tensor) -> int:
    return int(value.untyped_storage().nbytes())


# -- checking and filling ----------------------------------------------------------------------


def fill(network: nn.Module, state: Mapping[str, Tensor], *, name: str) -> None:
    """Put weights into a network made without memory: as float32, channels last on the way.

    Raises:
        WeightsError: Keys are missing, unexpected or of another shape, or values are not finite.
    """
    check_keys({key: value.shape for key, value in network.state_dict().items()}, state, name=name)
    own = network.state_dict()
    for key, value in state.items():
        if not value.is_floating_point() and value.dtype == own[key].dtype:
            continue  # a count of batches
        if not value.is_floating_point():
            raise WeightsError(
                f"the weights of {name} hold {_name_type(value)} at {key}, where "
                f"{_name_type(own[key])} belongs: save the network as it computes"
            )
        if not torch.isfinite(value).all():
            raise WeightsError(
                f"the weights of {name} hold values at {key} that are not finite numbers: "
                "the file is damaged"
            )
    # Copies: a file that is changed while it is mapped must not change the network.
    owned = {key: _copy(value) for key, value in state.items()}
    network.load_state_dict(owned, assign=True)
    del owned  # kernels that are laid out anew after all need not exist twice
    if empty := [key for key, value in network.named_buffers() if value.is_meta]:
        raise WeightsError(
            f"the network of {name} computes with {', '.join(empty)}, which is not among its "
            "weights: register it with persistent=True"
        )
    lay_out(network)


def _name_type(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _copy(value: Tensor) -> Tensor:
    """As float32, kernels already in the order that they will be laid out in; counts as counts."""
    if not value.is_floating_point():
        return value.clone()
    order = {4: torch.channels_last, 5: torch.channels_last_3d}.get(value.ndim)
    # Of one channel or one tap both orders are one: such kernels keep their strides, since other
    # strides would choose other kernels of the library, which round otherwise.
    if order is None or value.is_contiguous(memory_format=order):
        return value.to(torch.float32, copy=True)
    return value.to(torch.float32, copy=True, memory_format=order)


def check_keys(wanted: Mapping[str, torch.Size], state: Mapping[str, Tensor], *, name: str) -> None:
    """Refuse weights whose keys or shapes are not the network's.

    Raises:
        WeightsError: Counts what is wrong, and names the first of each.
    """
    missing = [key for key in wanted if key not in state]
    unexpected = [key for key in state if key not in wanted]
    misshapen = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(shape)}"
        for key, shape in wanted.items()
        if key in state and state[key].shape != shape
    ]
    faults = [
        f"{len(keys)} {kind} ({', '.join(keys[:_NAMED])}{', …' if len(keys) > _NAMED else ''})"
        for kind, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshapen),
        )
        if keys
    ]
    if faults:
        raise WeightsError(
            f"the weights are not those of {name}: of its {len(wanted)} tensors "
            f"{'; '.join(faults)}. Give the file published for {name}, "
            "or the network's code has changed since"
        )


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over keys, shapes, types and bytes in the order of the keys, as "sha256:…".

    Examples:
        >>> fingerprint({"w": torch.zeros(1)})[:14]
        'sha256:e83f620'
    """
    digest = hashlib.sha256()
    for key in sorted(state):
        value = state[key].detach().cpu().contiguous()
        digest.update(f"{key}\0{tuple(value.shape)}\0{value.dtype}\0".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()}"
