"""Rasters from files and to files; every fault one DataError that names the file."""

from domains.remote_sensing.io.open import read as read
from domains.remote_sensing.io.read import read_raster as read_raster
from domains.remote_sensing.io.write import MapWriter as MapWriter
from domains.remote_sensing.io.write import write_raster as write_raster
