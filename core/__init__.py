"""The shared core of Heptad: encoders, fusion, objectives, training and evaluation. It knows no domain."""
