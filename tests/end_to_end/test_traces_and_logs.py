"""`deploy/tracing.yaml` and LODISC_JSON_LOGS with a server that is really started and a collector of its spans."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from live_server import serving
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from served_catalogue import build_served_catalogue

PROJECT = Path(__file__).parents[2]
TRACE = "0af7651916cd43dd8448eb211c80319c"


@contextmanager
def collector(names):
    """An OTLP endpoint that adds to `names` the name and trace of every span."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            assert self.path == "/v1/traces"
            sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
            for resource in sent.resource_spans:
                for scope in resource.scope_spans:
                    names.extend((span.name, span.trace_id.hex()) for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        try:
            yield listener.server_port
        finally:
            listener.shutdown()
            thread.join()


def test_a_request_leaves_a_span_and_a_line_of_json_that_name_each_other(tiny_bundle, tmp_path):
    catalogue = build_served_catalogue(tmp_path / "served", tiny_bundle)
    names = []
    with collector(names) as port:
        config = (PROJECT / "deploy/tracing.yaml").read_text()
        assert "otel-collector:4318" in config
        (tmp_path / "tracing.yaml").write_text(config.replace("otel-collector:4318", f"127.0.0.1:{port}"))
        environment = {
            "BENTOML_CONFIG": str(tmp_path / "tracing.yaml"),
            "LODISC_JSON_LOGS": "true",
            "OTEL_BSP_SCHEDULE_DELAY": "100",  # ms between two sendings of spans
        }
        with serving(catalogue, tmp_path / "log.txt", environment=environment) as server:
            with httpx.Client(base_url=server.url, trust_env=False) as client:
                headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "X-Request-ID": "mine"}
                assert client.get("/items/Rubra/rosso/0.png", headers=headers).status_code == 200
                assert client.get("/readyz").status_code == 200
                assert client.get("/items/no%0A%1bway").status_code == 404
            deadline = time.monotonic() + 20
            while ("GET /items/Rubra/rosso/0.png", TRACE) not in names:
                assert time.monotonic() < deadline, names
                time.sleep(0.05)
            server.stop()
            log = server.log()
    assert not any("readyz" in name for name, _ in names)
    # What the command and BentoML's own parent write is text; of the worker all is JSON once it opens the catalogue.
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert any(line["message"].startswith("ready: 16 items") for line in lines)
    first, second = (line for line in lines if "status" in line)
    assert (first["trace_id"], first["id"], first["route"]) == (TRACE, "mine", "/items/{id:path}")
    assert (first["method"], first["status"]) == ("GET", 200)
    assert first["ms"] > 0
    assert (second["status"], second["path"]) == (404, "/items/no\\n\\x1bway")
    assert "entry_service:image_retrieval:1] GET" not in log
