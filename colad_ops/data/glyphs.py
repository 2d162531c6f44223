"""From an 8x8 handwritten digit to ink on a picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

# Interpolated grey below LOW is paper and above HIGH is full ink: the ramp between them is the soft edge of a stroke.
LOW, HIGH = 0.35, 0.6
MIN_CONTRAST = 110.0  # of luma, 0..255, between the ink and the pixels it covers, averaged over them
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def render_digit(glyph: np.ndarray, side: int) -> np.ndarray:
    """Ink of a digit, its longer side ``side`` pixels.

    Args:
        glyph: (8, 8) float in 0..1.
        side: pixels.

    Returns:
        (h, w) float64 opacity in 0..1 with max(h, w) == side, cropped to the ink: each border row and column holds a
        pixel above 0.
    """
    scale = side / 8
    for _ in range(8):  # only rendering tells the ink's extent: the scale is corrected a few times
        ink = _ink(glyph, scale)
        longer = max(ink.shape)
        if longer == side:
            return ink
        scale *= side / longer
    # No scale gives this extent, which jumps by more than a pixel: the ink itself is resized.
    height, width = (max(1, round(extent * side / longer)) for extent in ink.shape)
    resized = Image.fromarray(ink.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    return np.array(resized, dtype=np.float64).clip(0, 1)


def _ink(glyph: np.ndarray, scale: float) -> np.ndarray:
    """The glyph enlarged by ``scale``, its strokes sharpened, cropped to what is above 0."""
    padded = np.pad(glyph, 1).astype(np.float32)  # a ring of paper, so that strokes at the border end softly
    extent = max(1, round(padded.shape[0] * scale))
    grey = np.array(Image.fromarray(padded).resize((extent, extent), Image.Resampling.BICUBIC), dtype=np.float64)
    ink = ((grey - LOW) / (HIGH - LOW)).clip(0, 1)
    ink[ink < 0.125] = 0  # fainter than an eighth is invisible and would widen the box
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def contrasting_colour(under: np.ndarray, ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random colour that stands out against the pixels it will cover.

    Args:
        under: (h, w, 3) float, the picture's pixels, 0..255.
        ink: (h, w) opacity.
        rng: draws colours until one fits.

    Returns:
        (3,) float64 in 0..255 whose luma differs from that of the covered pixels by ``MIN_CONTRAST`` or more on
        average. One exists: the distances to black and to white add up to 255.
    """
    weights, luma = ink / ink.sum(), under @ LUMA  # (h, w)
    while True:
        colour = rng.uniform(0, 255, 3)
        if (weights * np.abs(colour @ LUMA - luma)).sum() >= MIN_CONTRAST:
            return colour
