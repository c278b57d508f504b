"""Freed memory stays while it is asked to, and goes afterwards; also where something failed."""

import os
import subprocess
import sys

import pytest

CHILD = """
import resource
import numpy as np
from plica.networks.heap import give_back, give_back_at_once, keeping_freed

def fault(times=20, size=2**21):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        np.ones(size, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def hold():
    return int(open("/proc/self/statm").read().split()[1])

give_back_at_once()
plain, resident = fault(), hold()
try:
    with keeping_freed():
        kept, held = fault(), hold()
        raise KeyboardInterrupt
except KeyboardInterrupt:
    after = hold()
print(plain, kept, resident, held, after)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is told")
def test_pages_are_cleared_once_and_given_back():
    done = subprocess.run(
        [sys.executable, "-c", CHILD], capture_output=True, text=True, check=True, env=os.environ
    )
    plain, kept, resident, held, after = map(int, done.stdout.split())
    if "glibc" not in os.confstr("CS_GNU_LIBC_VERSION"):
        pytest.skip("another C library")
    page = os.sysconf("SC_PAGE_SIZE")
    assert kept < plain / 4  # each of twenty blocks or one: NumPy asks for huge pages above 4 MiB
    assert (held - resident) * page > 2**20
    assert (after - resident) * page < 2**22
