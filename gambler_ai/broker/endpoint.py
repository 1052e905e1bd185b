"""The endpoint guard: paper trading or this machine, by construction. There is no flag that allows live trading.

Hosts are Alpaca's own as in alpaca-py 0.44 `common/enums.py`; a URL is taken apart, checked, and rebuilt from its
checked parts, so that nobody downstream can read it differently.
"""

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from gambler_ai.errors import BrokerRefusesUs

PAPER_HOST = "paper-api.alpaca.markets"
DATA_HOST = "data.alpaca.markets"
DATA_STREAM_HOST = "stream.data.alpaca.markets"
LIVE_KEY_PREFIX = "AK"  # paper key ids begin with PK

_PLAIN = re.compile(r"[A-Za-z]+://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+])(:[0-9]+)?(/[A-Za-z0-9/]*)?")
_SECURE = {"http": False, "ws": False, "https": True, "wss": True}


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Checked addresses: REST ones without path or trailing slash, sockets with their full path."""

    trading: str
    data: str
    stream: str
    data_stream: str

    @property
    def is_local(self) -> bool:
        return self.trading != f"https://{PAPER_HOST}"


def check_endpoint(base_url: str, data_url: str | None = None, stream_url: str | None = None) -> Endpoints:
    """The addresses to use for APCA_API_BASE_URL, and optionally APCA_API_DATA_URL and APCA_API_STREAM_URL.

    Raises BrokerRefusesUs for anything but Alpaca's paper, data and stream hosts, or loopback.
    """
    base = _checked("APCA_API_BASE_URL", base_url, PAPER_HOST, ("", "/v2"))
    local = base.hostname != PAPER_HOST
    data, data_stream = base, base
    if data_url or not local:
        data = _checked("APCA_API_DATA_URL", data_url or f"https://{DATA_HOST}", DATA_HOST, ("", "/v2"))
    if stream_url or not local:
        setting = stream_url or f"wss://{DATA_STREAM_HOST}"
        data_stream = _checked("APCA_API_STREAM_URL", setting, DATA_STREAM_HOST, ("", "/v2", "/v2/iex"))
    return Endpoints(
        trading=_origin("http", base),
        data=_origin("http", data),
        stream=_origin("ws", base) + "/stream",
        data_stream=_origin("ws", data_stream) + "/v2/iex",
    )


def check_key(endpoints: Endpoints, key_id: str) -> None:
    """Raises BrokerRefusesUs when there is no key, or a live one is about to be shown to Alpaca."""
    if not key_id:
        raise BrokerRefusesUs("there is no API key: set APCA_API_KEY_ID and APCA_API_SECRET_KEY")
    if not endpoints.is_local and key_id.startswith(LIVE_KEY_PREFIX):
        raise BrokerRefusesUs(
            "APCA_API_KEY_ID looks like a key for live trading (it begins with AK); "
            "create a key pair of a paper account (begins with PK) and set that one"
        )


def _checked(setting: str, url: str, alpaca_host: str, paths: tuple[str, ...]) -> SplitResult:
    if not _PLAIN.fullmatch(url):
        raise _refusal(setting, alpaca_host, "it is not a plain scheme://host[:port] without user, query or fragment")
    parts = urlsplit(url)
    if parts.scheme not in _SECURE:
        raise _refusal(setting, alpaca_host, f"the scheme {parts.scheme!r} is unknown")
    try:
        port = parts.port
    except ValueError:
        raise _refusal(setting, alpaca_host, "the port is out of range") from None
    if parts.path.rstrip("/") not in paths:
        raise _refusal(setting, alpaca_host, f"the path {parts.path!r} does not belong there")
    host = parts.hostname or ""
    if host == alpaca_host:
        if not _SECURE[parts.scheme] or port not in (None, 443):
            raise _refusal(setting, alpaca_host, "Alpaca is only reached through TLS on its usual port")
    elif not _is_loopback(host):
        raise _refusal(setting, alpaca_host, f"the host {host!r} is neither that nor this machine")
    return parts


def _refusal(setting: str, alpaca_host: str, why: str) -> BrokerRefusesUs:
    return BrokerRefusesUs(
        f"{setting} is refused: {why}. Set it to {alpaca_host} with https or wss, or to a loopback address such as "
        f"http://127.0.0.1:8000; live trading is not possible with this program"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        try:
            found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
        except OSError:
            return False
        return bool(found) and all(_is_loopback(address) for address in found)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _origin(kind: str, parts: SplitResult) -> str:
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    port = f":{parts.port}" if parts.port and parts.hostname not in (PAPER_HOST, DATA_HOST, DATA_STREAM_HOST) else ""
    return f"{kind}{'s' if _SECURE[parts.scheme] else ''}://{host}{port}"
