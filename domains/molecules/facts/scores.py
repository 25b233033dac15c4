"""BLEU and chrF++ of sentences told from facts, by language, in the script of the language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from core.data.datamodule import DataModule
from core.errors import ConfigError
from core.evaluation.generated_text import BleuTokenizer, bleu, chrf_plus_plus, exact_match
from core.models.dual_encoder import DualEncoder
from core.training.figures import Figure, Section
from core.training.generation import Teller
from core.training.precision import Compute
from domains.molecules.facts.fact import read_statement
from domains.molecules.facts.processors import SentenceProcessor
from domains.molecules.facts.script import from_devanagari

SHOWN = 18  # rows of the table of samples


class SentenceScores(Figure):
    """`facts/<language>/bleu`, `/chrf++`, `/exact`, and their means over languages without one in the name.

    Free decoding, one reference, in the script of the language whatever the model writes. `facts/bleu` names no
    tokenizer because the figure's argument does: BLEU changes with it, most of all in Indic scripts ("13a" leaves a
    danda on its word, "char" counts characters). `copy/` scores the facts' own line as the answer.
    """

    headline: ClassVar[Mapping[str, str]] = {
        "facts to text, mean BLEU": "facts/bleu",
        "  mean chrF++": "facts/chrf++",
        "  the facts as they are, chrF++": "facts/copy/chrf++",
    }

    def __init__(
        self,
        *,
        facts: str = "facts",
        sentence: str = "sentence",
        head: str = "sentence",
        length: int = 96,
        tokenizer: BleuTokenizer = "13a",
    ) -> None:
        """length: most ids of a sentence, start and end included."""
        self.teller = Teller(facts, sentence, head, length)
        self.facts, self.sentence, self.head, self.length, self.tokenizer = facts, sentence, head, length, tokenizer
        self.shown: list[list[str]] = []

    def check(self, model: DualEncoder) -> None:
        self.teller.check(model)

    def measure(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, n_bootstrap: int
    ) -> dict[str, float]:
        told = self.teller.tell(model, data, split, compute)
        if not told.rows:
            return {}
        reader = data.processors[self.sentence]
        if not isinstance(reader, SentenceProcessor):
            raise ConfigError(f"SentenceScores: '{self.sentence}' is read by a {type(reader).__name__}")
        dataset = data.dataset(split)
        statements = [read_statement(dataset.record(row).sources[self.facts]) for row in told.rows]
        written = [text.strip() for text in told.free]
        if reader.script == "devanagari":
            written = [from_devanagari(text, s.language) for text, s in zip(written, statements, strict=True)]
        references = [" ".join(s.sentence.split()) for s in statements]
        figures: dict[str, float] = {}
        languages = sorted({s.language for s in statements})
        for language in languages:
            rows = [i for i, s in enumerate(statements) if s.language == language]
            mine, true = [written[i] for i in rows], [references[i] for i in rows]
            figures |= {
                f"facts/{language}/bleu": bleu(mine, true, tokenizer=self.tokenizer),
                f"facts/{language}/chrf++": chrf_plus_plus(mine, true),
                f"facts/{language}/exact": exact_match(mine, true),
                f"facts/copy/{language}/chrf++": chrf_plus_plus([told.source[i] for i in rows], true),
            }
        for name in ("bleu", "chrf++", "exact"):
            figures[f"facts/{name}"] = float(np.mean([figures[f"facts/{code}/{name}"] for code in languages]))
        copies = [figures[f"facts/copy/{code}/chrf++"] for code in languages]
        figures |= {"facts/copy/chrf++": float(np.mean(copies)), "facts/sentences": float(len(statements))}
        shown = [int(i) for i in np.linspace(0, len(written) - 1, min(SHOWN, len(written)))]
        self.shown = [[statements[i].language, told.source[i], references[i], written[i]] for i in shown]
        return figures

    def sections(
        self, model: DualEncoder, data: DataModule, *, split: str, compute: Compute, seed: int, count: int
    ) -> list[Section]:
        """Sentences beside their references, as last measured."""
        columns = ["language", "facts", "reference", "written"]
        title = f"Sentences: held-out facts, evenly chosen (BLEU tokenizer {self.tokenizer})"
        rows = self.shown if count else []
        return [lambda report: report.add_table(title, columns, rows)] if rows else []
