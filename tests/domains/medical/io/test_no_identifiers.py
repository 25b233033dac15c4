"""Names, ids and dates in tags reach nothing that is printed, logged, warned, raised or kept."""

from __future__ import annotations

import logging
import traceback
import warnings

import pytest

from core.errors import DataError
from domains.medical.io import read, read_dicom_series
from domains.medical.io.guard import ref

CANARY = "ZEBEDEE"
TAGS = {
    "PatientName": f"{CANARY}^JANE",
    "PatientID": f"{CANARY}-1",
    "InstitutionName": CANARY,
    "ReferringPhysicianName": CANARY,
    "AccessionNumber": CANARY,
    "StudyDescription": CANARY,
    "SeriesDescription": CANARY,
    "ImageComments": CANARY,
    "ViewPosition": CANARY,
    "StationName": CANARY,
}


def broken(dataset):
    """Values that the library would quote in a warning, a log line or an exception."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.add_new("PatientBirthDate", "LO", f"{CANARY} 1970-01-01")
        dataset[("PatientBirthDate")].VR = "DA"
        dataset.add_new(0x00091001, "LO", CANARY)
        dataset.add_new("PatientAge", "AS", CANARY)


CASES = {
    "readable": lambda d: None,
    "picture": lambda d: setattr(d, "Modality", "DX"),
    "no pixels": lambda d: d.__delitem__("PixelData"),
    "no rows": lambda d: d.__delitem__("Rows"),
    "text for a number": lambda d: d.add_new("RescaleSlope", "LO", CANARY),
    "text for a position": lambda d: d.add_new("ImagePositionPatient", "LO", [CANARY, CANARY, CANARY]),
    "text for a spacing": lambda d: d.add_new("PixelSpacing", "LO", CANARY),
    "text for a count": lambda d: d.add_new("NumberOfFrames", "LO", CANARY),
    "unknown colours": lambda d: setattr(d, "PhotometricInterpretation", CANARY),
    "unknown modality": lambda d: setattr(d, "Modality", CANARY),
    "unknown syntax": lambda d: setattr(d.file_meta, "TransferSyntaxUID", "1.2.3.4.5"),
}


@pytest.mark.parametrize("case", CASES)
def test_no_tag_value_gets_out(write_series, case, capfd, caplog):
    def change(k, dataset):
        for keyword, value in TAGS.items():
            setattr(dataset, keyword, value)
        broken(dataset)
        CASES[case](dataset)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = write_series(change=change)
    capfd.readouterr()
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    seen = []
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        for source in (folder, next(folder.iterdir())):
            try:
                found = read(source)
                seen += [repr(found.provenance), str(getattr(found, "view", ""))]
            except DataError as err:
                seen += traceback.format_exception(err)
    printed = capfd.readouterr()
    seen += [printed.out, printed.err, caplog.text, *(str(w.message) for w in raised)]
    assert CANARY not in "\n".join(seen)
    assert not printed.out
    assert not printed.err


def test_a_listing_of_series_holds_no_description(write_series):
    folder = write_series(SeriesDescription=CANARY, Modality="CT")
    write_series(prefix="b", uid="9.9", SeriesDescription=CANARY)
    with pytest.raises(DataError) as caught:
        read_dicom_series(folder)
    assert CANARY not in str(caught.value)


def test_a_reference_is_stable_and_tells_nothing(tmp_path):
    path = tmp_path / "smith_john.dcm"
    assert ref(path) == ref(str(path)) != ref(tmp_path)
    assert ref(path).startswith("ref:")
    assert len(ref(path)) == 14
    assert "smith" not in ref(path)


def test_library_loggers_and_filters_are_as_before(write_series):
    log = logging.getLogger("pydicom")
    before = (log.handlers, log.propagate, list(warnings.filters))
    read(write_series())
    assert (log.handlers, log.propagate, list(warnings.filters)) == before
