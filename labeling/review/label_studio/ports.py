"""Ports of this machine's own address."""

import secrets
import socket

HOST = "127.0.0.1"
OWN_PORTS = range(20_000, 32_768)
"""Below those that Linux takes for outgoing connections, which hold them for a minute after their end."""
_TRIES = 100


def is_free(port: int) -> bool:
    """Whether a server could listen there just now."""
    with socket.socket() as listener:
        # As servers do: what a server left behind that has ended does not count.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except (OSError, OverflowError):
            return False
    return True


def free_port() -> int:
    """One that nothing listens on just now, and that no connection from this machine will take for itself while a
    server that had it is started again."""
    for _ in range(_TRIES):
        port = OWN_PORTS[secrets.randbelow(len(OWN_PORTS))]
        if is_free(port):
            return port
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])
