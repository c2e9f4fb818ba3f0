"""Names and texts from outside, as a terminal, a table or a page can show them."""

import os
import re

# Control characters, line and paragraph separators, what turns the direction of writing round, what has no
# width, halves of surrogate pairs (undecodable bytes of a file's name among them), and what XML forbids.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\ud800-\udfff]"
)


def printable(text: str | os.PathLike, keep: str = "") -> str:
    r"""Return a text or a file's name with what cannot be shown as escapes: \n, \x1b, \u202e.

    Bytes of a name that are no text in the locale's encoding become \xNN. `keep` holds the characters that
    stay as they are: "\n" for a text of several lines.
    """

    def escape(match: re.Match) -> str:
        character = match.group()
        if character in keep:
            return character
        if "\udc80" <= character <= "\udcff":  # a byte that Python could not decode
            return f"\\x{ord(character) - 0xDC00:02x}"
        return character.encode("unicode_escape").decode()

    return _UNPRINTABLE.sub(escape, os.fsdecode(text))
