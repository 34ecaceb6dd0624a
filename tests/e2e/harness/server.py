# SPDX-License-Identifier: ISC
"""Small servers of the tests' own, to say what no real one would."""
import socket
import threading

from . import net


class Server:
    """Calls serve(client socket) in a thread for each connection, on an address of its own, or on host."""

    def __init__(self, serve, host=None):
        host = host or net.address()
        self.socket = socket.create_server((host, 0), family=net.family(host))
        self.host, self.port = self.socket.getsockname()[:2]
        self.serve = serve
        self.clients = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            self.clients.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            self.serve(client)
        except OSError:
            pass

    def stop_listening(self):
        """A thread that waits in accept would take clients of whoever gets the descriptor next: it has to end before the close."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.thread.join()
        self.socket.close()

    def close(self):
        self.stop_listening()
        for client in self.clients:
            client.close()
