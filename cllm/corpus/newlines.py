"""Line ends. CRLF, LF and CR alone are one line end each; text is learned and predicted with LF.

A completion is written back with the line end that its file has most of.
"""

import re

LF, CRLF, CR = b"\n", b"\r\n", b"\r"
LINE_END = re.compile(rb"\r\n?|\n")


def to_lf(text: bytes) -> bytes:
    """The text with LF for every line end."""
    return text.replace(CRLF, LF).replace(CR, LF) if CR in text else text


def with_newline(text: bytes, newline: bytes) -> bytes:
    """The text with `newline` for every line end, of whichever kind it is."""
    return text if newline == LF and CR not in text else to_lf(text).replace(LF, newline)


def dominant_newline(text: bytes) -> bytes:
    """The line end that a text has most of; LF before CRLF before CR where they are equally many, or there are none."""
    if CR not in text:
        return LF
    num_crlf = text.count(CRLF)
    counts = {LF: text.count(LF) - num_crlf, CRLF: num_crlf, CR: text.count(CR) - num_crlf}
    return max(counts, key=lambda newline: counts[newline])
