"""Domain packages: loaders, processors, encoders and heads of one field each. No domain imports another."""
