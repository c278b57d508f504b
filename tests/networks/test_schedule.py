import dataclasses
import itertools
import json
import math
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.networks.made import make_input
from tests.networks.schedules import MIB, build, find_least, with_tiles

from plica.errors import OutputError, SettingsError, TooLarge
from plica.networks import attending, maps, winograd
from plica.networks.schedule import plan_schedule, run_schedule

ROOT = Path(__file__).resolve().parents[2]
# Odd multiples of the factor along every axis, the axes of different length.
SIDES = {2: (26, 14), 3: (10, 6, 14)}
WAYS = [("kl", "encode"), ("kl", "posterior"), ("kl", "decode"), ("vq", "encode"), ("vq", "decode")]
DIRECTIONS = [(dims, *way) for dims in (2, 3) for way in WAYS]
DIRECTIONS += [(3, "stitched", "encode"), (3, "stitched", "decode")]


@cache
def prepare(dims, kind, direction, dtype=torch.float32):
    """A network, an input, and the untiled result."""
    network = build(kind, dims=dims, dtype=dtype)
    x = make_input(f"schedule {dims}", (1, 1, *SIDES[dims])).to(dtype)
    if direction == "decode":
        x = network.encode(x)
    return network, x, run_whole(network, direction, x)


@torch.no_grad()
def run_whole(network, direction, x):
    if direction == "posterior":
        return torch.cat(network.posterior(x), dim=1)
    return getattr(network, direction)(x)


def plan_for(network, direction, x, memory=2**34, **settings):
    return plan_schedule(network, direction, sides=tuple(x.shape[2:]), memory=memory, **settings)


def deviation(found, true):
    """Root mean square of the difference, in deviations of the true result."""
    return float((found - true).double().square().mean().sqrt() / true.double().std())


# -- exactness -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "scratch"), [(4, True), (7, False), (100, False)], ids=["small", "large", "whole"]
)
@pytest.mark.parametrize(("dims", "kind", "direction"), DIRECTIONS)
def test_a_schedule_gives_the_untiled_result(dims, kind, direction, side, scratch, tmp_path):
    network, x, true = prepare(dims, kind, direction)
    plan = with_tiles(plan_for(network, direction, x), side, scratch=scratch)
    found = run_schedule(network, direction, x, plan=plan, scratch=tmp_path)
    assert found.shape == true.shape
    assert found.dtype == true.dtype
    assert deviation(found, true) <= 1e-5
    assert list(tmp_path.iterdir()) == []


def test_maps_for_which_a_device_has_no_room_wait_in_the_hosts_memory():
    network, x, true = prepare(2, "kl", "encode")
    plan = dataclasses.replace(plan_for(network, "encode", x), held=0)
    assert deviation(run_schedule(network, "encode", x, plan=plan), true) <= 1e-5


@pytest.mark.parametrize(("dims", "kind", "direction"), DIRECTIONS)
def test_in_double_precision_no_value_differs(dims, kind, direction, monkeypatch):
    """What rounding hides in single precision would show here: a border, a moment, a key."""
    monkeypatch.setattr(attending, "KEYS", 30)
    network, x, true = prepare(dims, kind, direction, torch.float64)
    plan = with_tiles(plan_for(network, direction, x), 5, scratch=False)
    found = run_schedule(network, direction, x, plan=plan)
    # Moments are gathered in float64 from pieces whose own are too.
    assert (found - true).abs().max() <= 1e-11 * true.std()


@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_single_precision_is_no_further_from_the_truth_than_the_untiled_network(direction):
    network, x, untiled = prepare(3, "kl", direction)
    double, _, _ = prepare(3, "kl", direction, torch.float64)
    true = run_whole(double, direction, x.double())
    tiled = run_schedule(
        network, direction, x, plan=with_tiles(plan_for(network, direction, x), 5, scratch=False)
    )
    assert deviation(tiled, true) <= max(2 * deviation(untiled, true), 3e-6)


@pytest.mark.parametrize("dims", [2, 3])
def test_half_precision_differs_as_little_as_half_precision_does(dims):
    network = build("kl", dims=dims, dtype=torch.bfloat16)
    x = make_input("half", (1, 1, *SIDES[dims])).bfloat16()
    untiled = run_whole(network, "encode", x)
    true = run_whole(build("kl", dims=dims), "encode", x.float())
    plan = with_tiles(plan_for(network, "encode", x), 5, scratch=False)
    tiled = run_schedule(network, "encode", x, plan=plan)
    assert tiled.dtype == torch.bfloat16
    assert deviation(tiled, true) <= 1.5 * deviation(untiled, true)


def test_networks_with_attention_and_wider_levels_are_walked_as_they_run():
    network = build(
        "kl",
        widths=(64, 32, 64),
        blocks=2,
        attention_levels=(1,),
        in_channels=3,
        dtype=torch.float64,
    )
    x = make_input("deep", (1, 3, 20, 12)).double()
    for direction in ("encode", "decode"):
        true = run_whole(network, direction, x)
        plan = with_tiles(plan_for(network, direction, x), 4, scratch=False)
        found = run_schedule(network, direction, x, plan=plan)
        assert (found - true).abs().max() <= 1e-11 * true.std()
        x = true


def test_wide_layers_take_the_faster_way_in_boxes_too(monkeypatch):
    network = build("kl", widths=(32, 128))
    x = make_input("wide", (1, 1, 128, 96))
    true = run_whole(build("kl", widths=(32, 128), dtype=torch.float64), "encode", x.double())
    paddings, convolve = [], winograd.convolve
    monkeypatch.setattr(
        winograd, "convolve", lambda *given: (paddings.append(given[3]), convolve(*given))[1]
    )
    plan = with_tiles(plan_for(network, "encode", x), 46, scratch=False)
    found = run_schedule(network, "encode", x, plan=plan)
    assert paddings
    assert deviation(found, true) <= 1e-5


def test_encoders_and_decoders_alone_are_parts_as_well():
    network, x, _ = prepare(2, "kl", "encode")
    plan = with_tiles(plan_for(network.encoder, "encode", x), 6, scratch=False)
    with torch.no_grad():
        true = network.encoder(x)
    assert deviation(run_schedule(network.encoder, "encode", x, plan=plan), true) <= 1e-5


# -- where things come from and go ---------------------------------------------------------------


@pytest.mark.parametrize(("dims", "kind", "direction"), [(2, "kl", "encode"), *DIRECTIONS[-2:]])
def test_boxes_are_read_from_arrays_and_written_to_arrays(dims, kind, direction, tmp_path):
    network, x, true = prepare(dims, kind, direction)
    source = np.memmap(tmp_path / "x", np.float32, "w+", shape=tuple(x.shape))
    source[:] = x.numpy()
    into = np.full(tuple(true.shape), np.nan, np.float32)
    plan = with_tiles(plan_for(network, direction, x, into=True), 5, scratch=False)
    assert run_schedule(network, direction, source, plan=plan, into=into) is into
    assert deviation(torch.from_numpy(into), true) <= 1e-5


@pytest.mark.parametrize(
    ("dims", "kind", "direction"), [DIRECTIONS[0], DIRECTIONS[2], (3, "stitched", "encode")]
)
def test_progress_adds_up_to_the_values_of_the_input(dims, kind, direction):
    network, x, _ = prepare(dims, kind, direction)
    told = []
    plan = with_tiles(plan_for(network, direction, x), 7, scratch=False)
    run_schedule(network, direction, x, plan=plan, advance=told.append)
    assert sum(told) == pytest.approx(x.numel())
    assert min(told) > 0


def test_progress_is_told_within_attention(monkeypatch):
    monkeypatch.setattr(attending, "KEYS", 64)
    network = build("kl")
    x = make_input("attention", (1, 1, 64, 64))
    told = []
    run_schedule(network, "encode", x, plan=plan_for(network, "encode", x), advance=told.append)
    assert len(told) > 1024 // 64, "once for each chunk of keys"
    assert max(told) < 0.3 * x.numel()


def test_an_interruption_leaves_no_file_open(tmp_path, monkeypatch):
    closed = []
    close = maps.ScratchMap.close
    monkeypatch.setattr(maps.ScratchMap, "close", lambda one: (closed.append(one), close(one)))
    network, x, _ = prepare(2, "kl", "encode")
    plan = with_tiles(plan_for(network, "encode", x), 7, scratch=True)
    steps = itertools.count()

    def interrupt(_):
        if next(steps) == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_schedule(network, "encode", x, plan=plan, scratch=tmp_path, advance=interrupt)
    assert closed
    assert all(one._file.closed for one in closed)


# -- plans and refusals --------------------------------------------------------------------------


@pytest.mark.parametrize("scratch", [False, True])
@pytest.mark.parametrize(("dims", "kind", "direction"), DIRECTIONS[::3])
def test_the_least_that_is_named_can_and_less_cannot(dims, kind, direction, scratch):
    network = build(kind, dims=dims)
    sides = {2: (256, 128), 3: (48, 32, 32)}[dims]
    least = find_least(network, direction, sides, scratch=scratch)
    plan = plan_schedule(network, direction, sides=sides, memory=least, scratch=scratch)
    assert plan.peak_bytes <= least
    with pytest.raises(TooLarge, match="the least that can is"):
        plan_schedule(network, direction, sides=sides, memory=least - MIB, scratch=scratch)


def test_more_memory_never_means_more_boxes():
    network = build("kl", dims=3)
    boxes = [
        plan_schedule(network, sides=(128, 128, 96), memory=memory * MIB, scratch=True).boxes
        for memory in (48, 64, 128, 512, 4096)
    ]
    assert boxes[-1] < boxes[2] < boxes[0]


def test_maps_move_to_files_where_memory_is_little():
    network = build("kl", dims=3)
    sides = (128, 128, 96)
    rich = plan_schedule(network, sides=sides, memory=2**33)
    poor = plan_schedule(network, sides=sides, memory=100 * MIB)
    assert set(rich.homes.values()) == {"memory"}
    assert rich.scratch_bytes == 0
    assert poor.homes[32, sides] == "scratch"
    assert poor.scratch_bytes >= 2 * 32 * 4 * math.prod(sides)
    assert poor.peak_bytes <= 100 * MIB
    assert "scratch" in poor.describe()
    assert all(math.prod(poor.tiles[each]) <= math.prod(rich.tiles[each]) for each in rich.tiles)


def test_without_scratch_the_refusal_says_that_scratch_would_help():
    with pytest.raises(TooLarge, match="or allow a scratch folder"):
        plan_schedule(build("kl"), sides=(512, 512), memory=40 * MIB, scratch=False)


@pytest.mark.parametrize(
    ("sides", "said"), [((27, 14), "multiples of 2"), ((26,), "2 sides"), ((0, 14), "multiples")]
)
def test_sides_that_the_network_does_not_take_are_refused(sides, said):
    with pytest.raises(SettingsError, match=said):
        plan_schedule(build("kl"), sides=sides, memory=2**33)


@pytest.mark.parametrize(("kind", "direction"), [("vq", "posterior"), ("kl", "project")])
def test_directions_that_a_network_has_not_are_refused(kind, direction):
    with pytest.raises(SettingsError, match=direction):
        plan_schedule(build(kind), direction, sides=(26, 14), memory=2**33)


def test_a_plan_is_for_what_it_was_made_for(tmp_path):
    network, x, _ = prepare(2, "kl", "encode")
    plan = plan_for(network, "encode", x)
    with pytest.raises(SettingsError, match="plan anew"):
        run_schedule(network, "encode", x[..., :-2], plan=plan)
    with pytest.raises(SettingsError, match="in which folder"):
        run_schedule(network, "encode", x, plan=with_tiles(plan, 9, scratch=True))
    with pytest.raises(OutputError, match="cannot be used"):
        run_schedule(
            network, "encode", x, plan=with_tiles(plan, 9, scratch=True), scratch=tmp_path / "none"
        )


# -- memory, measured ----------------------------------------------------------------------------

MEASURE = """
import json, sys, torch
from pathlib import Path
from plica.networks.heap import give_back
from plica.networks.memory import read_peak
from plica.networks.schedule import plan_schedule, run_schedule
from tests.networks.schedules import build

torch.set_num_threads(2)
folder, memory, direction = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
network = build("kl", widths=(32, 32, 32, 32, 64))
sides = (832, 576)
shape = (1, 1, *sides) if direction == "encode" else (1, 2, *(side // 16 for side in sides))
x = torch.rand(shape)
# What is mapped of torch's own library is not the network's; how much that is depends on the disk.
first = x[..., : x.shape[-2] // 4, : x.shape[-1] // 4]
plan = plan_schedule(network, direction, sides=tuple(first.shape[2:]), memory=memory)
run_schedule(network, direction, first, plan=plan, scratch=folder)
del plan, first
give_back()
held = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
plan = plan_schedule(network, direction, sides=tuple(x.shape[2:]), memory=memory)
found = run_schedule(network, direction, x, plan=plan, scratch=folder)
tiled = read_peak() - held
with torch.inference_mode():
    true = getattr(network, direction)(x)
untiled = read_peak() - held
difference = float((found - true).square().mean().sqrt() / true.std())
print(json.dumps([plan.peak_bytes, tiled, untiled, difference, plan.scratch_bytes]))
"""


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="memory is read as Linux tells it"
)
@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_memory_stays_below_what_was_given_where_the_untiled_network_needs_four_times_as_much(
    direction, tmp_path
):
    given = 48 * MIB
    told, tiled, untiled, difference, scratch = measure(given, direction, tmp_path)
    assert scratch > 0
    assert told <= given
    assert tiled <= 1.1 * told
    assert untiled >= 4 * given, "the network would not have fitted"
    assert difference <= 1e-5


def measure(given, direction, folder):
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder), str(given), direction],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths, "OMP_WAIT_POLICY": "passive"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
