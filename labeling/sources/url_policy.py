"""Rules for URLs: refused addresses, and passwords kept out of stored and shown text.

Private and loopback addresses are allowed, because cameras are there. Link-local addresses and the metadata services
of clouds are refused: a list of sources from elsewhere must not be able to read a machine's own credentials.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote, urlsplit

from configs.errors import ConfigError, SourcePrivate, UnsupportedVideo

CAMERA_PREFIX = "camera:"
"""Written before a camera's http URL."""
PAGE_SCHEMES = frozenset({"http", "https"})
CAMERA_SCHEMES = frozenset({"rtmp", "rtmps", "rtp", "rtsp", "rtsps", "tcp", "udp"})

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):")
_URL_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://[^\s'\"<>]+")
_SECRET_PARAMETER = re.compile(
    r"(?i)([?&;](?:access_?token|api_?key|auth|awsaccesskeyid|key|loginpas|pass|passwd|password|pwd|secret"
    r"|sig|signature|token|x-(?:amz|goog)-(?:credential|security-token|signature))=)(?P<value>[^&;#\s]*)"
)
_HIDDEN = "***"
_VARIABLE = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*")
_NAME_A_VARIABLE = (
    "a source must not hold a secret; put it into an environment variable and name that, as in "
    "'rtsp://user:$CAMERA_PASSWORD@host/' or '...?token=$TOKEN'"
)
_NAME_ITS_PAGE = "a page listed it with a secret, which is not stored; name that page again"
_MIN_SECRET_LENGTH = 4
"""A shorter password is masked in URLs only: it would match parts of ordinary words."""

_FORBIDDEN = "link-local and metadata addresses are refused; use another address"
_METADATA_HOSTS = frozenset({"metadata", "metadata.google.internal", "instance-data"})
_METADATA_ADDRESSES = frozenset(
    map(
        ipaddress.ip_address,
        (
            "100.100.100.200",  # Alibaba Cloud
            "168.63.129.16",  # Azure: WireServer
            "192.0.0.192",  # Oracle Cloud, earlier generation
            "fd00:42::42",  # Scaleway
            "fd00:c1::a9fe:a9fe",  # Oracle Cloud
            "fd00:ec2::23",  # Amazon EKS: credentials of a pod
            "fd00:ec2::254",  # Amazon EC2
            "fd20:ce::254",  # Google Cloud
        ),
    )
)
"""Those that are not link-local, from the clouds' documentation."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
_COMPATIBLE = ipaddress.ip_network("::/96")

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def url_scheme(spec: str) -> str | None:
    """Return the scheme in lower case, or None; `C:` is a drive."""
    match = _SCHEME.match(spec)
    return match.group(1).lower() if match else None


def redact_url(url: str) -> str:
    """Return the URL with `***` in place of user, password and signing parameters.

    >>> redact_url("rtsp://admin:1234@10.0.0.7/live?token=abc&channel=2")
    'rtsp://***@10.0.0.7/live?token=***&channel=2'
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _SECRET_PARAMETER.sub(rf"\g<1>{_HIDDEN}", url)
    end = _end_of_user(rest)
    shown = f"{_HIDDEN}@{rest[end:]}" if end else rest
    return scheme + separator + _SECRET_PARAMETER.sub(rf"\g<1>{_HIDDEN}", shown)


def redact_text(text: str, *, url: str = "") -> str:
    """Return a message without the passwords of any URL in it, and without that of `url` in any spelling."""
    for secret in sorted(_secrets_of(url), key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return _URL_IN_TEXT.sub(lambda match: name_source(match.group()), text)


def refuse_passwords(specs: Iterable[str]) -> None:
    """Raise ConfigError for a URL that holds a password or token: a scheduler would store and show it."""
    for spec in specs:
        if _open_secrets(spec):
            raise ConfigError(f"{redact_url(spec)}: {_NAME_A_VARIABLE}")


def name_source(spec: str) -> str:
    """Return a source's spec as it is stored and shown: with its `$NAME`s, without literal secrets.

    >>> name_source("rtsp://me:$PASSWORD@10.0.0.7/live")
    'rtsp://me:$PASSWORD@10.0.0.7/live'
    """
    return redact_url(spec) if _open_secrets(spec) else spec


def fill_secrets(spec: str, environment: Mapping[str, str]) -> str:
    """Return a URL with the values of the `$NAME`s in its password and tokens; any other spec unchanged.

    Raises SourcePrivate for an unknown variable, and UnsupportedVideo for a literal secret or one that was removed
    before the URL was stored.
    """
    if secrets := _open_secrets(spec):
        advice = _NAME_ITS_PAGE if _HIDDEN in secrets else _NAME_A_VARIABLE
        raise UnsupportedVideo(f"{redact_url(spec)}: {advice}")
    for secret in _hidden_parts(spec):
        name = secret.removeprefix("$")
        if name not in environment:
            raise SourcePrivate(f"{spec}: the environment variable {name} is not set; set it and run again")
        value = quote(environment[name], safe="")
        spec = re.sub(rf"([:/=]){re.escape(secret)}(?=[@&;#]|$)", lambda found: found[1] + value, spec)  # noqa: B023
    return spec


def _open_secrets(spec: str) -> list[str]:
    return [part for part in _hidden_parts(spec) if not _VARIABLE.fullmatch(part)]


def _hidden_parts(spec: str) -> list[str]:
    """Return the secret parts of a URL: password, signing parameters, and a web user without password (a token)."""
    url = spec.removeprefix(CAMERA_PREFIX)
    if not url_scheme(url):
        return []
    rest = url.partition("://")[2]
    user, colon, password = rest[: max(_end_of_user(rest) - 1, 0)].partition(":")
    is_token = not colon and (url_scheme(url) in PAGE_SCHEMES or user == _HIDDEN)
    parameters = [found.group("value") for found in _SECRET_PARAMETER.finditer(url)]
    return [part for part in (user if is_token else "", password, *parameters) if part]


def check_url(url: str, *, allow_link_local: bool = False) -> None:
    """Raise UnsupportedVideo for a URL with a refused scheme, character or host; resolves no name."""
    shown = redact_url("".join(c if c.isprintable() else "?" for c in url))
    if any(c.isspace() or not c.isprintable() for c in url):
        raise UnsupportedVideo(f"{shown}: a URL cannot hold spaces or control characters; write them as %20")
    scheme = url_scheme(url)
    if scheme not in PAGE_SCHEMES | CAMERA_SCHEMES:
        known = ", ".join(sorted(PAGE_SCHEMES | CAMERA_SCHEMES))
        advice = f"use one of {known}, or a path"
        if scheme == "file":
            advice = f"write the path {unquote(shown.partition(':')[2].removeprefix('//'))}"
        raise UnsupportedVideo(f"{shown}: URLs with the scheme {scheme!r} are refused; {advice}")
    host = _host_of(url)
    if not host and scheme not in {"udp", "rtp"}:
        raise UnsupportedVideo(f"{shown}: the URL names no host; write one")
    if not allow_link_local and is_forbidden_host(host):
        raise UnsupportedVideo(f"{shown}: {_FORBIDDEN}")


def check_resolved(url: str, *, allow_link_local: bool = False) -> None:
    """Raise UnsupportedVideo for a URL whose host is, or resolves to, a refused address."""
    host = _host_of(url)
    if allow_link_local or not host:
        return
    addresses = {host} if _as_address(host) is not None else _resolve(host)
    if any(map(is_forbidden_host, addresses | {host})):
        raise UnsupportedVideo(f"{redact_url(url)}: {_FORBIDDEN}")


def refuse_address(address: str) -> None:
    """Raise UnsupportedVideo for a numerical address that is refused; sockets are connected to no other kind."""
    if is_forbidden_host(address):
        raise UnsupportedVideo(f"{address}: {_FORBIDDEN}")


def _resolve(host: str) -> set[str]:
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return set()  # connecting reports it, or a proxy can resolve the name
    return {str(answer[4][0]) for answer in answers}


def is_forbidden_host(host: str) -> bool:
    """Return whether a host name or address, in any spelling, is link-local or a metadata service."""
    address = _as_address(host)
    if address is None:
        return host.lower().rstrip(".") in _METADATA_HOSTS
    return address.is_link_local or address in _METADATA_ADDRESSES


def _as_address(host: str) -> IpAddress | None:
    try:
        address: IpAddress = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(host))  # 0xA9FEA9FE, 2852039166, 0251.0376...
        except (OSError, ValueError, UnicodeError):
            return None
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64 or address in _LOCAL_NAT64 or (address in _COMPATIBLE and int(address) > 1):
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        teredo = address.teredo
        return address.ipv4_mapped or address.sixtofour or (teredo and teredo[1]) or address
    return address


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError as exc:
        raise UnsupportedVideo(f"{redact_url(url)}: not a valid URL ({exc}); check the spelling") from None


def _end_of_user(rest: str) -> int:
    """Return the length of `user:password@` at the start of the text after `://`; 0 without one.

    With an unescaped `/`, `?` or `#` in the password, user and password look like a host with a port of letters.
    """
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        return authority.rindex("@") + 1
    port = authority.rpartition(":")[2] if ":" in authority and not authority.endswith("]") else ""
    return rest.rfind("@") + 1 if port and not port.isdigit() else 0


def _secrets_of(url: str) -> set[str]:
    """Return the password of a URL in its spellings, unless it is too short to be masked."""
    rest = url.partition("://")[2]
    password = rest[: max(_end_of_user(rest) - 1, 0)].partition(":")[2]
    return {secret for secret in (password, unquote(password)) if len(secret) >= _MIN_SECRET_LENGTH}
