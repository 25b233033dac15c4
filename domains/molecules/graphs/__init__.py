"""Molecules as graphs of integer features, their scaffolds, fragments and shapes in space."""

from domains.molecules.graphs.conformers import conformer as conformer
from domains.molecules.graphs.featurise import graph_of as graph_of
from domains.molecules.graphs.featurise import graphs_of as graphs_of
from domains.molecules.graphs.fragments import brics_fragments as brics_fragments
from domains.molecules.graphs.fragments import scaffold as scaffold
from domains.molecules.graphs.fragments import scaffold_split as scaffold_split
from domains.molecules.graphs.vocabulary import VOCABULARIES as VOCABULARIES
from domains.molecules.graphs.vocabulary import Graph as Graph
from domains.molecules.graphs.vocabulary import Vocabulary as Vocabulary
