"""Made images with landmarks: tissue, noise, edges and lesions at known places."""

import numpy as np

from plica.grid import Grid
from plica.image import Image, Unit

SEED = 20


def smooth_noise(shape, sigma, seed=SEED):
    """Noise of standard deviation 1, blurred by `sigma` voxels."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).normal(size=shape)
    widths = [sigma if side > 1 else 0 for side in shape]
    noise = gaussian_filter(noise, widths, mode="wrap")
    return noise / noise.std()


def body(shape=(160, 144, 1), spacing=(0.8, 0.8, 1.0), noise=12.0, seed=SEED):
    """A CT of a body: air, fat under the skin, muscle with vessels, lung, bone."""
    places = np.meshgrid(
        *[(np.arange(n) - (n - 1) / 2) / (n / 2) for n in shape[:2]], indexing="ij"
    )
    x, y = (place[:, :, None] * np.ones(shape) for place in places)
    radius = np.sqrt(x**2 + y**2)
    values = np.full(shape, -1000.0)
    values[radius < 0.92] = -100.0
    values[radius < 0.80] = 50.0
    values[((x + 0.35) ** 2 + (y / 1.4) ** 2) < 0.05] = -800.0
    values[((x - 0.35) ** 2 + y**2) < 0.012] = 700.0
    rng = np.random.default_rng(seed)
    values += 6 * smooth_noise(shape, 8, seed) + noise * rng.normal(size=shape)
    return make(values, spacing)


def make(values, spacing=(1.0, 1.0, 1.0), unit=Unit.HU, *, calibrated=True, dtype=np.float32):
    """An image of values (i, j, k)."""
    grid = Grid.from_spacing(values.shape, spacing, calibrated=calibrated)
    return Image(np.asarray(values)[None].astype(dtype), grid, unit)


def changed(image, values):
    """The image with other values (i, j, k) in its own type."""
    return image.with_pixels(np.asarray(values)[None].astype(image.pixels.dtype))


def mapped(function):
    """A codec that does something to the values (i, j, k)."""
    return lambda image: changed(image, function(image.pixels[0].astype(np.float64)))


def shifted(values, by):
    """Values moved by a part of a voxel along i and j, exactly as far as frequencies allow."""
    from scipy.ndimage import fourier_shift

    padded = np.pad(values, [(24, 24), (24, 24), (0, 0)], mode="reflect")
    moved = np.fft.ifftn(fourier_shift(np.fft.fftn(padded), (*by, 0))).real
    return moved[24:-24, 24:-24]
