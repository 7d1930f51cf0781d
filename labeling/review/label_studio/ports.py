"""Free ports on this machine's loopback address."""

import secrets
import socket

HOST = "127.0.0.1"
OWN_PORTS = range(20_000, 32_768)
"""Below Linux's ports for outgoing connections, which stay occupied for a minute after a connection ends."""
_TRIES = 100


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port now."""
    with socket.socket() as listener:
        # As servers do: connections of a server that has exited do not count.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except (OSError, OverflowError):
            return False
    return True


def free_port() -> int:
    """Return a port that is free now, and that no outgoing connection takes while a server restarts."""
    for _ in range(_TRIES):
        port = OWN_PORTS[secrets.randbelow(len(OWN_PORTS))]
        if is_free(port):
            return port
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])
