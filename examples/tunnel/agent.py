"""An agent in Python: serves one HTTP answer per connection to whoever the hub sends, until its input ends."""

import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler

import trunkline


class Handler(BaseHTTPRequestHandler):
    """Says who asked for what."""

    def do_GET(self) -> None:
        body = f"{self.path} served behind the tunnel by Python\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the example prints what matters."""


class Adapter:
    """A stream as `BaseHTTPRequestHandler` takes one."""

    def __init__(self, stream: trunkline.Stream) -> None:
        self.makefile = stream.makefile
        self.sendall = stream.sendall


def serve(listener: trunkline.Listener) -> None:
    """Answers until the listener is closed."""
    server = socketserver.BaseServer(("tunnel", 0), Handler)
    while True:
        try:
            stream = listener.accept()
        except trunkline.ClosedError:
            return
        with stream:
            Handler(Adapter(stream), ("tunnel", 0), server)


def main() -> None:
    hub, token = sys.argv[1:]
    config = trunkline.AgentConfig(cluster="office", token=token, hubs=[hub])
    with trunkline.Agent(config) as agent:
        agent.wait_ready(20)
        with agent.listener() as listener:
            serving = threading.Thread(target=serve, args=[listener])
            serving.start()
            print("ready", flush=True)
            sys.stdin.read()
            agent.drain(5)
            serving.join()


main()
