"""Reflectance of the materials that simulated scenes are made of, for the 12 bands of Sentinel-2 Level-2A.

Typical values of temperate and subtropical surfaces, rounded; drawn up for this simulator, not measured by anyone.
Columns (nm): B01 443, B02 492, B03 560, B04 665, B05 704, B06 740, B07 783, B08 833, B8A 865, B09 945,
B11 1614, B12 2202.
"""

from __future__ import annotations

import numpy as np

_TABLE = """
clear water    .030 .030 .030 .016 .013 .010 .009 .008 .008 .007 .004 .003
turbid water   .060 .070 .105 .095 .085 .060 .058 .050 .045 .035 .012 .008
conifer        .020 .023 .038 .023 .060 .150 .180 .200 .210 .215 .095 .042
broadleaf      .022 .028 .058 .030 .090 .265 .330 .360 .375 .380 .170 .075
bare branches  .045 .055 .072 .083 .110 .150 .170 .190 .210 .220 .220 .140
scrub          .028 .035 .060 .046 .092 .195 .230 .250 .265 .270 .175 .095
grass          .030 .038 .082 .045 .118 .315 .390 .420 .440 .440 .220 .110
dry grass      .058 .074 .112 .145 .185 .225 .255 .280 .300 .310 .350 .260
reed           .028 .034 .062 .042 .085 .200 .245 .265 .275 .260 .120 .055
crop           .028 .034 .078 .035 .105 .345 .450 .485 .505 .500 .205 .092
straw          .065 .085 .125 .162 .205 .238 .265 .285 .305 .315 .350 .268
rapeseed       .038 .044 .155 .115 .175 .330 .410 .440 .460 .460 .230 .120
dark soil      .045 .055 .075 .098 .118 .132 .146 .160 .175 .185 .240 .200
bright soil    .095 .125 .175 .235 .265 .282 .298 .312 .328 .338 .415 .375
rock           .088 .108 .128 .148 .158 .165 .172 .180 .186 .190 .225 .205
asphalt        .070 .084 .100 .112 .117 .122 .127 .135 .141 .145 .170 .155
tiles          .060 .076 .104 .168 .198 .214 .229 .244 .254 .260 .300 .268
metal          .190 .220 .250 .272 .278 .284 .290 .296 .300 .302 .310 .285
snow           .830 .860 .870 .860 .850 .840 .825 .815 .800 .720 .120 .080
cloud          .540 .550 .550 .550 .560 .565 .570 .575 .580 .500 .420 .320
"""
_ROWS = [line.rsplit(maxsplit=12) for line in _TABLE.strip().splitlines()]
NAMES: tuple[str, ...] = tuple(row[0].strip() for row in _ROWS)
SPECTRA = np.array([[float(value) for value in row[1:]] for row in _ROWS], np.float32)  # (materials, 12)
MATERIAL = {name: i for i, name in enumerate(NAMES)}
# How a surface of one kind varies from place to place: leaf water and pigment (red edge up, short-wave infrared down)
TILT = np.array([.10, .10, .05, .12, .05, -.05, -.06, -.06, -.06, -.05, .10, .14], np.float32)  # fmt: skip
HAZE = np.array([0.010, 0.008, 0.004, 0.002, 0.001, 0, 0, 0, 0, 0, 0, 0], np.float32)  # aerosol left by the correction
