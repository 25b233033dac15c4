"""Layouts of molecular datasets and knowledge graphs, by name. Nothing is imported until a layout is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from core.errors import ConfigError, nearest

if TYPE_CHECKING:
    from core.data.layout import Layout

LAYOUTS = {
    "shipped": "domains.molecules.data.samples:ShippedMolecules",
    "measured": "domains.molecules.data.measured:MeasuredMolecules",
    "embedded_molecules": "domains.molecules.data.embedded:EmbeddedMolecules",
    "smiles_csv": "domains.molecules.data.smiles_csv:SmilesCSV",
    "sdf_folder": "domains.molecules.data.sdf_folder:SDFFolder",
    "moleculenet": "domains.molecules.data.moleculenet:MoleculeNet",
    "chebi20": "domains.molecules.data.chebi20:ChEBI20",
    "pcdes": "domains.molecules.data.pcdes:PCdes",
    "pubchemstm": "domains.molecules.data.pubchem:PubChemSTM",
    "pubchem324k": "domains.molecules.data.pubchem:PubChem324k",
    "uspto50k": "domains.molecules.data.reactions:USPTO50k",
    "openexp": "domains.molecules.data.reactions:OpenExp",
    "rule_made_reactions": "domains.molecules.reactions.rule_made:RuleMadeReactions",
    "reaction_contexts": "domains.molecules.reactions.layouts:ReactionContexts",
    "caption_contexts": "domains.molecules.reactions.told:CaptionContexts",
    "procedure_contexts": "domains.molecules.reactions.told:ProcedureContexts",
    "retrosynthesis_contexts": "domains.molecules.reactions.told:RetrosynthesisContexts",
    "triples": "domains.molecules.kg.layouts:TripleFolder",
    "fb15k_237": "domains.molecules.kg.layouts:FB15k237",
    "wn18rr": "domains.molecules.kg.layouts:WN18RR",
    "codex": "domains.molecules.kg.layouts:CoDEx",
    "umls": "domains.molecules.kg.layouts:UMLS",
    "kinships": "domains.molecules.kg.layouts:Kinships",
    "nations": "domains.molecules.kg.layouts:Nations",
    "inductive_triples": "domains.molecules.kg.layouts:InductiveTriples",
    "wikimel": "domains.molecules.linking.layouts:WikiMEL",
    "richpediamel": "domains.molecules.linking.layouts:RichpediaMEL",
    "wikidiverse": "domains.molecules.linking.layouts:WikiDiverse",
    "rule_made_linking": "domains.molecules.linking.rule_made:RuleMadeLinking",
    "matsci": "domains.molecules.schema.layout:MatSci",
    "matsci_rule_made": "domains.molecules.schema.rule_made:RuleMadeMatSci",
    "xalign": "domains.molecules.facts.layout:XAlign",
    "xalign_rule_made": "domains.molecules.facts.rule_made:RuleMadeFacts",
    "molfm_bundle": "domains.molecules.knowledge.layouts:MolFMBundle",
    "known_molecules": "domains.molecules.knowledge.layouts:KnownMolecules",
    "shipped_knowledge": "domains.molecules.knowledge.shipped:ShippedKnowledge",
    "bound_molecules": "domains.molecules.knowledge.bound:BoundMolecules",
    "described_pairs": "domains.molecules.kg.rule_made:DescribedPairs",
    "concept_texts": "domains.molecules.grounded.layouts:ConceptTexts",
    "qa_graph": "domains.molecules.grounded.layouts:QAGraph",
    "fact_sheets": "domains.molecules.grounded.rule_made:FactSheets",
    "fact_questions": "domains.molecules.grounded.rule_made:FactQuestions",
    "text_graph_csv": "domains.molecules.text_graphs.csv_layout:TextGraphCSV",
    "ogbn_arxiv": "domains.molecules.text_graphs.ogbn_arxiv:OgbnArxiv",
    "cora_tag": "domains.molecules.text_graphs.cora:CoraTAG",
    "pubmed_tag": "domains.molecules.text_graphs.pubmed:PubMedTAG",
    "multimodal_graph": "domains.molecules.text_graphs.multimodal_layout:MultimodalGraph",
    "ring_graph": "domains.molecules.text_graphs.rule_made:RingGraph",
    "group_graph": "domains.molecules.text_graphs.rule_made:GroupGraph",
}


def layout_class(name: str) -> type[Layout]:
    """The layout class called `name`. Raises ConfigError with the nearest name."""
    if name not in LAYOUTS:
        raise ConfigError(f"data.layout: there is no layout '{name}'{nearest(name, LAYOUTS)}")
    module, _, attribute = LAYOUTS[name].partition(":")
    return getattr(import_module(module), attribute)
