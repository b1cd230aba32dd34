"""What client and server say to each other: JSON posted to the server's addresses, the name of a window back."""
from __future__ import annotations

import hashlib
import json
import time
import urllib.error
import urllib.request
import warnings
from http.cookiejar import CookieJar
from urllib.parse import quote, urlparse

import numpy as np

from ...tensor import Tensor
from ..as_array import as_array
from .listening import Listener

LOCAL = ("localhost", "127.0.0.1", "::1")
TIMEOUT = 10            # seconds
LOGGED = ("events", "update")
PATIENCE = 10           # after a failure nothing is tried for so many times as long as it took


def window_name() -> str:
    return f"window_{int(time.time() * 1e7):x}"


def plain(x):
    """Arrays and tensors in options, for JSON."""
    if isinstance(x, (Tensor, np.ndarray, np.generic)):
        return as_array(x).tolist()
    raise TypeError(f"Object of type {type(x).__name__} is not JSON serializable")


class Connection:
    """Sends messages, logs them, and asks about windows and environments.

    Args:
        server, port, base_url: where the server is.
        env: the environment of windows that name none.
        send: False to get back each message and its address instead of sending it.
        raise_exceptions: True for a ConnectionError when no server answers.
        log_to_filename: also append what is drawn to this file; see `replay_log`.
        use_incoming_socket: False to refuse handlers of what viewers do.
        username, password: of a server with a login.
        proxies: {"http": "host:port"}.
        offline: only log.
    """

    def __init__(self, server: str = "http://localhost", endpoint: str = "events", port: int = 8097,
                 base_url: str = "/", ipv6: bool = True, http_proxy_host=None, http_proxy_port=None,
                 env: str = "main", send: bool = True, raise_exceptions=None,
                 use_incoming_socket: bool = True, log_to_filename=None, username=None,
                 password=None, proxies=None, offline: bool = False,
                 use_polling: bool = False) -> None:
        self.server = (server if "://" in server else "http://" + server).rstrip("/")
        self.port, self.base_url = port, "" if base_url == "/" else base_url
        if self.base_url and (not self.base_url.startswith("/") or self.base_url.endswith("/")):
            raise AssertionError("base_url should start with / and not end with /")
        if offline and log_to_filename is None:
            raise AssertionError("Must use a log_to_filename for offline visdom")
        if username and not password:
            raise AssertionError("no password given for authentication")
        if http_proxy_host is not None:
            proxies = {"http": f"{http_proxy_host}:{http_proxy_port}"}
        self.endpoint, self.env, self.env_list = endpoint, env, {env}
        self.send, self.offline, self.raise_exceptions = send, offline, raise_exceptions
        self.log_to_filename, self.username, self.password = log_to_filename, username, password
        self.opener, self.login_is_due = self._opener(proxies), bool(username)
        self.has_warned, self.retry_at = False, 0.0
        self.use_socket = use_incoming_socket and send and not offline
        self.event_handlers, self.listener = {}, None
        if not offline:
            self._send({"eid": env}, "env/" + quote(env, safe=""))

    def _opener(self, proxies):
        """Keeps cookies; what is on this machine needs no proxy."""
        if proxies is None and urlparse(self.server).hostname in LOCAL:
            proxies = {}
        return urllib.request.build_opener(urllib.request.ProxyHandler(proxies),
                                           urllib.request.HTTPCookieProcessor(CookieJar()))

    # -- messages --------------------------------------------------------------------------------
    def _send(self, msg: dict, endpoint: str = "events", quiet: bool = False, from_log: bool = False,
              create: bool = True):
        """The server's answer; False if there is none."""
        if msg.get("eid") is None:
            msg["eid"] = self.env
        self.env_list.add(msg["eid"])
        if not self.send:
            return msg, endpoint
        if create and "win" in msg and msg["win"] is None:
            msg["win"] = window_name()
        if not from_log:
            self._log(msg, endpoint)
        if self.offline:
            return msg.get("win", True)
        return self._post(endpoint, msg, quiet)

    def _log(self, msg, endpoint):
        if self.log_to_filename is not None and endpoint in LOGGED:
            with open(self.log_to_filename, "a", encoding="utf-8") as file:
                file.write(json.dumps([endpoint, msg], default=plain) + "\n")

    def _post(self, endpoint, msg, quiet):
        begun = time.monotonic()
        if begun < self.retry_at:
            return self._failed("it did not a moment ago", quiet)
        try:
            if self.login_is_due:
                self._log_in()
            answer = self._request(f"/{endpoint}", msg)
        except (OSError, urllib.error.URLError) as error:
            self.retry_at = time.monotonic() + PATIENCE * (time.monotonic() - begun)
            return self._failed(error, quiet)
        self.retry_at = 0.0
        return answer

    def _request(self, path, msg) -> str:
        data = json.dumps(msg, default=plain).encode()
        request = urllib.request.Request(f"{self.server}:{self.port}{self.base_url}{path}", data)
        request.add_header("Content-Type", "application/json")
        with self.opener.open(request, timeout=TIMEOUT) as reply:
            return reply.read().decode()

    def _log_in(self):
        secret = hashlib.sha256(self.password.encode()).hexdigest()
        try:
            self._request("", {"username": self.username, "password": secret})
        except urllib.error.HTTPError as refused:
            raise RuntimeError("Authentication failed") from refused
        self.login_is_due = False

    def _failed(self, error, quiet):
        """Raise if that is wanted; warn once."""
        if self.raise_exceptions:
            raise ConnectionError("Error connecting to Visdom server")
        if not self.has_warned and not quiet:
            self.has_warned = True
            warnings.warn(f"no visdom server answers at {self.server}:{self.port} ({error}); what is "
                          "drawn is not shown, and no further warning follows", stacklevel=5)
        return False

    def replay_log(self, log_filename: str) -> None:
        """Draw again what was logged."""
        with open(log_filename, encoding="utf-8") as file:
            for line in file:
                endpoint, msg = json.loads(line)
                self._send(msg, endpoint, from_log=True)

    def check_connection(self, timeout_seconds: float = 0) -> bool:
        """Whether a server answers, within so many seconds."""
        end = time.monotonic() + timeout_seconds
        while self.win_exists("") is None:
            if time.monotonic() >= end:
                return False
            time.sleep(0.1)
        return True

    # -- viewers ---------------------------------------------------------------------------------
    def register_event_handler(self, handler, target: str) -> None:
        """Call `handler(event)` for what viewers do in the window `target`: keys, clicks, values that they edit.

        A thread asks the server ten times a second as long as there are handlers; it calls them.
        """
        if not callable(handler):
            raise AssertionError("Event handler must be a function")
        if not self.use_socket:
            raise AssertionError("Must be using the incoming socket to register events to web actions")
        self.event_handlers.setdefault(target, []).append(handler)
        if self.listener is None:
            self.listener = Listener(self)
            self.listener.start()

    def clear_event_handlers(self, target: str) -> None:
        """Call nobody for this window any more."""
        self.event_handlers.pop(target, None)
        if self.listener is not None and not self.event_handlers:
            self.listener.is_done.set()
            self.listener = None

    # -- windows ---------------------------------------------------------------------------------
    def win_exists(self, win: str, env: str | None = None) -> bool | None:
        """Whether there is such a window; None if no server says."""
        return {"true": True, "false": False}.get(self._asked({"win": win, "eid": env}, "win_exists"))

    def win_hash(self, win: str, env: str | None = None) -> str | None:
        """The hash of a window's content, or None."""
        found = self._asked({"win": win, "eid": env}, "win_hash")
        return found if found and found != "false" else None

    def _asked(self, msg, endpoint):
        try:
            return self._send(msg, endpoint, quiet=True, create=False)
        except ConnectionError:
            return None

    def get_window_data(self, win: str | None = None, env: str | None = None):
        """A window's content as JSON text; of all windows without `win`."""
        return self._send({"win": win, "eid": env}, "win_data", create=False)

    def set_window_data(self, data: str, win: str | None = None, env: str | None = None):
        """Put back what `get_window_data` gave."""
        return self._send({"win": win, "eid": env, "data": data}, "win_data", create=False)

    def close(self, win: str | None = None, env: str | None = None):
        """Close a window, or all of an environment's."""
        return self._send({"win": win, "eid": env}, "close", create=False)

    # -- environments ----------------------------------------------------------------------------
    def save(self, envs: list[str]):
        """Let the server write environments to its disk; the names of those that it wrote, as JSON text."""
        if not isinstance(envs, list):
            raise AssertionError("envs should be a list")
        if not all(isinstance(env, str) for env in envs):
            raise AssertionError("env should be a string")
        return self._send({"data": envs}, "save")

    def fork_env(self, prev_eid: str, eid: str):
        """Copy an environment."""
        return self._send({"prev_eid": prev_eid, "eid": eid}, "fork_env")

    def delete_env(self, env: str):
        return self._send({"eid": env}, "delete_env")

    def get_env_list(self) -> list[str]:
        """The names of the server's environments; of those used here if no server answers."""
        answer = not self.offline and self._asked({}, "env_state")
        return json.loads(answer) if answer and isinstance(answer, str) else sorted(self.env_list)
