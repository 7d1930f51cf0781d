"""HLS (RFC 8216) as far as FFmpeg cannot do it without own connections: redirected playlists, encrypted segments."""

import re
from typing import Any, Protocol
from urllib.parse import urljoin

_URI = re.compile(rb'(URI=")([^"]*)(")')
_BLOCK = 16
"""Bytes of one AES block."""


class Readable(Protocol):
    def read(self, size: int) -> bytes: ...

    def close(self) -> None: ...


def is_playlist(head: bytes) -> bool:
    """Return whether the first bytes are those of a playlist, with or without a byte order mark."""
    return head.removeprefix(b"\xef\xbb\xbf").startswith(b"#EXTM3U")


def absolute_playlist(text: bytes, base: str) -> bytes:
    """Return a playlist with absolute addresses: FFmpeg would take relative ones from before a redirect.

    >>> absolute_playlist(b'#EXTM3U\\n#EXT-X-KEY:METHOD=AES-128,URI="k"\\n1.ts', "http://b/x/list.m3u8")
    b'#EXTM3U\\n#EXT-X-KEY:METHOD=AES-128,URI="http://b/x/k"\\nhttp://b/x/1.ts'
    """
    return b"\n".join(_absolute_line(line.strip(), base.encode()) for line in text.split(b"\n"))


def _absolute_line(line: bytes, base: bytes) -> bytes:
    if line.startswith(b"#"):
        return _URI.sub(lambda found: found[1] + _join(base, found[2]) + found[3], line)
    return _join(base, line) if line else line


def _join(base: bytes, name: bytes) -> bytes:
    """Join as text of single bytes; what is no address stays as it is, and is refused when it is opened."""
    try:
        return urljoin(base.decode("latin-1"), name.decode("latin-1")).encode("latin-1")
    except ValueError:
        return name


class DecryptedFile:
    """A segment encrypted with AES-128 in CBC mode, PKCS#7 padding (RFC 8216, section 4.3.2.4), as its clear text."""

    def __init__(self, file: Readable, key: str, iv: str) -> None:
        """`key` and `iv` are 32 hexadecimal digits each."""
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        self._file = file
        self._decryptor: Any = Cipher(
            algorithms.AES(bytes.fromhex(key)), modes.CBC(bytes.fromhex(iv))
        ).decryptor()
        self._clear = b""
        self._at_end = False

    def read(self, size: int) -> bytes:
        """Return some clear bytes; none at the end. The last block is held back until it is known to be the last."""
        while len(self._clear) <= _BLOCK and not self._at_end:
            piece = self._file.read(max(size, _BLOCK))
            self._clear += self._decryptor.update(piece)
            if not piece:
                self._at_end, self._clear = True, _without_padding(self._clear)
        count = min(size, len(self._clear) if self._at_end else len(self._clear) - _BLOCK)
        piece, self._clear = self._clear[:count], self._clear[count:]
        return piece

    def close(self) -> None:
        self._file.close()


def _without_padding(clear: bytes) -> bytes:
    """Remove the padding of the last block; clear text that does not end in one is kept, as FFmpeg does."""
    count = clear[-1] if clear else 0
    return clear[:-count] if 0 < count <= _BLOCK and clear.endswith(bytes([count]) * count) else clear
