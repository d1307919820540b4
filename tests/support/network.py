"""A network that is gone for one connection, as for a phone in a tunnel: nothing arrives, and nobody says so."""

import ctypes
import fcntl
import socket
import struct
import termios
from typing import Protocol

SO_ATTACH_FILTER = 26
BPF_RETURN = 0x06


class Options(Protocol):
    """What has a socket's options."""

    def setsockopt(self, level: int, option: int, value: bytes, /) -> None:
        """As sockets have it."""
        ...

    def fileno(self) -> int:
        """The file descriptor."""
        ...


def cut_off(connection: Options) -> None:
    """Let nothing that its peer sends reach this TCP connection any more, not even acknowledgements of its own bytes.

    A filter of one instruction, "keep 0 bytes", stands before TCP itself (Linux): what the peer sends from now on stays
    in the peer's send queue. What has arrived can still be read. Closing it resets it.
    """
    code = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RETURN, 0, 0, 0), 8)
    connection.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(code)))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def unread(connection: Options) -> int:
    """Bytes that have arrived and wait to be read."""
    return int(struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.FIONREAD, b"\0\0\0\0"))[0])
