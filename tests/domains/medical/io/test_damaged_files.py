"""Nothing that a file contains crashes, hangs, prints, or becomes a picture of nothing."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import pydicom
import pytest

from core.errors import DataError
from domains.medical.io import decoding, read

ROOT = Path(__file__).parents[4]
SHIPPED = Path(pydicom.data.__file__).parent / "test_files"
JPEG = SHIPPED / "SC_rgb_jpeg_gdcm.dcm"  # lossless JPEG, read by native code only


def test_no_mutant_of_the_shipped_images_does_harm():
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("damage.py"), "11"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, f"the reading process died with {done.returncode}: {done.stderr[-500:]}"
    assert "FAULT" not in done.stdout, done.stdout
    printed = [line for line in done.stderr.splitlines() if not line.startswith("ref:")]  # our own log lines
    assert not printed
    images, errors = (int(part.split()[0]) for part in done.stdout.split(", ")[:2])
    assert images > 200
    assert errors > 1000


def test_a_decoder_that_dies_is_one_error_and_the_next_file_is_read(monkeypatch):
    read(JPEG)
    helper = decoding._helper
    os.kill(helper.process.pid, signal.SIGSTOP)
    monkeypatch.setattr(decoding, "TIMEOUT_S", 0.2)
    with pytest.raises(DataError, match=rf"{JPEG.name}: .*JPEG Lossless.*the decoder took too long"):
        read(JPEG)
    monkeypatch.undo()
    assert read(JPEG).shape == (100, 100)
    assert decoding._helper is not helper
    os.kill(decoding._helper.process.pid, signal.SIGKILL)
    decoding._helper.process.wait()
    assert read(JPEG).shape == (100, 100)


def test_a_forked_process_starts_a_decoder_of_its_own():
    read(JPEG)
    helper = decoding._helper
    child = os.fork()
    if child == 0:
        try:
            ours = not helper.usable and read(JPEG).shape == (100, 100)
            decoding._helper.close()
            os._exit(0 if ours else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert helper.usable
    assert read(JPEG).shape == (100, 100)


def test_a_deflated_bomb_is_stopped_while_it_inflates(tmp_path, monkeypatch):
    source = SHIPPED / "image_dfl.dcm"
    data = source.read_bytes()
    start = 144 + int(pydicom.filereader.read_file_meta_info(source).FileMetaInformationGroupLength)
    packer = zlib.compressobj(wbits=-15)
    path = tmp_path / "bomb.dcm"
    path.write_bytes(data[:start] + packer.compress(bytes(5_000_000)) + packer.flush())
    monkeypatch.setattr("domains.medical.io.dicom_file.MAX_VOXELS", 2_000_000)
    with pytest.raises(DataError, match=r"bomb\.dcm: it inflates to more than 4,000,000 bytes"):
        read(path)


def test_endless_nesting_is_an_error(tmp_path):
    sequence = b"\xe1\x7f\x10\x10SQ\0\0\xff\xff\xff\xff"  # a private sequence of undefined length
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    path = tmp_path / "deep.dcm"
    path.write_bytes((SHIPPED / "CT_small.dcm").read_bytes() + (sequence + item) * 1000)
    with pytest.raises(DataError, match=r"deep\.dcm: .*nested without end"):
        read(path)


@pytest.mark.parametrize("suffix", [".dcm", ".nii", ".nii.gz", ".png", ".jpg", ".img"])
@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"DICM" * 500, gzip.compress(b"\0" * 400)])
def test_files_that_are_nothing_of_the_kind_are_errors(tmp_path, suffix, content):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"file\{suffix}: "):
        read(path)
