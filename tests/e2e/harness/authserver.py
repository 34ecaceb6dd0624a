# SPDX-License-Identifier: ISC
"""An auth server in the manner of those written for NGINX's auth_http: a small Flask script."""
import logging
import threading

import flask
from werkzeug.serving import make_server

from . import net


class AuthServer:
    """answer(headers) returns a dict of reply headers, or a (dict, status) pair. All requests are kept."""

    def __init__(self, answer, host=None):
        self.host = host or net.address()
        self.port = net.port(self.host)
        self.requests = []
        app = flask.Flask("auth")
        logging.getLogger("werkzeug").setLevel(logging.ERROR)

        @app.route("/auth")
        def auth():
            headers = dict(flask.request.headers)
            self.requests.append(headers)
            result = answer(headers)
            reply, status = result if isinstance(result, tuple) else (result, 200)
            response = flask.Response("", status)
            for name, value in reply.items():
                response.headers[name] = value
            return response

        self.server = make_server(self.host, self.port, app, threaded=True)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://{f'[{host}]' if host and ':' in host else self.host}:{self.port}/auth"

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
