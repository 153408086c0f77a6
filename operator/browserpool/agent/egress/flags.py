"""What Chromium must be told so that nothing goes around the proxy."""

from browserpool.lib import listening


def chromium(proxy: listening.Address) -> tuple[str, ...]:
    """Command line flags; ``proxy``: where it listens."""
    return (
        f"--proxy-server=socks5://{proxy.host}:{proxy.port}",
        # Chromium itself would go straight to loopback and link-local addresses.
        "--proxy-bypass-list=<-loopback>",
        # Names are the proxy's to resolve: whatever in Chromium asks for itself gets no answer. (The proxy's own address is a literal.)
        f"--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE {proxy.host}",
        "--dns-prefetch-disable",
        # SOCKS carries no UDP, so WebRTC and QUIC would send theirs directly.
        "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--disable-quic",
    )
