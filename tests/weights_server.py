"""An HTTP server on the loopback interface in the place of Meta's."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


class WeightsServer:
    """Serves `files` by name; as a context manager it is closed at the end.

    Attributes:
        num_bytes_kept_back: how much of the end of each file is not sent.
        stall_at: how many bytes to send before waiting for `go_on`, having set `stalled`; None never to wait.
        num_requests: so far.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.num_bytes_kept_back = 0
        self.stall_at: int | None = None
        self.stalled = threading.Event()
        self.go_on = threading.Event()
        self.num_requests = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.num_requests += 1
                content = outer.files.get(self.path.removeprefix("/encodec/v0/"))
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                sent = content[: len(content) - outer.num_bytes_kept_back]
                if outer.stall_at is None:
                    self.wfile.write(sent)
                    return
                self.wfile.write(sent[: outer.stall_at])
                self.wfile.flush()
                outer.stalled.set()
                outer.go_on.wait(timeout=60)  # whoever asked is gone by then

            def log_message(self, format: str, *args: object) -> None:
                """Nothing in the test's output."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/encodec/v0/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def __enter__(self) -> "WeightsServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.go_on.set()
        if self.thread.is_alive():
            self.server.shutdown()
            self.thread.join()
            self.server.server_close()
