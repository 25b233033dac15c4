"""What `embed` finds in a folder: series as one, single files, and no junk."""

from __future__ import annotations

import logging

import numpy as np
import pydicom
import pytest
from PIL import Image

from core.errors import DataError
from domains.medical.io import read, write_nifti
from domains.medical.io.find import find_inputs


def found(*paths):
    return [(str(path.relative_to(paths[0])) if path != paths[0] else ".", m) for path, m in find_inputs(paths)]


def test_a_series_is_one_input_and_everything_else_is_a_file_each(tmp_path, write_series):
    series = write_series(folder="a_series")
    (series / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    write_nifti(tmp_path / "b.nii.gz", np.arange(24).reshape(2, 3, 4), np.eye(4))
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "c.png")
    (tmp_path / "notes.txt").write_text("junk")
    (tmp_path / ".hidden.png").write_text("junk")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x.png").write_text("junk")
    (tmp_path / "broken.dcm").write_bytes(b"not DICOM at all")
    (tmp_path / "empty").mkdir()
    assert found(tmp_path) == [
        ("b.nii.gz", "ct"),
        ("broken.dcm", "xray"),  # of a known kind by its name: the reader says what is wrong with it
        ("c.png", "xray"),
        ("a_series", "ct"),
    ]
    assert read(series).shape == (8, 10, 6)


def test_one_slice_is_a_picture_and_copies_of_it_are_no_scan(tmp_path, write_series):
    place = write_series(np.arange(80, dtype=np.int16).reshape(1, 10, 8), folder="one")
    (name,) = [p.name for p in place.iterdir()]
    (place / "copy.dcm").write_bytes((place / name).read_bytes())
    assert found(place) == [(name, "xray"), ("copy.dcm", "xray")]


def test_slices_without_a_suffix_are_found_by_their_content(tmp_path, write_series):
    place = write_series(folder="bare")
    for path in place.iterdir():
        path.rename(place / f"IM{path.stem}")
    assert found(place) == [(".", "ct")]


def test_a_folder_that_mixes_series_is_given_as_one_so_that_the_reader_names_them(tmp_path, write_series):
    write_series(folder="mixed", prefix="a", uid="1.2.3")
    place = write_series(folder="mixed", prefix="b", uid="1.2.4")
    single = write_series(np.arange(80, dtype=np.int16).reshape(1, 10, 8), folder="mixed", prefix="z", uid="1.2.5")
    assert place == single
    assert found(place) == [(".", "ct"), ("z000.dcm", "xray")]
    with pytest.raises(DataError, match="it holds 3 series"):
        read(place)


def test_radiographs_beside_each_other_stay_apart(tmp_path, write_series):
    place = write_series(folder="films", Modality="DX")
    assert len(found(place)) == 6
    assert {modality for _, modality in found(place)} == {"xray"}


def test_an_enhanced_file_is_a_volume(write_enhanced):
    path = write_enhanced(np.arange(240, dtype=np.int16).reshape(3, 10, 8), [0, 2, 4])
    assert [m for _, m in find_inputs([path])] == ["ct"]
    assert [(p.name, m) for p, m in find_inputs([path.parent])] == [(path.name, "ct")]


def test_the_two_files_of_a_pair_are_one_input(tmp_path):
    import nibabel

    nibabel.save(nibabel.Nifti1Pair(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4)), tmp_path / "a.hdr")
    assert found(tmp_path) == [("a.hdr", "ct")]


def test_a_file_that_is_named_is_never_passed_over(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("junk")
    assert list(find_inputs([path])) == [(path, "xray")]
    with pytest.raises(DataError, match=r"notes\.txt: of no known kind"):
        read(path)
    assert list(find_inputs([tmp_path])) == []


def test_headers_are_searched_without_a_word_of_their_values(tmp_path, write_series, caplog, capsys, recwarn):
    place = write_series(folder="named")
    for path in place.iterdir():
        content = pydicom.dcmread(path)
        content.add_new("PatientBirthDate", "LO", "JANE DOE 1970-01-01")
        content.PatientName = "DOE^JANE"
        content.save_as(path)
    with caplog.at_level(logging.DEBUG):
        assert found(place) == [(".", "ct")]
    said = caplog.text + "".join(capsys.readouterr()) + "".join(str(w.message) for w in recwarn.list)
    assert "DOE" not in said
