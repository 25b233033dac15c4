"""What the header of a raster file says, and whether it can be true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.errors import DataError
from domains.remote_sensing.io.guard import check_size
from domains.remote_sensing.raster import Transform, is_plain, pixel_size, relative

UTM_EASTING = (0.0, 1_000_000.0)  # metres; zones are used a little beyond their 6 degrees
NEAR_THE_ORIGIN = 1000.0  # metres: no UTM raster lies there, but degrees written into a UTM file do


@dataclass(frozen=True, slots=True)
class Header:
    """bands: 1-based indices of the bands that hold values (not alpha). scale, offset: of the file's tags; scale is
    None without tags. masked: the file has a mask or an alpha band. placed: it states where it lies."""

    rows: int
    columns: int
    bands: tuple[int, ...]
    descriptions: tuple[str, ...]
    crs: str
    transform: Transform
    nodata: float | None
    scale: float | None
    offset: float
    masked: bool
    time: str

    @property
    def count(self) -> int:
        return len(self.bands)

    @property
    def pixel(self) -> tuple[float, float]:
        return pixel_size(self.transform)

    @property
    def placed(self) -> bool:
        return bool(self.crs) or not is_plain(self.transform)


def read_header(file: Any) -> Header:
    """The header of an open rasterio dataset. Raises DataError for a file without bands, or with contradicting ones."""
    from rasterio.enums import ColorInterp, MaskFlags

    if file.count == 0:
        raise DataError("it has no band; if it holds sub-datasets, extract one with gdal_translate")
    bands = tuple(i + 1 for i, kind in enumerate(file.colorinterp) if kind != ColorInterp.alpha)
    if not bands:
        raise DataError("its only band is a mask (alpha); there is nothing to read")
    check_size(1, file.height, file.width)
    scales = {(file.scales[i - 1], file.offsets[i - 1]) for i in bands}
    if len(scales) > 1:
        raise DataError(
            f"its bands have different scales and offsets, {sorted(scales)}; write them as one (gdal_translate)"
        )
    scale, offset = scales.pop()
    missing = {file.nodatavals[i - 1] for i in bands if file.nodatavals[i - 1] is not None}
    finite = {value for value in missing if value == value}
    if len(finite) > 1:
        raise DataError(f"its bands have different nodata values, {sorted(finite)}; write one for all (gdal_edit)")
    flags = [set(file.mask_flag_enums[i - 1]) for i in bands]
    transform = tuple(float(v) for v in file.transform[:6])
    assert len(transform) == 6
    relative(transform, transform)  # a transform that spans no plane is refused here
    return Header(
        rows=file.height,
        columns=file.width,
        bands=bands,
        descriptions=tuple(file.descriptions[i - 1] or "" for i in bands),
        crs=crs_text(file.crs),
        transform=transform,
        nodata=next(iter(finite), next(iter(missing), None)),
        scale=None if (scale, offset) == (1.0, 0.0) else scale,
        offset=offset,
        masked=any(MaskFlags.per_dataset in f or MaskFlags.alpha in f for f in flags),
        time=_date(file.tags()),
    )


def crs_text(crs: Any) -> str:
    """The authority's code of a rasterio CRS, its WKT where there is none, "" for no CRS."""
    if not crs:
        return ""
    authority = crs.to_authority()
    return ":".join(authority) if authority else crs.to_wkt()


def check_position(header: Header) -> None:
    """Raises DataError when the coordinates cannot be coordinates of the CRS that the file states."""
    if not header.crs:
        return
    a, b, c, d, e, f = header.transform
    x, y = c + (a * header.columns + b * header.rows) / 2, f + (d * header.columns + e * header.rows) / 2
    code = header.crs.removeprefix("EPSG:")
    fault = ""
    if code[:3] in ("326", "327") and len(code) == 5 and header.crs.startswith("EPSG:"):
        if not UTM_EASTING[0] <= x <= UTM_EASTING[1] or abs(x) < NEAR_THE_ORIGIN:
            fault = "UTM counts in metres, eastings lie between 100,000 and 900,000"
    elif header.crs == "EPSG:4326" and not (abs(x) <= 360 and abs(y) <= 91):
        fault = "it counts in degrees"
    if fault:
        raise DataError(
            f"its centre lies at ({x:.6g}, {y:.6g}), which is no place in {header.crs} ({fault}); "
            "the file states the wrong CRS, assign the right one (gdal_edit.py -a_srs)"
        )


def _date(tags: dict[str, str]) -> str:
    """Date of acquisition in ISO form where a tag states one, else ""."""
    digits = "".join(ch for ch in tags.get("ACQUISITION_DATE", "")[:10] if ch.isdigit())
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}" if len(digits) == 8 else ""
