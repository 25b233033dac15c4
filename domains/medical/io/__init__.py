"""Readers: files to Volume or Radiograph, every fault one DataError that names the file."""

from domains.medical.io.dicom import read_dicom_image as read_dicom_image
from domains.medical.io.dicom import read_dicom_series as read_dicom_series
from domains.medical.io.guard import ref as ref
from domains.medical.io.nifti import read_labels as read_labels
from domains.medical.io.nifti import read_nifti as read_nifti
from domains.medical.io.nifti import write_nifti as write_nifti
from domains.medical.io.open import read as read
from domains.medical.io.picture import read_picture as read_picture
