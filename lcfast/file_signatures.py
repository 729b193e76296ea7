"""The first bytes of the file formats that are recognised by their content."""

HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # the second in an empty archive
NPY = b"\x93NUMPY"
