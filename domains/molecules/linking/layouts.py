"""Entity linking sets: mentions in sentences with a picture, and the entity of a knowledge base that each is about.

One folder format serves WikiMEL (Wang et al. 2022), RichpediaMEL and WikiDiverse (Wang et al. 2022) as they were
brought together for MIMIC (Luo et al. 2023) and M3EL (Hu et al. 2025):
    kb_entity.json     list of {id, qid, entity_name, desc, type: "entity", image_list: [name, ...]}
    qid2id.json        one line, {qid: id}
    NAME_train.json, NAME_dev.json, NAME_test.json
                       list of {id, sentence, mentions, entities, imgPath, answer}; answer is a qid or "nil"
    kb_image/          pictures of entities, named by image_list
    mention_image/ or mention_images/   pictures of mentions: the last part of imgPath, always .jpg
Names and mentions are URL-quoted. Licences of the pictures vary; none is redistributed here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

from core.data.layout import Layout, Record, refuse_empty, require
from domains.molecules.linking.knowledge_base import (
    KnowledgeBase,
    file_names,
    read_json_list,
    text_field,
)
from domains.molecules.linking.sources import Pictures, titled

log = logging.getLogger(__name__)
FILES = {"train": "train", "val": "dev", "test": "test"}
NO_ENTITY = "nil"


class EntityLinkingFolder(Layout):
    """Modalities "mention" (mention and sentence), "mention_image", "entity" (name and description of the answer) and
    "entity_image"; a picture that is not there is an absent modality.

    Mentions that are about no entity ("nil") are dropped and counted in `nil`, those whose answer the knowledge base
    does not hold in `unknown`; `absent` is their sum. `answers`: position in `kb` of each record's entity.
    The public splits are over mentions: entities of a held-out mention may be answers of training mentions too.
    """

    prefix: ClassVar[str]

    def __init__(self, *, root: Path, split: str) -> None:
        super().__init__(root=root, split=split)
        path = self.root / f"{self.prefix}_{FILES[split]}.json"
        wanted = {"mentions": path, "entities": self.root / "kb_entity.json", "ids": self.root / "qid2id.json"}
        require(self.root, wanted, owner=self.name, source=self.source)
        self.kb = KnowledgeBase(self.root)
        folders = [self.root / name for name in ("mention_image", "mention_images")]
        self.pictures = next((folder for folder in folders if folder.is_dir()), folders[0])
        self._on_disk = file_names(self.pictures)
        self.mentions: list[Mapping[str, Any]] = []
        self.answers: list[int] = []
        self.nil = self.unknown = 0
        for i, row in enumerate(read_json_list(path)):
            answer = text_field(row, "answer", path, i)
            if answer == NO_ENTITY:
                self.nil += 1
            elif answer not in self.kb.number:
                self.unknown += 1
            else:
                text_field(row, "mentions", path, i)
                text_field(row, "sentence", path, i)
                self.mentions.append({**row, "number": i})
                self.answers.append(self.kb.number[answer])
        self.absent = self.nil + self.unknown
        if self.absent:
            log.info("%s %s: %d mentions of no entity, %d of unknown ones", self.name, split, self.nil, self.unknown)
        refuse_empty(len(self.mentions), owner=self.name, where=path, expected="mentions with an answer")
        self.tables = {
            "entities": {entity.qid: entity.text for entity in self.kb.entities},
            "mentions": {str(i): self._text(row) for i, row in enumerate(self.mentions)},
        }

    def __len__(self) -> int:
        return len(self.mentions)

    def record(self, index: int) -> Record:
        row = self.mentions[index]
        sources = {"mention": self._text(row), **self.kb.sources(self.answers[index])}
        picture = self._picture(str(row.get("imgPath") or ""))
        if picture is not None:
            sources["mention_image"] = picture
        return Record(id=f"{self.split}-{row['number']}", group=self.group(index), sources=sources)

    def group(self, index: int) -> str:
        """What the split keeps together: the mention."""
        return f"{self.split}-{self.mentions[index]['number']}"

    def _text(self, row: Mapping[str, Any]) -> str:
        return titled(unquote(str(row["mentions"])), str(row["sentence"]))

    def _picture(self, given: str) -> Pictures | None:
        """imgPath may be an address with any suffix; the files are its last part as .jpg."""
        last = given.rsplit("/", 1)[-1]
        tried = dict.fromkeys((f"{last.rpartition('.')[0] or last}.jpg", f"{last.split('.')[0]}.jpg"))
        found = next((name for name in tried if last and name in self._on_disk), None)
        return None if found is None else Pictures(self.pictures / found)


_MELBENCH = "https://github.com/seukgcode/MELBench, as prepared for https://github.com/pengfei-luo/MIMIC"


class WikiMEL(EntityLinkingFolder):
    """22,070 sentences of Wikipedia, 109,976 entities of Wikidata."""

    name: ClassVar[str] = "WikiMEL"
    licence: ClassVar[str] = "texts CC-BY-SA, pictures each their own; not redistributable"
    source: ClassVar[str] = _MELBENCH
    prefix: ClassVar[str] = "WIKIMEL"


class RichpediaMEL(EntityLinkingFolder):
    """17,724 sentences, 160,933 entities."""

    name: ClassVar[str] = "RichpediaMEL"
    licence: ClassVar[str] = "texts CC-BY-SA, pictures each their own; not redistributable"
    source: ClassVar[str] = _MELBENCH
    prefix: ClassVar[str] = "RichpediaMEL"


class WikiDiverse(EntityLinkingFolder):
    """7,405 captions of Wikinews pictures, 132,460 entities."""

    name: ClassVar[str] = "WikiDiverse"
    licence: ClassVar[str] = "texts CC-BY, pictures each their own; not redistributable"
    source: ClassVar[str] = (
        "https://github.com/wangxw5/wikiDiverse, as prepared for https://github.com/pengfei-luo/MIMIC"
    )
    prefix: ClassVar[str] = "WikiDiverse"
