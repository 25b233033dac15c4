"""An archive of rasters searched by text."""
