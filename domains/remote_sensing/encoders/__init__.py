"""Encoders that know what pixels of a raster mean, and what a place is."""

from domains.remote_sensing.encoders.adapter import RasterAdapter as RasterAdapter
from domains.remote_sensing.encoders.cromss_weights import load_cromss as load_cromss
from domains.remote_sensing.encoders.harmonics import RandomFourier as RandomFourier
from domains.remote_sensing.encoders.harmonics import SphericalHarmonics as SphericalHarmonics
from domains.remote_sensing.encoders.location import FourierLocation as FourierLocation
from domains.remote_sensing.encoders.location import HarmonicLocation as HarmonicLocation
from domains.remote_sensing.encoders.location import LocationEncoder as LocationEncoder
