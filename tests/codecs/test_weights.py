"""Weights are opened without running anything in them, and refused unless they fit."""

import os
import pickle
import re
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.networks.made import make_state

from plica.codecs import weights
from plica.codecs.card import CodecCard, WeightsSource
from plica.codecs.weights import fill, fingerprint, load_network, read, resolve
from plica.errors import WeightsError

HUB = WeightsSource("hub", repo="owner/name", revision="abc123", filename="folder/model.ckpt")


def make_network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.GroupNorm(1, 3))


def card(source: WeightsSource) -> CodecCard:
    return CodecCard("made", "made", "Made.", 2, 4, 1, 1, "", "", "", weights=source)


@pytest.fixture
def state():
    return make_state(make_network())


# -- the good ----------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["safetensors", "raw", "nested", "half"])
def test_weights_come_back_as_they_were(state, layout, tmp_path):
    path = tmp_path / "w"
    kept = state
    if layout == "safetensors":
        save_file(state, path)
    elif layout == "half":
        kept = {key: value.bfloat16() for key, value in state.items()}
        torch.save(kept, path)
    else:
        torch.save({"state_dict": state, "epoch": 7} if layout == "nested" else state, path)

    network, made_of = load_network(
        card(HUB), path, make=make_network, convert=lambda weights: weights
    )

    for key, value in network.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, kept[key].float())
    assert made_of == fingerprint({key: value.float() for key, value in kept.items()})
    assert network(torch.zeros(1, 2, 4, 4)).isfinite().all()


def test_a_file_that_changes_later_does_not_change_the_network(state, tmp_path):
    path = tmp_path / "w.ckpt"
    torch.save(state, path)
    network, before = load_network(card(HUB), path, make=make_network, convert=dict)

    with path.open("r+b") as opened:
        opened.write(bytes(path.stat().st_size))

    assert fingerprint(network.state_dict()) == before


def test_objects_of_a_training_framework_are_passed_over(state, tmp_path, monkeypatch):
    """The published latent diffusion checkpoints hold PyTorch Lightning's callbacks, and scores."""
    name = "pytorch_lightning.callbacks.model_checkpoint"
    module = types.ModuleType(name)
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": name})
    callback = module.ModelCheckpoint()
    callback.best = 1.5
    path = tmp_path / "w.ckpt"
    with monkeypatch.context() as context:
        for part in ("pytorch_lightning", "pytorch_lightning.callbacks", name):
            context.setitem(sys.modules, part, module)
        kept = {module.ModelCheckpoint: {"it": callback, "score": np.float64(0.5)}}
        record = {"state_dict": state, "callbacks": kept}
        torch.save(record, path)

    assert set(read(path)) == set(state)


def test_the_fingerprint_sees_keys_shapes_types_and_values():
    one = {"a": torch.zeros(2, 3), "b": torch.ones(2)}
    others = [
        {"a": torch.zeros(2, 3), "c": torch.ones(2)},
        {"a": torch.zeros(3, 2), "b": torch.ones(2)},
        {"a": torch.zeros(2, 3), "b": torch.ones(2).half()},
        {"a": torch.zeros(2, 3), "b": torch.tensor([1.0, 2.0])},
    ]

    assert fingerprint(one) == fingerprint({"b": one["b"], "a": one["a"].t().contiguous().t()})
    assert len({fingerprint(state) for state in [one, *others]}) == 5


def test_a_file_of_pytorch_before_1_6_is_read(state, tmp_path):
    path = tmp_path / "old.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)

    found = read(path)

    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)


# -- the bad -----------------------------------------------------------------------------------


class _Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("form", ["torch", "torch legacy", "pickle", "nested"])
def test_a_malicious_pickle_is_not_run(form, tmp_path):
    touched, path = tmp_path / "touched", tmp_path / "w.ckpt"
    attack = _Attack(touched)
    if form == "pickle":
        path.write_bytes(pickle.dumps(attack))
    else:
        held = {"state_dict": {"w": torch.zeros(1)}, "x": attack} if form == "nested" else attack
        torch.save(held, path, _use_new_zipfile_serialization=form != "torch legacy")

    with pytest.raises(WeightsError):
        read(path)

    assert not touched.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither safetensors nor"),
        (b"hello world", "neither safetensors nor"),
        (b"\xff" * 8 + b"{", "damaged safetensors"),
        (b"PK\x03\x04" + bytes(100), "could not be read"),
    ],
)
def test_what_is_no_weights_file_is_refused(content, message, tmp_path):
    path = tmp_path / "w"
    path.write_bytes(content)

    with pytest.raises(WeightsError, match=message):
        read(path)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("ending", ["ckpt", "safetensors", "old"])
def test_a_truncated_file_is_refused(state, kept, ending, tmp_path):
    path = tmp_path / f"w.{ending}"
    if ending == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=ending != "old")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])

    with pytest.raises(WeightsError):
        read(path)


def test_an_old_file_that_claims_more_than_it_holds_is_refused(tmp_path):
    path = tmp_path / "old.pth"
    torch.save({"w": torch.ones(100_000)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    claim, more = (b"J" + number.to_bytes(4, "little") for number in (100_000, 2**30))
    assert content.count(claim) == 2  # of the values that are stored, and of those of the tensor
    larger = content.replace(claim, more)
    keys = re.search(rb"\x80\x02\]q\x00X.{4}\d+q\x01a\.", larger, re.DOTALL)
    assert keys is not None
    # One that is filled too short, and one that is never filled.
    for damaged in (larger, larger.replace(keys[0], pickle.dumps([], 2))):
        path.write_bytes(damaged)
        with pytest.raises(WeightsError, match="old"):
            read(path)


def test_damaged_bytes_are_refused_or_read_but_never_crash(state, tmp_path):
    whole, path = tmp_path / "whole", tmp_path / "w.ckpt"
    torch.save(state, whole)
    content = whole.read_bytes()
    refused = 0
    for place in range(0, len(content), 61):
        damaged = bytearray(content)
        damaged[place] ^= 0x5A
        path.write_bytes(damaged)
        try:
            assert all(isinstance(value, torch.Tensor) for value in read(path).values())
        except WeightsError:
            refused += 1
    assert refused


def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(tmp_path):
    path = tmp_path / "w.ckpt"
    torch.save({"w": torch.zeros(1).expand(10**12)}, path)

    with pytest.raises(WeightsError, match="claims more values for 'w'"):
        read(path)


def test_a_compressed_archive_is_refused(tmp_path):
    path = tmp_path / "w.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(10**7))

    with pytest.raises(WeightsError, match="compressed parts"):
        read(path)


def test_a_file_beyond_any_checkpoint_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "w"
    path.write_bytes(bytes(100))
    monkeypatch.setattr(weights, "MOST_BYTES", 99)

    with pytest.raises(WeightsError, match="something else"):
        read(path)


@pytest.mark.parametrize(
    "held", [7, [], {}, {"a": 1}, {"state_dict": {"a": "b"}}, {1: torch.zeros(1)}]
)
def test_what_holds_no_tensors_is_refused(held, tmp_path):
    path = tmp_path / "w"
    torch.save(held, path)

    with pytest.raises(WeightsError, match="table of tensors"):
        read(path)


def test_another_file_than_the_cards_is_refused(state, tmp_path):
    path = tmp_path / "w"
    save_file(state, path)
    right = weights._hash(path)

    assert set(read(path, sha256=right)) == set(state)
    assert set(read(path, sha256=right.upper())) == set(state)  # as some tools print it
    with pytest.raises(
        WeightsError, match=f"{right[:12]}…, but 000000000000… was .* fetch it again"
    ):
        read(path, sha256="0" * 64)
    near = right[:-1] + ("0" if right[-1] != "0" else "1")
    with pytest.raises(WeightsError, match=f"{right}, but {near} was expected"):
        read(path, sha256=near)
    with pytest.raises(
        WeightsError, match=rf"{right} \(64 digits\), but {near[:-1]} \(63 digits\)"
    ):
        read(path, sha256=near[:-1])


# -- the ones of another network ---------------------------------------------------------------


def test_keys_that_do_not_fit_are_counted_and_named(state):
    del state["0.bias"], state["1.bias"]
    state["2.weight"] = torch.zeros(1)
    state["1.weight"] = torch.zeros(4)

    with pytest.raises(WeightsError) as caught:
        fill(make_network(), state, name="codec-x")

    message = str(caught.value)
    assert "not those of codec-x: of its 4 tensors" in message
    assert "2 missing (0.bias, 1.bias)" in message
    assert "1 unexpected (2.weight)" in message
    assert "1 of another shape (1.weight (4,) instead of (3,))" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(state, value):
    state["1.weight"][1] = value

    with pytest.raises(WeightsError, match=r"1\.weight"):
        fill(make_network(), state, name="codec-x")


def test_whole_numbers_are_no_weights(state):
    state["1.weight"] = torch.ones(3, dtype=torch.int64)

    with pytest.raises(WeightsError, match=r"hold int64 at 1\.weight, where float32 belongs"):
        fill(make_network(), state, name="codec-x")


# -- where they come from ----------------------------------------------------------------------


def test_the_users_own_file_goes_first(tmp_path):
    path = tmp_path / "w.ckpt"
    path.touch()

    assert resolve(HUB, path, name="x") == path
    assert resolve(HUB, str(path), name="x") == path


def test_a_path_without_a_file_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="no weights file at"):
        resolve(HUB, tmp_path, name="x")


def test_a_file_that_is_gone_by_now_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"w\.ckpt cannot be read: .*No such file"):
        read(tmp_path / "w.ckpt")


def test_a_codec_without_a_public_source_asks_for_a_file():
    source = WeightsSource("file", filename="kl-f4/model.ckpt")

    with pytest.raises(WeightsError, match=r"local file with --weights.*kl-f4/model\.ckpt"):
        resolve(source, None, name="kl-f4")


@pytest.fixture
def asked(monkeypatch, tmp_path):
    calls = []

    def hf_hub_download(repo, filename, revision=None):
        calls.append((repo, revision, filename))
        return str(tmp_path / "fetched")

    monkeypatch.setattr("plica.codecs.fetching.can_reach", lambda address: True)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", hf_hub_download)
    return calls


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, ("owner/name", "abc123", "folder/model.ckpt")),
        ("hub:me/mine", ("me/mine", None, "folder/model.ckpt")),
        ("hub:me/mine@v1.0", ("me/mine", "v1.0", "folder/model.ckpt")),
        ("hub:me/mine@main:a/b.safetensors", ("me/mine", "main", "a/b.safetensors")),
        (Path("hub:me/mine:b.safetensors"), ("me/mine", None, "b.safetensors")),
    ],
)
def test_the_hub_is_asked_for_repository_revision_and_file(given, expected, asked, tmp_path):
    assert resolve(HUB, given, name="x") == tmp_path / "fetched"
    assert asked == [expected]


@pytest.mark.parametrize("given", ["hub:", "hub:name", "hub:a/b/c", "hub:a/b@"])
def test_what_names_no_repository_is_refused(given, asked):
    with pytest.raises(WeightsError, match="hub:owner/name@revision:file"):
        resolve(HUB, given, name="x")
    assert not asked


def test_offline_the_message_says_what_to_fetch(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    with pytest.raises(WeightsError) as caught:
        resolve(HUB, None, name="codec-x")

    message = str(caught.value)
    for part in ("codec-x", "folder/model.ckpt", "owner/name", "abc123", "--weights FILE"):
        assert part in message
