"""Which packets of the video standards a decoder can begin with, from their first bytes.

A picture will do that neither is predicted from others nor lets later ones be predicted from what comes before it:

- H.264, HEVC and VVC: an *IDR* picture. Packets are NAL units behind the start code 00 00 01; the header of a unit says
  its type (H.264, 7.4.1; H.265, 7.4.2.2; H.266, 7.4.2.2). Other intra pictures do not count: pictures that are shown
  before them may need what came earlier.
- AV1: a key frame that is shown, behind a sequence header (AV1 specification, 7.6.2). Packets are OBUs.
- VP9: a key frame (VP9 specification, 6.2).
"""

import re

#: What NAL units of an IDR picture begin with.
_IDR = {
    "h264": re.compile(rb"\0\0\x01[\x05\x25\x45\x65]"),  # type 5
    "hevc": re.compile(rb"\0\0\x01[\x26\x28]"),  # types 19, 20
    "vvc": re.compile(rb"\0\0\x01[\x00-\x3f][\x38-\x3f\x40-\x47]"),  # types 7, 8, in the upper bits of the second byte
}


def is_key(standard: str, start: bytes) -> bool:
    """Whether a decoder can begin with a packet that starts with some bytes.

    >>> is_key("h264", b"\\0\\0\\0\\1\\x67\\x42\\0\\0\\1\\x65\\x88"), is_key("h264", b"\\0\\0\\1\\x41\\x9a")
    (True, False)
    >>> is_key("vp9", b"\\x82\\x49"), is_key("vp9", b"\\x86\\x00"), is_key("av1", b"\\x12\\x00\\x32\\x01\\x30")
    (True, False, False)
    """
    if standard == "av1":
        return _av1(start)
    if standard == "vp9":  # marker 10, profile, a bit more in profile 3, "shows another frame", "not a key frame"
        first = start[0] << (start[0] & 0x30 == 0x30)
        return start[0] >> 6 == 2 and not first & 0x0C
    return _IDR[standard].search(start) is not None


def _av1(start: bytes) -> bool:
    position, sequence = 0, False
    while position + 1 < len(start):
        header = start[position]
        kind, position = header >> 3 & 15, position + (2 if header & 4 else 1)
        size, shift, more = 0, 0, bool(header & 2)
        while more and position < len(start) and shift < 56:
            size |= (start[position] & 127) << shift
            more, position, shift = start[position] >> 7, position + 1, shift + 7
        if kind == 1:  # sequence header
            sequence = True
        if kind in (3, 6):  # frame header, frame: "shows another frame", type 0 for key, "is shown"
            return sequence and position < len(start) and start[position] >> 4 == 0b0001
        if not header & 2:
            return False
        position += size
    return False
