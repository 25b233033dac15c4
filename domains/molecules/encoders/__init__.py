"""Encoders of molecular graphs."""

from domains.molecules.encoders.gin import GIN as GIN
from domains.molecules.encoders.gps import GPSLayer as GPSLayer
from domains.molecules.encoders.gps import MoleculeGPS as MoleculeGPS
from domains.molecules.encoders.gps import SageLayer as SageLayer
from domains.molecules.encoders.packed import Packed as Packed
from domains.molecules.encoders.packed import pack as pack
from domains.molecules.encoders.public import load_public as load_public
from domains.molecules.encoders.public import read_public as read_public
