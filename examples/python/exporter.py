"""The metrics of a server for Prometheus, with the standard library alone.

From the root of the repository: ``python examples/python/exporter.py 9100``; then ``curl 127.0.0.1:9100/metrics``.
Without a port it prints them once; with port 0 it says which one it found free.
"""

import http.server
import sys

import inferlay

server = inferlay.Server(progress=False)
server.register("zero", lambda x: x * 0, inputs={"x": ("FP32", [2])}, outputs={"y": ("FP32", [2])})
asked = server.metric_counter("app_scrapes_total", "How often the metrics were asked for")


class Exporter(http.server.BaseHTTPRequestHandler):
    """Answers whoever asks, whatever for."""

    def do_GET(self) -> None:
        """Answers with the metrics."""
        asked.increment()
        text = server.metrics().encode()
        self.send_response(200)
        self.send_header("Content-Type", inferlay.METRICS_CONTENT_TYPE)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing of requests."""


if len(sys.argv) > 1:
    with http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Exporter) as listener:
        print(f"http://127.0.0.1:{listener.server_port}/metrics", flush=True)
        listener.serve_forever()
print(server.metrics())
