"""True sentences about a scene, in English and German. No directions: a flipped picture keeps its caption."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from domains.remote_sensing.scenes.classes import BARE, BUILT, CROPS, GRASS, SHRUB, SNOW, TREES, WATER, WETLAND
from domains.remote_sensing.scenes.facts import Facts

LANGUAGES = ("en", "de")
Phrases = dict[int, tuple[str, ...]]
_LAND: dict[str, Phrases] = {
    "en": {
        WATER: ("open water", "water"), TREES: ("forest", "woodland", "trees"),
        GRASS: ("grassland", "meadows", "pasture"), WETLAND: ("flooded vegetation", "wetland", "marsh"),
        CROPS: ("cropland", "farm fields", "cultivated fields"),
        SHRUB: ("shrubland", "scrub", "bushes"), BUILT: ("built-up area", "buildings and streets", "urban land"),
        BARE: ("bare ground", "bare soil and rock", "open soil"), SNOW: ("snow", "snow and ice"),
    },
    "de": {
        WATER: ("offenes Wasser", "Wasser"), TREES: ("Wald", "Bäume"), GRASS: ("Grasland", "Wiesen"),
        WETLAND: ("überflutete Vegetation", "Feuchtgebiete"), CROPS: ("Ackerland", "Felder"),
        SHRUB: ("Buschland", "Sträucher"), BUILT: ("bebaute Fläche", "Gebäude und Straßen"),
        BARE: ("kahler Boden", "offener Boden und Fels"), SNOW: ("Schnee", "Schnee und Eis"),
    },
}  # fmt: skip
_WHOLE: dict[str, tuple[str, ...]] = {
    "en": ("The scene is mostly {a}.", "Most of the area is {a}.", "{a} covers most of the image."),
    "de": ("Die Szene zeigt vor allem {a}.", "Das Bild zeigt größtenteils {a}."),
}
_TWO: dict[str, tuple[str, ...]] = {
    "en": ("{a} and {b}.", "A mix of {a} and {b}.", "{a} next to {b}.", "The image shows {a} with {b}."),
    "de": ("{a} und {b}.", "Das Bild zeigt {a} und {b}.", "{a} neben {b}."),
}
_THREE: dict[str, tuple[str, ...]] = {
    "en": ("{a}, {b} and {c}.", "{a} with {b} and some {c}."),
    "de": ("{a}, {b} und {c}.", "{a} mit {b}, dazu {c}."),
}
_EXTRA: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "river narrow": ("A narrow river winds through it.", "A small river runs through the area."),
        "river broad": ("A broad river runs through the scene.", "A wide river crosses the area."),
        "lake": ("There is a lake.", "A lake lies in the area."),
        "coast": ("The sea meets the land here.", "A coast with open sea."),
        "houses": ("There are a few houses or roads.", "Scattered buildings and roads can be seen."),
        "town": ("A town lies in the area.", "There is a small town with streets."),
        "city": ("Dense streets and houses form a city.", "A city takes up much of the scene."),
        "tall": ("Many of the buildings are tall.", "High buildings stand in the streets."),
        "flat": ("The land is flat.",), "hilly": ("The land is hilly.", "Hills shape the terrain."),
        "mountainous": ("The terrain is mountainous.", "Steep mountains rise here."),
        "fields green": ("The fields are green.", "Crops stand green in the fields."),
        "fields harvested": ("The fields have been harvested.", "Stubble stands on the fields."),
        "fields bare": ("The fields lie bare.", "The soil of the fields is bare."),
        "trees evergreen": ("The trees are mostly evergreen.",),
        "trees leafless": ("The trees have lost their leaves.",),
        "trees green": ("The trees are in full leaf.",),
        "snow": ("Snow covers the ground.", "The ground is white with snow."),
        "flood": ("The river has flooded the land beside it.", "Flood water stands beside the river."),
        "winter": ("It is winter.",), "spring": ("It is spring.",), "summer": ("It is summer.",),
        "autumn": ("It is autumn.",),
    },
    "de": {
        "river narrow": ("Ein schmaler Fluss schlängelt sich hindurch.", "Ein kleiner Fluss fließt durch das Gebiet."),
        "river broad": ("Ein breiter Fluss fließt durch die Szene.",),
        "lake": ("Es gibt einen See.",), "coast": ("Hier trifft das Meer auf das Land.",),
        "houses": ("Es gibt einige Häuser oder Straßen.",), "town": ("Im Gebiet liegt eine kleine Stadt.",),
        "city": ("Dichte Straßen und Häuser bilden eine Stadt.",), "tall": ("Viele der Gebäude sind hoch.",),
        "flat": ("Das Land ist flach.",), "hilly": ("Das Land ist hügelig.",),
        "mountainous": ("Das Gelände ist bergig.",),
        "fields green": ("Die Felder sind grün.",), "fields harvested": ("Die Felder sind abgeerntet.",),
        "fields bare": ("Die Felder liegen brach.",), "trees evergreen": ("Die Bäume sind meist immergrün.",),
        "trees leafless": ("Die Bäume haben ihr Laub verloren.",), "trees green": ("Die Bäume stehen in vollem Laub.",),
        "snow": ("Schnee bedeckt den Boden.",), "flood": ("Der Fluss hat das Land neben sich überflutet.",),
        "winter": ("Es ist Winter.",), "spring": ("Es ist Frühling.",), "summer": ("Es ist Sommer.",),
        "autumn": ("Es ist Herbst.",),
    },
}  # fmt: skip


def captions(facts: Facts, rng: np.random.Generator, *, language: str = "en", count: int = 5) -> list[str]:
    """`count` captions of one or two sentences: what covers the ground, and a detail. All say what is true."""
    return [_caption(facts, rng, language) for _ in range(count)]


def _caption(facts: Facts, rng: np.random.Generator, language: str) -> str:
    sentences = [_ground(facts, rng, language)]
    details = _details(facts)
    if details:
        # rare things are named more often than what every scene has
        weights = np.array([4.0 if detail in ("snow", "flood", "lake", "coast", "city") else
                            0.5 if detail in ("flat", facts.season) else 1.5 for detail in details])  # fmt: skip
        count = min(len(details), int(rng.choice([0, 1, 1, 2])))
        for i in rng.choice(len(details), size=count, replace=False, p=weights / weights.sum()):
            sentences.append(_pick(rng, _EXTRA[language][details[int(i)]]))
    return " ".join(sentences)


def _ground(facts: Facts, rng: np.random.Generator, language: str) -> str:
    kinds = facts.largest()
    names = [_pick(rng, _LAND[language][kind]) for kind in kinds]
    if facts.shares[kinds[0]] > 0.55 and rng.random() < 0.7:
        text = _pick(rng, _WHOLE[language]).format(a=names[0])
    elif len(names) == 1:
        text = f"{names[0]}."
    elif len(names) == 2 or rng.random() < 0.5:
        text = _pick(rng, _TWO[language]).format(a=names[0], b=names[1])
    else:
        text = _pick(rng, _THREE[language]).format(a=names[0], b=names[1], c=names[2])
    return text[0].upper() + text[1:]


def _details(facts: Facts) -> list[str]:
    """Keys of what else is true of the scene."""
    flags = {
        f"river {facts.river}": bool(facts.river),
        "lake": facts.lake,
        "coast": facts.coast,
        facts.town: bool(facts.town),
        "tall": facts.tall,
        facts.relief: True,
        f"fields {facts.fields}": bool(facts.fields) and not facts.snow,
        f"trees {facts.trees}": bool(facts.trees),
        "snow": facts.snow,
        "flood": facts.flood,
        facts.season: True,
    }
    return [name for name, is_true in flags.items() if is_true]


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]
