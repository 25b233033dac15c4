"""The molecules suite: what models of molecules and of knowledge graphs claim, on small real and on rule-made data."""

ENTRIES = ("kg_text", "kg_parity")
LONG = ("property_prediction",)  # runs when named; drives whole commands
