"""The page's server: on loopback alone, and for pages that come from it alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from bokeh.server.util import bind_sockets
from bokeh.settings import settings as bokeh_settings
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.routing import HostMatches, Rule, RuleRouter

from droulette.errors import UserError
from droulette.exploring.dropped import MOST_BYTES
from droulette.exploring.page import Page
from droulette.exploring.settings import Settings

ADDRESS = "127.0.0.1"
HOSTS = (ADDRESS, "localhost")
MOST_MESSAGE = MOST_BYTES * 4 // 3 + 2**20  # a picture in base64, and what is around it


def serve(port: int, first: Settings, model: Path, ready: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C. port: 0 for any that is free. ready: told the address.

    A request that names another host is answered by 404, and a WebSocket from a page of another host by 403, so that
    neither a web page nor a name that is made to lead here reaches the server.

    Raises:
        UserError: the port is in use, or not ours to take.
    """
    bokeh_settings.resources = "server"  # scripts and styles come from here, whatever the environment says
    try:
        sockets, port = bind_sockets(ADDRESS, port)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"--port: found {port}: {reason}, expected another, or 0 for one that is free") from error
    with ThreadPoolExecutor(1, "drawing") as worker:
        application = Application(FunctionHandler(lambda document: Page(document, first, model, worker) and None))
        loop = IOLoop.current()
        bokeh = BokehTornado(
            {"/": application},
            extra_websocket_origins=[f"{host}:{port}" for host in HOSTS],
            websocket_max_message_size_bytes=MOST_MESSAGE,
        )
        hosts = "|".join(host.replace(".", r"\.") for host in HOSTS)
        router = RuleRouter([Rule(HostMatches(f"(?:{hosts})$"), bokeh)])
        http = HTTPServer(router, max_body_size=2**20)
        http.add_sockets(sockets)
        server = BaseServer(loop, bokeh, http)
        server.start()
        ready(f"http://{ADDRESS}:{port}/")
        try:
            loop.start()
        finally:
            server.stop(wait=False)
