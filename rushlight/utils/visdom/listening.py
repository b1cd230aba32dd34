"""What viewers do in their browsers, told to a program: the server is asked again and again."""
from __future__ import annotations

import json
import threading
import traceback
from weakref import ref

INTERVAL = 0.1          # seconds between two questions
ADDRESS = "/vis_socket_wrap"


class Listener(threading.Thread):
    """Calls a client's handlers until it has none left, or is gone."""

    def __init__(self, client):
        super().__init__(name="Visdom-Socket-Thread", daemon=True)
        self.client, self.is_done, self.place = ref(client), threading.Event(), None

    def run(self) -> None:
        while not self.is_done.wait(INTERVAL):
            client = self.client()
            if client is None:
                return
            try:
                self.ask(client)
            except (OSError, ValueError, KeyError):     # no server, or another one: it is introduced to that
                self.place = None
            del client

    def ask(self, client) -> None:
        if self.place is None:
            self.place = json.loads(client._request(ADDRESS, {"message_type": "init"}))["sid"]
        answer = json.loads(client._request(ADDRESS, {"message_type": "query", "sid": self.place}))
        for message in reversed(answer["messages"]):        # the server hands over the last one first
            event = json.loads(message)
            for handler in list(client.event_handlers.get(event.get("target"), ())):
                call(handler, event)


def call(handler, event) -> None:
    """A handler that fails is no reason to stop listening."""
    try:
        handler(event)
    except Exception:
        traceback.print_exc()
