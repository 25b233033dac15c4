"""Reading, checking and building configurations. Torch-free until a component is checked or built."""
