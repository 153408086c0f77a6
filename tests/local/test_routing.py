"""The port of a router that is started as a child."""

import pathlib
import socket

import pytest

from browserpool.lib import chance
from browserpool.local import routing

OUTGOING = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
END = min(OUTGOING, 30_000)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0"])
def test_no_outgoing_connection_gets_the_port_that_is_chosen(host):
    """It is bound seconds later, and again whenever the router is started again."""
    assert all(1024 <= routing.free_port(host, 0) < END for _ in range(20))


def test_a_port_that_is_taken_is_not_chosen(monkeypatch):
    wishes = iter([5, 5, 7, 6])
    monkeypatch.setattr(chance, "below", lambda _: next(wishes))
    with socket.create_server(("127.0.0.1", END - 1 - 5)):
        assert routing.free_port("127.0.0.1", 0, other_than=END - 1 - 7) == END - 1 - 6


@pytest.mark.parametrize("outgoing_from", ["1024 65535", "9000 60999", "", "nothing"])
def test_where_outgoing_connections_may_have_nearly_all_ports_any_will_do(monkeypatch, tmp_path, outgoing_from):
    said = tmp_path / "range"
    said.write_text(outgoing_from)
    monkeypatch.setattr(routing, "_OUTGOING", said)
    assert routing.free_port("127.0.0.1", 0) >= 1024
