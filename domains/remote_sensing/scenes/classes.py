"""The nine classes of Dynamic World (Brown et al. 2022), in its order, and their colours."""

from __future__ import annotations

VERSION = "1.1"  # raise it when the same seed gives other bytes: caches are named after it

CLASSES: tuple[str, ...] = (
    "water",
    "trees",
    "grass",
    "flooded_vegetation",
    "crops",
    "shrub_and_scrub",
    "built",
    "bare",
    "snow_and_ice",
)
WATER, TREES, GRASS, WETLAND, CROPS, SHRUB, BUILT, BARE, SNOW = range(9)
UNLABELLED = 255  # in label files: nobody knows

COLOURS: dict[int, tuple[int, int, int]] = {
    WATER: (65, 155, 223),
    TREES: (57, 125, 73),
    GRASS: (136, 176, 83),
    WETLAND: (122, 135, 198),
    CROPS: (228, 150, 53),
    SHRUB: (223, 195, 90),
    BUILT: (196, 40, 27),
    BARE: (165, 155, 143),
    SNOW: (179, 159, 225),
}
