"""A RULE-MADE entity linking set: real molecules drawn, everything written about them made by rule."""

from domains.molecules.linking.rule_made.layout import RuleMadeLinking as RuleMadeLinking
