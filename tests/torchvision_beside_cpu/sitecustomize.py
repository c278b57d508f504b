"""Lets `import torchvision` work beside the CPU build of torch, in tests and their child processes.

torchvision's wheels are linked to CUDA. Beside the CPU torch its operators cannot be loaded, and
importing it ends with "operator torchvision::nms does not exist", and so do timm, torchmetrics and
others that import it. Two operators' schemas, declared before, are enough for everything that does
not call them. Where torchvision's library loads, or there is none, nothing is done.

Python imports a module of this name by itself when it stands on PYTHONPATH; `tests/conftest.py`
puts it there and imports it. It is no part of the package: users have a torchvision that fits.
"""

import importlib.abc
import importlib.util
import sys
from pathlib import Path

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


class Door(importlib.abc.MetaPathFinder):
    """Stands before the other finders; wakes up when torchvision is asked for, and once."""

    def find_spec(self, fullname, path=None, target=None):
        """The spec the others find, whose loader is told to make way first."""
        if fullname != "torchvision":
            return None
        leave()
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            make_way(spec)
        return spec


def make_way(spec):
    """Declare the operators' schemas, unless torchvision's own library does."""
    import torch

    for folder in spec.submodule_search_locations or ():
        for path in Path(folder).glob("_C*.*"):  # _C.so; since 0.29 _C_stable.so
            try:
                torch.ops.load_library(str(path))
            except OSError:
                continue
            return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        if not hasattr(torch.ops.torchvision, schema.partition("(")[0]):
            library.define(schema)
    kept.append(library)  # schemas go with the library that declared them


def leave():
    """Take the door away."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "Door"]


kept = []

if "torchvision" not in sys.modules and not any(
    type(finder).__name__ == "Door" for finder in sys.meta_path
):
    sys.meta_path.insert(0, Door())
