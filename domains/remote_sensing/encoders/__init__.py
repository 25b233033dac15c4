"""Encoders that know what pixels of a raster mean."""

from domains.remote_sensing.encoders.adapter import RasterAdapter as RasterAdapter
