"""Counters for `/metrics`, in the text form of Prometheus."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

#: upper bounds of the histogram of seconds
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Used by the event loop alone. Routes are those of the table, so no caller can make new names."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.seconds: dict[str, list[int]] = defaultdict(lambda: [0] * (len(BOUNDS) + 1))
        self.total: dict[str, float] = defaultdict(float)
        self.tokens: Counter[str] = Counter()
        self.items: Counter[str] = Counter()
        self.gone = 0

    def request(self, route: str, status: int, seconds: float) -> None:
        """One answer."""
        self.requests[route, status] += 1
        place = next((at for at, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))
        self.seconds[route][place] += 1
        self.total[route] += seconds

    def text(self, gauges: Iterable[tuple[str, str, str, float]] = ()) -> str:
        """Everything, with ``gauges`` as (name, kind, labels, value)."""
        lines = ["# TYPE sememe_requests_total counter"]
        for (route, status), count in sorted(self.requests.items()):
            lines.append(f'sememe_requests_total{{route="{_safe(route)}",status="{status}"}} {count}')
        lines.append("# TYPE sememe_request_seconds histogram")
        for route, counts in sorted(self.seconds.items()):
            so_far = 0
            for bound, count in zip([*map(str, BOUNDS), "+Inf"], counts, strict=True):
                so_far += count
                lines.append(f'sememe_request_seconds_bucket{{route="{_safe(route)}",le="{bound}"}} {so_far}')
            lines.append(f'sememe_request_seconds_sum{{route="{_safe(route)}"}} {self.total[route]:.6f}')
            lines.append(f'sememe_request_seconds_count{{route="{_safe(route)}"}} {so_far}')
        for name, counter in (("tokens", self.tokens), ("items", self.items)):
            lines.append(f"# TYPE sememe_embedded_{name}_total counter")
            lines += [
                f'sememe_embedded_{name}_total{{model="{_safe(model)}"}} {count}'
                for model, count in sorted(counter.items())
            ]
        lines += ["# TYPE sememe_clients_gone_total counter", f"sememe_clients_gone_total {self.gone}"]
        typed = set()
        for name, kind, labels, value in gauges:
            if name not in typed:
                lines.append(f"# TYPE {name} {kind}")
                typed.add(name)
            lines.append(f"{name}{{{labels}}} {value:g}" if labels else f"{name} {value:g}")
        return "\n".join(lines) + "\n"


def _safe(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
