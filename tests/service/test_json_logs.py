"""One JSON object a line, whatever is logged."""

import json
import logging
import sys
from datetime import datetime

from opentelemetry.sdk.trace import TracerProvider

from service.json_logs import JsonFormatter


def written(message, *args, **rest):
    record = logging.LogRecord("bentoml.lodisc", logging.WARNING, "x.py", 1, message, args, rest.pop("exc_info", None))
    vars(record).update(rest)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    return json.loads(text)


def test_a_line():
    line = written("a\n%s \x1b[2J", "☃")
    assert line["message"] == "a\n☃ \x1b[2J"
    assert (line["level"], line["logger"]) == ("WARNING", "bentoml.lodisc")
    assert datetime.fromisoformat(line["time"]).tzinfo is not None
    assert line.keys() == {"time", "level", "logger", "message"}


def test_facts_and_an_exception():
    try:
        int("no\nway")
    except ValueError:
        line = written("broken", exc_info=sys.exc_info(), facts={"status": 500})
    assert line["status"] == 500
    assert r"ValueError: invalid literal for int() with base 10: 'no\nway'" in line["exception"]


def test_the_trace():
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("x") as span:
        line = written("in a span")
    assert int(line["trace_id"], 16) == span.get_span_context().trace_id
    assert int(line["span_id"], 16) == span.get_span_context().span_id
