"""plica: fold medical images into latents, and unfold them on the patient's own grid."""

from plica.grid import Grid
from plica.image import Display, Image, Provenance, Unit
from plica.latent import Latent

__version__ = "0.1.0.dev0"

__all__ = ["Display", "Grid", "Image", "Latent", "Provenance", "Unit", "__version__"]
