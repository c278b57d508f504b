"""What stands on torchvision can be imported beside the CPU torch, here and in child processes."""

import subprocess
import sys

import pytest


def test_timm_is_imported_where_torchvision_is_linked_to_cuda():
    timm = pytest.importorskip("timm", reason="timm comes with the extra 'cad'")

    assert timm.is_model("hrnet_w64")


def test_a_child_process_imports_torchvision_too_and_without_a_warning():
    pytest.importorskip("timm", reason="timm comes with the extra 'cad'")
    code = "import torchvision; from torchvision.ops import nms; print(torchvision.__version__)"

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_a_child_that_needs_no_torchvision_pays_nothing_for_it():
    code = "import sys; print('torch' in sys.modules, 'torchvision' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "False"]
