"""One request to an OpenAI-compatible server, sent again where waiting helps; each fault is one sentence.

The key comes from the environment alone (``TUNEWISE_API_KEY``, else ``OPENAI_API_KEY``) and goes nowhere but into the request's header.
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import math
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx

from tunewise.compare.printable import one_line
from tunewise.compare.take_home.endpoint_request import ABOUT_THE_REQUEST, KEYS, key_of_environment

TRIES = 5
TRIES_IN_TIME = 2  # of a request that gets no answer in time: each costs the user a minute of silence
LONGEST_WAIT = 60.0  # seconds; a server that asks for more is not waited for
LARGEST_REPLY = 4_000_000  # bytes; no answer to a short question is longer
_WAIT = (408, 409, 425, 429, 500, 502, 503, 504, 529)


class EndpointError(RuntimeError):
    """The server can't be used. The message is one sentence that names the address, what came back, and what to do."""


class Refused(EndpointError):
    """The server refused one request, which need not concern others."""


class Server:
    """A server and how it is asked.

    Parameters
    ----------
    url
        Base address; usually it ends in ``/v1``.
    timeout
        Seconds for one answer.
    sleep
        Waits for so many seconds; by default until then, or until :attr:`stop` is set.
    on_time
        Called before each request; what it raises goes to the caller.

    Raises
    ------
    EndpointError
        For an address or a key that can't be used.
    """

    def __init__(
        self,
        url: str,
        timeout: float = 60.0,
        sleep: Callable[[float], object] | None = None,
        on_time: Callable[[], None] = lambda: None,
    ) -> None:
        self.url, self.timeout, self._key = _address(url), timeout, _key()
        self.stop, self.answered, self.retried = threading.Event(), 0, Counter[str]()
        self.sleep, self._lock = sleep or self.stop.wait, threading.Lock()
        self.on_time = on_time
        self.keeps = False  # whether an error may say that answers are kept: set by an endpoint with a cache
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self.client = httpx.Client(
            headers=headers, timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0))
        )

    def request(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """One request, sent again where waiting may help; a JSON object, with its ``seconds`` added."""
        for attempt in range(1, TRIES + 1):
            if self.stop.is_set():
                raise EndpointError("the run was stopped")
            self.on_time()
            start = time.perf_counter()
            status, kind, content, after = self._send(method, path, body, attempt)
            if status == 200:
                found = self._json(path, kind, content) | {"seconds": time.perf_counter() - start}
                with self._lock:
                    self.answered += method == "POST"
                return found
            said = self._said(kind, content)
            if status in (0, *_WAIT) and attempt < TRIES:
                with self._lock:
                    why = "no answer in time" if status == 0 else f"status {status}"
                    self.retried[why] += 1
                wait = _seconds(after)
                if wait is not None and wait > LONGEST_WAIT:
                    raise EndpointError(
                        f"{self.url} asks to wait {wait:.0f} s before the next request: try again then{self._kept()}"
                    )
                self.sleep(2.0 ** (attempt - 1) if wait is None else wait)
                continue
            self._fault(path, status, said)
        raise AssertionError("the last attempt returns or raises")

    def _send(self, method: str, path: str, body: Any, attempt: int) -> tuple[int, str, bytes, str | None]:
        """Status (0 for an answer that did not come in time, unless it was the last try), content type, content, Retry-After."""
        deadline, content = time.monotonic() + self.timeout, b""
        try:
            with self.client.stream(method, self.url + path, json=body) as reply:
                for piece in reply.iter_bytes():
                    content += piece
                    if len(content) > LARGEST_REPLY:
                        raise EndpointError(
                            f"{self.url} sends without end: is it an OpenAI-compatible server?"
                        )
                    if time.monotonic() > deadline:
                        raise httpx.ReadTimeout("no end")
                kind = reply.headers.get("content-type", "").split(";")[0]
                return reply.status_code, kind, content, reply.headers.get("retry-after")
        except httpx.TimeoutException as error:
            if attempt < TRIES_IN_TIME:
                return 0, "", b"", None
            said = f"{self._so_far()}gave no answer within {self.timeout:g} s, {TRIES_IN_TIME} times"
            raise EndpointError(
                f"{said}: look whether it hangs, or give it a smaller model{self._kept()}"
            ) from error
        except httpx.TransportError as error:
            if _is_tls(error):
                remedy = "is it https, with a certificate that this machine trusts (SSL_CERT_FILE)?"
                raise EndpointError(
                    f"no secure connection to {self.url} ({self._plain(error)}): {remedy}"
                ) from None
            if attempt < TRIES and not isinstance(error, httpx.ConnectError):  # broken off on the way
                return 0, "", b"", None
            said = f"{self._so_far()}can't be reached ({self._plain(error)})"
            remedy = (
                "start the server again" if self.answered else "is the server running, and the address right?"
            )
            raise EndpointError(f"{said}: {remedy}{self._kept()}") from None
        except httpx.DecodingError as error:
            raise EndpointError(
                f"{self.url} sent what can't be unpacked: is it an OpenAI-compatible server?"
            ) from error

    def _so_far(self) -> str:
        return f"{self.url} " + (f"gave {self.answered} answers, and then " if self.answered else "")

    def _kept(self) -> str:
        kept = self.keeps and self.answered
        return "; answers so far are kept: the same command goes on from there" if kept else ""

    def _json(self, path: str, kind: str, content: bytes) -> dict[str, Any]:
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(content)
            if isinstance(found, dict):
                return found
        what = kind or "no content type"
        remedy = "is the address right? It usually ends in /v1"
        raise EndpointError(
            f"{self.url}{path} answered with {one_line(what)} that is no JSON object: {remedy}"
        )

    def _said(self, kind: str, content: bytes) -> str:
        """What a server says of an error, in one line."""
        told: Any = content.decode("utf-8", "replace")
        with contextlib.suppress(ValueError, RecursionError, AttributeError):
            told = json.loads(content)
            told = told.get("error", told.get("detail", told.get("message", told)))
            told = told.get("message", told) if isinstance(told, dict) else told
        return "" if "html" in kind else self._plain(told)

    def _fault(self, path: str, status: int, said: str) -> None:
        """Raise what a status that can't be mended by waiting means."""
        told = f"{self.url}{path} answered with status {status}" + (f" ({said})" if said else "")
        if status in ABOUT_THE_REQUEST:  # perhaps about this text alone, such as one that is too long
            raise Refused(told)
        if status in (401, 403):
            known = "the key is wrong or may not do this" if self._key else "no key was given"
            raise EndpointError(f"{told}: {known}; set {KEYS[0]}")
        if status == 404:
            raise EndpointError(
                f"{told}: is the address right (it usually ends in /v1), and the model's name?"
            )
        if 300 <= status < 400:
            raise EndpointError(f"{told}: it sends one elsewhere; give the final address")
        raise EndpointError(f"{told}, {TRIES} times: try again later{self._kept()}")

    def _plain(self, thing: object) -> str:
        """Somebody else's words in one short line, without control characters and without the key."""
        said = str(thing)
        return one_line(said.replace(self._key, "[key]") if self._key else said)


def _address(url: str) -> str:
    """The base address without a slash at the end; EndpointError for what is none, or holds a password."""
    try:
        parts = httpx.URL(url.strip())
    except (httpx.InvalidURL, TypeError) as error:
        raise EndpointError(
            "the endpoint's address can't be read: give one such as http://localhost:8080/v1"
        ) from error
    if parts.userinfo or parts.query:
        raise EndpointError(f"the endpoint's address must hold no key or password: set {KEYS[0]} instead")
    if parts.scheme not in ("http", "https") or not parts.host:
        raise EndpointError(
            f"{one_line(url)!r} is no address of a server: give one such as http://localhost:8080/v1"
        )
    address = str(parts).rstrip("/")
    return address.removesuffix("/chat/completions").removesuffix("/completions")


def _key() -> str:
    """The key of the environment; empty where there is none."""
    name, key = key_of_environment()
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise EndpointError(
            f"{name} holds what no key can hold (spaces, line breaks or letters beyond ASCII)"
        )
    return key


def _seconds(after: str | None) -> float | None:
    """Seconds that a Retry-After header asks for: a number or a date; None where it can't be read."""
    if after is None:
        return None
    try:
        wait = float(after)
    except ValueError:
        try:
            wait = email.utils.parsedate_to_datetime(after).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return max(0.0, wait) if math.isfinite(wait) else None


def _is_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError) or "SSL" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
