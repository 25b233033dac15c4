"""What is found below a folder to embed."""

import numpy as np
from rs_files import north_up, radar_db, write_bands, write_tif

from domains.remote_sensing.io.find import find_inputs


def test_rasters_folders_of_bands_and_pictures_are_found_in_order(tmp_path):
    write_bands(tmp_path / "a_s2")
    for name, plane in zip(("VV", "VH"), radar_db(8), strict=True):
        write_tif(tmp_path / "b_s1" / f"x_{name}.tif", plane, transform=north_up())
    write_tif(tmp_path / "c.tif", radar_db(8), transform=north_up())
    write_tif(tmp_path / "d.tif", np.ones((4, 8, 8), np.uint16), transform=north_up())
    (tmp_path / "e.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / ".hidden.tif").write_text("")
    found = [(path.name, modality) for path, modality in find_inputs([tmp_path])]
    assert found == [("c.tif", "s1"), ("d.tif", "s2"), ("e.png", "rgb"), ("a_s2", "s2"), ("b_s1", "s1")]


def test_a_file_that_is_named_is_given_whatever_it_is(tmp_path):
    (tmp_path / "x.tif").write_text("not a raster")
    assert list(find_inputs([tmp_path / "x.tif"])) == [(tmp_path / "x.tif", "s2")]
