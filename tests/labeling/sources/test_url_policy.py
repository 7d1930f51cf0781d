"""Redaction of stored text, and refused addresses."""

import pytest

from configs.errors import UnsupportedVideo
from labeling.sources.url_policy import check_resolved, check_url, is_forbidden_host, redact_text, redact_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://admin:hunter2@10.0.0.7:554/live", "rtsp://***@10.0.0.7:554/live"),
        ("rtsp://admin:p@ss:w0rd@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin:pa/ss@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin:pa?ss#x@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin:%68unter2@cam/live", "rtsp://***@cam/live"),
        ("http://cam/v.mjpg?user=a&pwd=hunter2&ch=1", "http://cam/v.mjpg?user=a&pwd=***&ch=1"),
        ("https://cdn/x.mp4?X-Amz-Signature=abc&v=1", "https://cdn/x.mp4?X-Amz-Signature=***&v=1"),
        ("https://video.example/@channel/clip?v=1#t=2", "https://video.example/@channel/clip?v=1#t=2"),
        ("http://host:8080/@me", "http://host:8080/@me"),
        ("http://[::1]:80/@me", "http://[::1]:80/@me"),
        ("/home/me/clip@home.mp4", "/home/me/clip@home.mp4"),
    ],
)
def test_a_redacted_url_shows_all_but_its_secrets(url: str, shown: str) -> None:
    assert redact_url(url) == shown
    assert redact_url(shown) == shown


def test_a_message_is_redacted_in_every_spelling_of_the_password() -> None:
    url = "rtsp://me:open%20sesame@cam/1"
    shown = redact_text(
        f"cannot open {url}: user me, password 'open sesame' (open%20sesame) refused", url=url
    )
    assert "sesame" not in shown
    assert shown.startswith("cannot open rtsp://***")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://host/x.mp4", "javascript://x/%0aalert(1)", "concat://a|b", "http:///x.mp4",
        "http://host/a\nb", "http://host/a\x00b", "http://host/a b", "http://ho\u202est/x", "http://[::1/x",
    ],
)  # fmt: skip
def test_hostile_urls_are_refused(url: str) -> None:
    with pytest.raises(UnsupportedVideo):
        check_url(url)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254", "169.254.0.9", "2852039166", "0xA9FEA9FE", "0251.0376.0251.0376", "169.254.43518",
        "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254", "fd20:ce::254",
        "fd00:ec2::23", "fd00:c1::a9fe:a9fe",
        "168.63.129.16", "192.0.0.192", "fd00:42::42", "64:ff9b:1::a9fe:a9fe", "::169.254.169.254",
        "100.100.100.200", "metadata.google.internal", "METADATA.google.internal.",
    ],
)  # fmt: skip
def test_link_local_and_metadata_hosts_are_known_in_every_spelling(host: str) -> None:
    assert is_forbidden_host(host)
    url = f"http://[{host}]/x" if ":" in host else f"http://{host}/x"
    with pytest.raises(UnsupportedVideo, match="link-local"):
        check_url(url)
    check_url(url, allow_link_local=True)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8000/a.mp4", "rtsp://192.168.1.20/live", "rtsp://10.0.0.7", "http://[::1]/x",
     "https://example.org/a.mp4", "udp://@:5000", "rtsp://me:secret@nas.local/1"],
)  # fmt: skip
def test_loopback_private_and_public_addresses_are_fine(url: str) -> None:
    check_url(url)


def test_a_refusal_does_not_show_the_password() -> None:
    with pytest.raises(UnsupportedVideo) as refused:
        check_url("ftp://me:hunter2@host/x")
    assert "hunter2" not in str(refused.value)


def test_a_host_name_is_checked_by_its_address() -> None:
    check_resolved("http://localhost/x")
    check_resolved("http://no-such-host.invalid/x")
    with pytest.raises(UnsupportedVideo):
        check_resolved("http://0xA9FEA9FE/x")
