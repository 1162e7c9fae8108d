"""How a file writes its text: encoding, byte order mark, line end.

Text is learned and completed as UTF-8 with LF; a form turns such text into the bytes of its file. A file with several
kinds of line ends has the form of the kind that it has most of.
"""

import codecs
from dataclasses import dataclass

from cllm.corpus.newlines import LF, with_newline

BOMS = (  # in this order: the little-endian mark of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, kw_only=True)
class TextForm:
    """The name of the encoding in Python's `codecs`, whether a byte order mark comes first, and the line end."""

    encoding: str = "utf-8"
    has_bom: bool = False
    newline: bytes = LF

    @property
    def name(self) -> str:
        """The encoding, as reports name it."""
        return f"{self.encoding} with BOM" if self.has_bom else self.encoding

    def encode(self, content: bytes) -> bytes:
        """A part of the file's text, UTF-8 with any line ends, as the file has it, without the mark.

        Raises UnicodeEncodeError for a character that the encoding lacks. Bytes that are not UTF-8 are kept in UTF-8.
        """
        written = with_newline(content, self.newline)
        return written if self.encoding == "utf-8" else written.decode().encode(self.encoding)

    def encode_file(self, content: bytes) -> bytes:
        """As `encode`, for the whole file: with its byte order mark."""
        bom = next(mark for mark, encoding in BOMS if encoding == self.encoding) if self.has_bom else b""
        return bom + self.encode(content)
