"""plica: fold medical images into latents, and unfold them on the patient's own grid."""

from typing import TYPE_CHECKING

from plica.codecs.catalogue import load
from plica.errors import PlicaError
from plica.formats.doors import read, read_latent, write
from plica.grid import Grid
from plica.image import Display, Image, Provenance, Unit
from plica.latent import Latent
from plica.training.store import open_store

if TYPE_CHECKING:  # at run time the room itself can be called: see plica/codecs/__init__.py
    from plica.codecs.catalogue import cards as codecs

__version__ = "0.1.0.dev0"

__all__ = [
    "Display",
    "Grid",
    "Image",
    "Latent",
    "PlicaError",
    "Provenance",
    "Unit",
    "__version__",
    "codecs",
    "load",
    "open_store",
    "read",
    "read_latent",
    "write",
]
