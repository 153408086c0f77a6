"""Which addresses pages may reach, form by form."""

import ipaddress

import pytest

from browserpool.agent.egress import names, policy, socks
from browserpool.model import addresses

REFUSED = {
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "10.0.0.1": "private",
    "10.255.255.255": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "shared (carrier-grade NAT)",
    "100.127.255.255": "shared (carrier-grade NAT)",
    "100.100.100.200": "shared (carrier-grade NAT)",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "169.254.169.254": "link-local",
    "169.254.170.2": "link-local",
    "168.63.129.16": "cloud metadata",
    "192.0.0.192": "protocol assignment",
    "192.0.2.1": "documentation",
    "198.51.100.1": "documentation",
    "203.0.113.1": "documentation",
    "192.88.99.1": "6to4",
    "198.18.0.1": "benchmarking",
    "198.19.255.255": "benchmarking",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "::": "unspecified",
    "::1": "loopback",
    "::127.0.0.1": "IPv4-compatible",
    "::8.8.8.8": "IPv4-compatible",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:10.0.0.1": "private",
    "::ffff:169.254.169.254": "link-local",
    "::ffff:0:10.0.0.1": "IPv4-translated",
    "64:ff9b::127.0.0.1": "loopback",
    "64:ff9b::10.0.0.1": "private",
    "64:ff9b::a9fe:a9fe": "link-local",
    "64:ff9b:1::808:808": "IPv4-translated",
    "100::1": "discard-only",
    "2001::1": "protocol assignment",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": "protocol assignment",
    "2001:db8::1": "documentation",
    "3fff::1": "documentation",
    "2002:7f00:1::": "6to4",
    "2002:808:808::": "6to4",
    "5f00::1": "segment routing",
    "fc00::1": "private",
    "fd00:ec2::254": "private",
    "fe80::1": "link-local",
    "fe80::1%1": "link-local",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
    "4000::1": "outside of global unicast",
}
PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "126.255.255.255",
    "128.0.0.1",
    "169.253.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.167.0.1",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:80b::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
)


@pytest.mark.parametrize(("address", "reason"), REFUSED.items())
def test_refused_unless_allowed(address, reason):
    verdict = policy.judge(ipaddress.ip_address(address), policy=policy.read())
    assert verdict == policy.Verdict(allowed=False, reason=reason)


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address):
    assert policy.judge(ipaddress.ip_address(address), policy=policy.read()).allowed


@pytest.mark.parametrize(
    ("address", "allow", "deny", "allowed"),
    [
        ("10.1.2.3", ["10.0.0.0/8"], [], True),
        ("10.1.2.3", ["10.1.2.3"], [], True),
        ("10.1.2.4", ["10.1.2.3"], [], False),
        ("10.1.2.3", ["10.0.0.0/8"], ["10.1.0.0/16"], False),
        ("8.8.8.8", [], ["8.8.8.0/24"], False),
        ("8.8.8.8", ["8.8.8.8"], ["0.0.0.0/0"], False),
        ("::ffff:10.1.2.3", ["10.0.0.0/8"], [], True),
        ("::ffff:8.8.8.8", [], ["8.8.8.8"], False),
        ("64:ff9b::10.1.2.3", ["10.0.0.0/8"], [], True),
        ("64:ff9b::8.8.8.8", [], ["8.8.8.8"], False),
        ("fd00::1", ["fd00::/8"], [], True),
        ("fd00::1", ["0.0.0.0/0"], [], False),
        ("127.0.0.1", ["127.0.0.0/8"], [], True),
        ("10.0.0.1", ["10.0.0.7/8"], [], True),
    ],
)
def test_the_pools_cidrs(address, allow, deny, allowed):
    rules = policy.read(allow=allow, deny=deny)
    assert policy.judge(ipaddress.ip_address(address), policy=rules).allowed is allowed


def test_every_v4_address_around_a_boundary_is_judged_as_the_standard_library_does():
    """The library's is_global is another reading of the same registry; where we differ, we are the stricter."""
    rules = policy.read()
    for network, _ in addresses.REFUSED:
        if network.version == 4:
            for number in (int(network.network_address) - 1, int(network.broadcast_address) + 1):
                address = ipaddress.ip_address(number % 2**32)
                if policy.judge(address, policy=rules).allowed:
                    assert address.is_global, address


@pytest.mark.parametrize("cidr", ["", "10.0.0.0/33", "example.com", "10.0.0.0/-1"])
def test_what_is_no_cidr(cidr):
    with pytest.raises(ValueError):
        policy.read(allow=[cidr])


# Ways to write 127.0.0.1 (or a loopback name) that a filter on text would miss. The resolver knows them; the verdict is on its answer.
HIDDEN = (
    "127.0.0.1",
    "2130706433",
    "0x7f000001",
    "0x7F.1",
    "0177.0.0.1",
    "017700000001",
    "127.1",
    "127.0.1",
    "[::1]",
    "::1",
    "0:0:0:0:0:0:0:1",
    "::ffff:127.0.0.1",
    "[::ffff:7f00:1]",
    "::ffff:7f00:0001",
    "localhost",
    "LOCALHOST",
    "0",
    "0.0.0.0",
)


@pytest.mark.parametrize("host", HIDDEN)
async def test_hidden_forms_resolve_to_what_they_hide(host):
    for address in await names.resolve(host):
        assert not policy.judge(address, policy=policy.read()).allowed, (host, address)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "\0",
        "127.0.0.1\0.example",
        "a" * 64 + ".test",
        "..",
        "a..b",
        "localhost.",
        "no-such-host.invalid",
        "127.0.0.1.5",
        "%31",
        "xn--",
    ],
)
async def test_hosts_that_are_none(host):
    try:
        addresses = await names.resolve(host)
    except names.NotFound:
        return
    assert all(not policy.judge(address, policy=policy.read()).allowed for address in addresses)


# ---------------------------------------------------------------- SOCKS5's messages

CONNECT_NAME = b"\x05\x01\x00\x03\x07a.b.net\x01\xbb"
CONNECT_V4 = b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50"
CONNECT_V6 = b"\x05\x01\x00\x04" + bytes(15) + b"\x01\x00\x50"


@pytest.mark.parametrize(
    ("data", "host", "port"), [(CONNECT_NAME, "a.b.net", 443), (CONNECT_V4, "127.0.0.1", 80), (CONNECT_V6, "::1", 80)]
)
def test_requests(data, host, port):
    assert socks.request(data + b"GET /") == socks.Request(host=host, port=port, size=len(data))
    for cut in range(len(data)):
        assert socks.request(data[:cut]) is None


def test_greetings():
    assert socks.greeting_size(b"\x05\x01\x00more") == 3
    assert socks.greeting_size(b"\x05\x02\x02\x00") == 4
    for part in (b"", b"\x05", b"\x05\x02\x00"):
        assert socks.greeting_size(part) is None


@pytest.mark.parametrize(
    ("read", "data", "answer"),
    [
        (socks.greeting_size, b"GET / HTTP/1.1", b""),
        (socks.greeting_size, b"\x04\x01\x00\x50", b""),
        (socks.greeting_size, b"\x05\x01\x02", b"\x05\xff"),
        (socks.greeting_size, b"\x05\x00", b"\x05\xff"),
        (socks.request, b"\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", socks.reply(socks.Reply.COMMAND_NOT_SUPPORTED)),
        (socks.request, b"\x05\x03\x00\x01\x7f\x00\x00\x01\x00\x50", socks.reply(socks.Reply.COMMAND_NOT_SUPPORTED)),
        (socks.request, b"\x05\x01\x00\x09\x7f\x00\x00\x01\x00\x50", socks.reply(socks.Reply.ADDRESS_NOT_SUPPORTED)),
        (socks.request, b"\x05\x01\x00\x03\x00\x00\x50", socks.reply(socks.Reply.ADDRESS_NOT_SUPPORTED)),
        (socks.request, b"\x05\x01\x00\x03\x02\xff\xfe\x00\x50", socks.reply(socks.Reply.ADDRESS_NOT_SUPPORTED)),
    ],
)
def test_malformed(read, data, answer):
    with pytest.raises(socks.Malformed) as caught:
        read(data)
    assert caught.value.answer == answer
