"""The README's figures of serving."""

import json
from pathlib import Path

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
NAMES = {
    "ours": "`lodisc serve`",
    "bentoml": "BentoML's own batching",
    "litserve": "LitServe",
    "fastapi": "FastAPI, a plain endpoint",
}


def serve() -> str:
    """Rates and latencies beside others, and what else was measured of the server."""
    result = json.loads((RESULTS / "serve.json").read_text(encoding="utf-8"))
    rate, overload, memory, start = (result[part] for part in ("rate", "overload", "memory", "start"))
    lines = [
        "| server | rate of 32 clients / of the loop | 500 x 375, pictures/s | 12 MP "
        "| a lone request / in the process | 99 % / mean of 32 clients |",
        "|---|---|---|---|---|---|",
    ]
    for name, shown in NAMES.items():
        summary, cells = rate["summary"][name], rate["cells"][name]
        lines.append(
            f"| {shown} | {_spread(summary['saturated_over_in_process'])} | {cells['500x375']['32']['per_s']:.1f} "
            f"| {cells['12MP']['32']['per_s']:.1f} | {_spread(summary['alone_over_in_process'])} "
            f"| {summary['p99_over_mean']['median']:.2f} |"
        )
    refused = sum(count for status, count in overload["statuses"].items() if status != "200")
    lines += [
        "",
        f"ViT-S/16 at 224, fp32, {result['cores']} cores shared with the clients, JPEG of two sizes, {rate['rounds']} "
        "rounds in turns; medians, geometric mean of the two sizes, in brackets the least and the most of a cell.",
        "",
        f"With {overload['clients']} clients where there is room for {overload['room']} pictures, for "
        f"{overload['seconds']:.0f} s: {overload['goodput_over_capacity']:.0%} of the usual rate, {refused} refusals, "
        f"of which {overload['statuses'].get('429', 0)} were a 429, and a lone request as fast as before after "
        f"{overload['back_to_normal_s']:.1f} s. Memory grew by {memory['growth'] - 1:.1%} over {memory['requests']} "
        f"requests. Ready in {start['ours_s']:.1f} s, {start['ready_over_bare']:.2f} times a bare BentoML service.",
    ]
    return "\n".join(lines)


def _spread(figure: dict[str, float | list[float]]) -> str:
    low, high = figure["spread"]  # type: ignore[misc]
    return f"{figure['median']:.2f} ({low:.2f}-{high:.2f})"


SECTIONS = {"serve": serve}
