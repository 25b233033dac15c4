"""Training: the command line, the Lightning modules, checkpoints, callbacks. Light to import; torch comes with use."""
