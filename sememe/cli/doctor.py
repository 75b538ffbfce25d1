"""``sememe doctor``: what is installed, what is on disk, and whether it works."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import click

import sememe
from sememe import settings
from sememe.cli import options
from sememe.cli.output import Output, opened
from sememe.cli.session import Session
from sememe.errors import MissingModelError, SememeError
from sememe.progress import amount

#: extra → its package, and what it unlocks
EXTRAS = {
    "parquet": ("pyarrow", "index .parquet files"),
    "pandas": ("pandas", "hits.to_pandas()"),
    "faiss": ("faiss-cpu", "index hnsw and ivf"),
}
PACKAGES = ("numpy", "openvino", "tokenizers", "tantivy", "turbovec", "pypdfium2")


@click.command("doctor")
@options.formats("json")
@options.common
def command(session: Session, form: str, out: str | None) -> int:
    """What is installed, what is on disk, and whether it works.

    Reads only. The self-test encodes two sentences if the model is on disk; it never fetches one. Exit code 0 when all
    that is here works, 3 when the model is here and does not.
    """
    facts: dict[str, Any] = {
        "sememe": _ours(),
        "python": _python(),
        "processor": _processor(),
        "packages": {name: _version(name) for name in PACKAGES},
        "extras": {name: _extra(name) for name in EXTRAS},
        "disk": _disk(session),
        "settings": {
            key.name: {"value": str(session.settings.get(key.name)), "from": session.settings.origins[key.name]}
            for key in settings.KEYS
        },
        "unknown variables": settings.unknown_environment(),
        "self-test": _self_test(session),
    }
    with opened(out) as output:
        if form == "json":
            output.json(facts)
        else:
            _write(output, facts, session)
    return MissingModelError.exit_code if facts["self-test"]["state"] == "failed" else 0


def _ours() -> dict[str, str]:
    return {"version": sememe.__version__, "folder": str(Path(sememe.__file__).parent)}


def _python() -> dict[str, str]:
    return {
        "version": platform.python_version(),
        "program": sys.executable,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> dict[str, Any]:
    flags: set[str] = set()
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith(("flags", "Features")):
                flags = set(line.partition(":")[2].split())
                break
    except OSError:
        flags = set()  # no Linux: `precision` of the self-test says what is used
    usable = getattr(os, "sched_getaffinity", None)
    return {
        "cores": len(usable(0)) if usable else os.cpu_count(),
        "features": sorted(flags & {"avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8", "bf16", "asimd", "sve"}),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _extra(name: str) -> dict[str, str | None]:
    package, unlocks = EXTRAS[name]
    return {
        "package": package,
        "version": _version(package),
        "unlocks": unlocks,
        "install": f'pip install "sememe[{name}]"',
    }


def _disk(session: Session) -> dict[str, Any]:
    from sememe.models import hubcache
    from sememe.models.registry import installed

    where = session.settings
    collections = (
        sorted(p for p in where.collections_dir.iterdir() if p.is_dir()) if where.collections_dir.is_dir() else []
    )
    return {
        "home": str(where.home),
        "models": [{"name": m.name, "bytes": m.size, "source": m.source} for m in installed(where.home)],
        "collections": [{"name": path.name, "bytes": _size(path)} for path in collections],
        "hub cache": str(hubcache.place()),
        "settings file": str(settings.user_file()),
    }


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _self_test(session: Session) -> dict[str, Any]:
    """Load the encoder that is set and encode two sentences; state: ok, skipped or failed."""
    from sememe.encoders.remote.naming import is_remote
    from sememe.models.pull import here, is_path

    name = session.settings.model
    if is_remote(name):
        return {"state": "skipped", "why": f"{name} is hosted, and nothing is sent", "do": f"sememe models info {name}"}
    try:
        if not is_path(name) and here(name, home=session.settings.home) is None:
            return {"state": "skipped", "why": f"{name} is not on disk", "do": f"sememe models pull {name}"}
        began = time.perf_counter()
        encoder = session.encoder()
        loaded = time.perf_counter()
        first, second = encoder.encode(["The river rose after the rain.", "Heavy rainfall flooded the stream."])
        ended = time.perf_counter()
    except SememeError as error:
        return {"state": "failed", "why": str(error), "do": f"sememe models verify {name}"}
    except Exception as error:  # whatever it is, the other findings are worth having
        return {"state": "failed", "why": f"{type(error).__name__}: {error}", "do": "SEMEME_DEBUG=1 sememe embed x"}
    cosine = sememe.similarity(first, second)
    good = first.shape == (encoder.dim,) and 0.2 < cosine < 1.0
    return {
        "state": "ok" if good else "failed",
        "encoder": encoder.name,
        "how": dict(encoder.describe()),
        "load_seconds": round(loaded - began, 3),
        "encode_seconds": round(ended - loaded, 4),
        "cosine": round(float(cosine), 4),
        **({} if good else {"why": f"two sentences about rain have the cosine {cosine:.3f}"}),
    }


def _write(output: Output, facts: dict[str, Any], session: Session) -> None:
    def row(label: str, text: str) -> None:
        output.line(f"{label:<12}{text}")

    row("sememe", f"{facts['sememe']['version']}  {facts['sememe']['folder']}")
    row("python", f"{facts['python']['version']}  {facts['python']['system']}  {facts['python']['program']}")
    features = ", ".join(facts["processor"]["features"]) or "no features known"
    row("processor", f"{facts['processor']['cores']} cores  {features}")
    row("packages", "  ".join(f"{name} {version or 'MISSING'}" for name, version in facts["packages"].items()))
    for name, extra in facts["extras"].items():
        state = f"{extra['package']} {extra['version']}" if extra["version"] else f"not installed → {extra['install']}"
        row("extra", f"{name:<9} {extra['unlocks']:<22} {state}")
    disk = facts["disk"]
    row("home", f"{disk['home']}  ({session.settings.origins['home']})")
    for model in disk["models"] or [None]:
        row("model", f"{model['name']}  {amount(model['bytes'], 'bytes')}" if model else "none on disk")
    for kept in disk["collections"] or [None]:
        row("collection", f"{kept['name']}  {amount(kept['bytes'], 'bytes')}" if kept else "none")
    row("hub cache", f"{disk['hub cache']}  {'' if Path(disk['hub cache']).is_dir() else '(not there)'}".rstrip())
    row(
        "settings",
        f"{disk['settings file']}  {'' if Path(disk['settings file']).is_file() else '(not there)'}".rstrip(),
    )
    row("network", f"{'forbidden' if session.settings.offline else 'for fetching models'}  "
        f"({session.settings.origins['offline']})")  # fmt: skip
    for name in facts["unknown variables"]:
        row("variable", f"{name} means nothing to sememe")
    row("self-test", _tested(facts["self-test"]))


def _tested(test: dict[str, Any]) -> str:
    if test["state"] != "ok":
        why = test["why"].replace("\n", "\n" + " " * 12)
        return f"{test['state']}: {why}" + (f"  → {test['do']}" if "do" in test else "")
    how = test["how"].get("precision", "")
    times = f"loaded in {test['load_seconds']:.2f} s, two sentences in {test['encode_seconds'] * 1000:.0f} ms"
    return f"✔ {test['encoder']} {how}  {times}"
