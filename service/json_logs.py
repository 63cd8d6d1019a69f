"""The log as one JSON object a line, for machines that collect logs (LODISC_JSON_LOGS).

It changes how BentoML's own handler of a worker writes, so that all lines of the worker are alike: ours, BentoML's and
those of libraries. Each has `time`, `level`, `logger` and `message`; within a request `trace_id` and `span_id`;
`exception` where there is one; and where it is the record of a request, that request's facts by name.

Not covered: what the process that starts the workers writes before they are there.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from opentelemetry.trace import format_span_id, format_trace_id, get_current_span


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON; a line break within a message does not break the line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        context = get_current_span().get_span_context()
        if context.is_valid:
            line |= {"trace_id": format_trace_id(context.trace_id), "span_id": format_span_id(context.span_id)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        line |= getattr(record, "facts", {})
        return json.dumps(line)


def log_in_json() -> None:
    """Have the handlers of BentoML's logger write JSON from now on; the root logger shares them."""
    for handler in logging.getLogger("bentoml").handlers:
        handler.setFormatter(JsonFormatter())
