"""The page's server: on loopback alone, for pages that come from it alone, and for those who know its address."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.server.auth_provider import AuthProvider
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from bokeh.server.util import bind_sockets
from bokeh.settings import settings as bokeh_settings
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.routing import HostMatches, Rule, RuleRouter
from tornado.web import HTTPError, RequestHandler

from droulette.errors import UserError
from droulette.exploring.dropped import MOST_BYTES
from droulette.exploring.page import Page
from droulette.exploring.settings import Settings

ADDRESS = "127.0.0.1"
HOSTS = (ADDRESS, "localhost")
MOST_MESSAGE = MOST_BYTES * 4 // 3 + 2**20  # a picture in base64, and what is around it


class Token(AuthProvider):
    """Lets in requests, for the page and for its WebSocket, whose address has the token; others get 403."""

    login_url = "/"  # which Bokeh asks for, and which is not used

    def __init__(self, token: str) -> None:
        self.token = token
        super().__init__()

    @property
    def get_user_async(self) -> Callable:
        async def user(request: RequestHandler) -> str:
            if not hmac.compare_digest(request.get_query_argument("token", "").encode(), self.token.encode()):
                raise HTTPError(403)
            return "user"

        return user


class OpenOnce(RequestHandler):
    """Leads to the page from an address that works once.

    Other users of the machine can read a browser's command line, and so the address that it is started with.
    """

    def initialize(self, codes: set[str], token: str) -> None:
        self.codes, self.token = codes, token

    def get(self, code: str) -> None:
        if code not in self.codes:
            raise HTTPError(403)
        self.codes.remove(code)
        self.redirect(f"/?token={self.token}")


def serve(port: int, first: Settings, model: Path, ready: Callable[[str, str], None]) -> None:
    """Serve the page until Ctrl-C. port: 0 for any that is free.

    ready: told the address, and another one that leads there once, for a browser's command line. The address has a
    random token, without which the server answers 403: so other users of the machine cannot open the page.
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
        token, code = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
        application = Application(FunctionHandler(lambda document: Page(document, first, model, worker) and None))
        loop = IOLoop.current()
        bokeh = BokehTornado(
            {"/": application},
            auth_provider=Token(token),
            extra_patterns=[(r"/open/([\w-]+)", OpenOnce, {"codes": {code}, "token": token})],
            extra_websocket_origins=[f"{host}:{port}" for host in HOSTS],
            websocket_max_message_size_bytes=MOST_MESSAGE,
        )
        hosts = "|".join(host.replace(".", r"\.") for host in HOSTS)
        router = RuleRouter([Rule(HostMatches(f"(?:{hosts})$"), bokeh)])
        http = HTTPServer(router, max_body_size=2**20)
        http.add_sockets(sockets)
        server = BaseServer(loop, bokeh, http)
        server.start()
        address = f"http://{ADDRESS}:{port}"
        ready(f"{address}/?token={token}", f"{address}/open/{code}")
        try:
            loop.start()
        finally:
            server.stop(wait=False)
