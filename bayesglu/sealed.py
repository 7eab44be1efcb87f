"""Bytes with a checksum at their end: who reads them knows first whether they are what was written.

zip files and HDF5 take no notice of what follows their own end, so that any program reads a sealed file of
either.
"""

from hashlib import sha256

SEAL = b"\nbayesglu: sha256 of all before this line is "
LENGTH = len(SEAL) + 2 * sha256().digest_size + 1


def sealed(content: bytes) -> bytes:
    """The content with its seal.

    >>> opened(sealed(b"draws"))
    b'draws'
    """
    return content + SEAL + sha256(content).hexdigest().encode() + b"\n"


def is_sealed(data: bytes) -> bool:
    """Whether there is a seal, be it that of this content or not."""
    return data[-LENGTH:].startswith(SEAL)


def opened(data: bytes) -> bytes | None:
    """The content; None where it is not what was sealed."""
    content = data[:-LENGTH]
    return content if data == sealed(content) else None
