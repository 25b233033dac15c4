"""Encoders that know what pixels of a raster mean, and what a place is."""

from domains.remote_sensing.encoders.adapter import RasterAdapter as RasterAdapter
from domains.remote_sensing.encoders.croma import CROMAJoint as CROMAJoint
from domains.remote_sensing.encoders.croma import CROMAModel as CROMAModel
from domains.remote_sensing.encoders.croma import CROMATower as CROMATower
from domains.remote_sensing.encoders.croma import load_croma as load_croma
from domains.remote_sensing.encoders.cromss_weights import load_cromss as load_cromss
from domains.remote_sensing.encoders.dofa import DOFA as DOFA
from domains.remote_sensing.encoders.dofa import load_dofa as load_dofa
from domains.remote_sensing.encoders.harmonics import RandomFourier as RandomFourier
from domains.remote_sensing.encoders.harmonics import SphericalHarmonics as SphericalHarmonics
from domains.remote_sensing.encoders.location import FourierLocation as FourierLocation
from domains.remote_sensing.encoders.location import HarmonicLocation as HarmonicLocation
from domains.remote_sensing.encoders.location import LocationEncoder as LocationEncoder
from domains.remote_sensing.encoders.tower import read_torch as read_torch
