"""Ports for servers that may be started again."""

import socket

import pytest

from labeling.review.label_studio import ports
from labeling.review.label_studio.ports import HOST, OWN_PORTS, free_port, is_free


def test_a_free_port_can_be_used_and_is_below_those_of_connections() -> None:
    port = free_port()
    assert port in OWN_PORTS
    with socket.socket() as listener:
        listener.bind((HOST, port))
        listener.listen()
        assert not is_free(port)
    assert is_free(port)


def test_a_port_in_use_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind((HOST, free_port()))
        listener.listen()
        taken = listener.getsockname()[1]
        monkeypatch.setattr(ports, "OWN_PORTS", range(taken, taken + 1))
        assert free_port() != taken
