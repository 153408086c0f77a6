"""Settings to Chromium's arguments."""

import pathlib

import pytest

from browserpool.agent import flags, launch
from browserpool.agent.egress import flags as egress_flags
from browserpool.lib import listening

SHELL = "/usr/lib/chromium/chromium-headless-shell"
FULL = "/usr/lib/chromium/chromium"
EGRESS = egress_flags.chromium(listening.Address(host="127.0.0.1", port=1080))


def arguments(binary=SHELL, *, sandbox=True, extra=(), **more):
    profile = pathlib.Path("/home/profile")
    return flags.arguments(
        flags.Wanted(binary=binary, profile=profile, sandbox=sandbox, egress=EGRESS, extra=extra, **more)
    )


@pytest.mark.parametrize(
    "flag",
    [
        "--remote-debugging-port=0",
        "--user-data-dir=/home/profile",
        "--proxy-server=socks5://127.0.0.1:1080",
        "--proxy-bypass-list=<-loopback>",
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
        "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--disable-quic",
        "--disable-background-networking",
        "--hide-scrollbars",
    ],
)
def test_every_chromium_gets(flag):
    assert flag in arguments(SHELL)
    assert flag in arguments(FULL)


def test_the_binary_comes_first_and_the_page_last():
    assert arguments()[0] == SHELL
    assert arguments()[-1] == "about:blank"


@pytest.mark.parametrize(
    ("binary", "headless"),
    [(SHELL, False), ("/opt/chrome-headless-shell", False), (FULL, True), ("/opt/google/chrome/chrome", True)],
)
def test_only_full_chromium_is_told_to_be_headless(binary, headless):
    assert ("--headless=new" in arguments(binary)) is headless


@pytest.mark.parametrize(
    ("setting", "user", "wanted"),
    [
        ("auto", 0, False),
        ("auto", 1000, True),
        ("on", 0, True),
        ("on", 1000, True),
        ("off", 0, False),
        ("off", 1000, False),
    ],
)
def test_the_sandbox_is_off_for_root_alone_unless_somebody_decides(setting, user, wanted):
    assert launch.wants_sandbox(setting, user=user) is wanted
    assert ("--no-sandbox" in arguments(sandbox=wanted)) is not wanted


def test_the_pools_arguments_come_after_ours():
    given = arguments(extra=("--force-color-profile=generic-rgb",))
    assert given.index("--force-color-profile=generic-rgb") > given.index("--force-color-profile=srgb")


def test_the_pools_arguments_cannot_open_a_way_around_the_egress_guard():
    given = arguments(extra=("--proxy-server=direct://", "--proxy-bypass-list=*"))
    last = {flag.partition("=")[0]: flag for flag in given}
    assert last["--proxy-server"] == "--proxy-server=socks5://127.0.0.1:1080"
    assert last["--proxy-bypass-list"] == "--proxy-bypass-list=<-loopback>"


def test_feature_lists_are_merged_and_given_once():
    given = arguments(extra=("--disable-features=Mine", "--enable-features=A", "--enable-features=B"))
    [disabled] = [flag for flag in given if flag.startswith("--disable-features=")]
    assert disabled == "--disable-features=" + ",".join((*flags.DISABLED_FEATURES, "Mine"))
    assert [flag for flag in given if flag.startswith("--enable-features=")] == ["--enable-features=A,B"]


@pytest.mark.parametrize(
    ("features", "given"),
    [
        (["WebGL"], {"--enable-unsafe-swiftshader"}),
        (["WebGL", "WebMCP"], {"--enable-unsafe-swiftshader", "--enable-features=WebMCP"}),
        (["WebMCP"], {"--disable-3d-apis", "--enable-features=WebMCP"}),
        ([], {"--disable-3d-apis"}),
    ],
)
def test_features_as_arguments(features, given):
    ours = {"--enable-unsafe-swiftshader", "--disable-3d-apis", "--enable-features=WebMCP"}
    assert ours & set(arguments(features=features)) == given


def test_features_join_the_lists_that_the_pool_gives():
    assert "--enable-features=WebMCP,A" in arguments(features=["WebMCP"], extra=("--enable-features=A",))
