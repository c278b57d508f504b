"""What a process holds stays below the memory it was given: measured, each time in one of its own.

Volumes are four times as large as could be run in one piece in that memory.
"""

import json
import os
import subprocess
import sys

import pytest

MIB = 2**20
SLACK = 1.1
CHILD = """
import json, sys
import numpy as np
from pathlib import Path
import plica
from plica.formats.drafts import Draft
from plica.networks.memory import read_peak

name, memory, side, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
codec = plica.load(name, memory=memory)
image = plica.read(folder / "a.npy", spacing_mm=(1, 1, 1), unit="HU", mapped=True)
plans = [codec.plan_encoding(image)]
latent = codec.encode(image)
peaks = [read_peak()]
del image
plans.append(codec.plan_decoding(latent))
with Draft(lambda outline: folder / "b.nii", small_bytes=0) as draft:
    draft.finish(codec.decode_into(latent, draft.begin))
peaks.append(read_peak())
found = {"peaks": peaks, "pieces": [plan.pieces for plan in plans],
         "foretold": [plan.peak_bytes for plan in plans]}
print(json.dumps(found))
"""
# Codec, memory in MiB, sides: of which one piece would take four times the room there is.
VOLUMES = [
    ("linear-4x1-3d", 448, (320, 320, 300)),
    ("linear-4x3-2d", 480, (2900, 2700, 3)),
    pytest.param("compact-4x1-3d", 448, (160, 160, 112), marks=pytest.mark.slow),
    pytest.param("compact-4x3-2d", 480, (1000, 900, 2), marks=pytest.mark.slow),
]


def measure(code: str, *words: object) -> dict:
    """What a process of its own prints, in JSON."""
    command = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def make_volume(path, shape) -> None:
    """Noise on a ramp, written a slice at a time."""
    import numpy as np

    generator = np.random.default_rng(0)
    pixels = np.lib.format.open_memmap(path, "w+", np.int16, shape)
    for i in range(shape[0]):
        pixels[i] = generator.integers(-1000, 1000, shape[1:], np.int16) // 4 + i
    pixels.flush()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are read from /proc")
@pytest.mark.parametrize(("name", "memory", "shape"), VOLUMES)
def test_the_peak_stays_within_the_memory(name, memory, shape, tmp_path):
    make_volume(tmp_path / "a.npy", shape)

    found = measure(CHILD, name, memory * MIB, shape[0], tmp_path)

    assert min(found["pieces"]) > 1
    assert max(found["foretold"]) <= memory * MIB
    assert max(found["peaks"]) <= SLACK * memory * MIB, found


HELD = """
import json, sys
import numpy as np
import plica
from plica.networks.memory import read_peak

codec = plica.load("linear-4x1-3d", memory=sys.argv[3])
small = plica.Image(np.zeros((1, 16, 16, 16), np.int16), plica.Grid.from_spacing((16, 16, 16)))
codec.decode(codec.encode(small))
before = read_peak()
image = plica.read(sys.argv[1], unit="HU", mapped=sys.argv[2] == "mapped")
read = read_peak()
codec.encode(image)
print(json.dumps({"before": before, "read": read, "encoded": read_peak()}))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are read from /proc")
def test_a_mapped_volume_is_never_in_memory_and_a_read_one_once(tmp_path):
    """128 MiB of pixels: prepared, padded and hashed, they would be there four times."""
    import numpy as np

    shape, size = (512, 511, 257), 512 * 511 * 257 * 2
    import plica

    zeros = np.broadcast_to(np.int16(-1000), (1, *shape))
    plica.write(plica.Image(zeros, plica.Grid.from_spacing(shape)), tmp_path / "a.nii")

    mapped, whole = (
        measure(HELD, tmp_path / "a.nii", way, memory)
        for way, memory in (("mapped", "448M"), ("read", "576M"))
    )

    assert mapped["encoded"] - mapped["before"] < 0.9 * size + 40 * MIB
    assert size * 0.9 < whole["read"] - whole["before"] < 1.6 * size
    assert whole["encoded"] <= SLACK * 576 * MIB
