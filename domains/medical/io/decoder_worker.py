"""The helper process of `decoding`: decodes the pixel data of one DICOM file per request, and may die doing it.

Run as a script; it imports nothing of the suite. Request: a JSON line {path, frame}. Answer: a JSON line {shape, dtype}
and the raw values, or {error} with the type of the exception, never its text (which may quote the header).
"""

import contextlib
import json
import sys

MAX_ADDRESS_SPACE = 8 << 30


def main() -> None:
    import numpy as np
    import pydicom

    with contextlib.suppress(ImportError, ValueError, OSError):  # limits are a second line of defence
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE, MAX_ADDRESS_SPACE))
    out = sys.stdout.buffer
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        try:
            dataset = pydicom.dcmread(request["path"], force=True)
            array = np.ascontiguousarray(pydicom.pixels.pixel_array(dataset, index=request["frame"]))
            out.write(json.dumps({"shape": array.shape, "dtype": array.dtype.str}).encode() + b"\n")
            out.write(array.data)
        except Exception as err:
            out.write(json.dumps({"error": type(err).__name__}).encode() + b"\n")
        out.flush()


if __name__ == "__main__":
    main()
