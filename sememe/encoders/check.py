"""Whether a model is what it should be: its files, its vectors, and, where there is a reference, the right ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sememe import settings
from sememe.encoders.check_files import check_files
from sememe.encoders.check_reference import Reference, ask_engine, hold, read_reference
from sememe.encoders.check_report import Finding, Report
from sememe.encoders.check_vectors import TEXTS, check_vectors
from sememe.encoders.load import load_encoder
from sememe.encoders.save import REFERENCE
from sememe.encoders.transformer import TransformerEncoder
from sememe.errors import DataError, ModelError
from sememe.models.pull import open_layout
from sememe.ops.openvino import choose_precision


def check_model(
    name_or_path: str | Path,
    *,
    against: Path | str | None = None,
    engine: str | None = None,
    precision: str | None = None,
    home: Path | str | None = None,
    offline: bool | None = None,
) -> Report:
    """Look a model over.

    Args:
        name_or_path: as `load_encoder` takes it.
        against: a file with the vectors that some texts must have (`sememe.encoders.check_reference`); the
            ``reference.json`` of the folder is read without being asked for.
        engine: ``sentence-transformers``, where it is installed: it is given the same folder and texts.
        precision: the one that is used otherwise; it is compared with f32.

    Raises:
        MissingModelError: it is not here, and not to be had.
        UsageError, DataError: the reference or the engine cannot be used. What is wrong with the model is a finding.
    """
    now = settings.load({"precision": precision, "home": home, "offline": offline})
    references = [read_reference(Path(against))] if against is not None else []
    try:
        layout = open_layout(name_or_path, home=now.home, offline=now.offline)
    except ModelError as error:
        return Report(str(name_or_path), "", (_closed(error),))
    how = {"home": now.home, "offline": now.offline, "dims": 0}
    try:
        opened = load_encoder(name_or_path, precision="f32", **how)  # type: ignore[arg-type]
        while not isinstance(opened, TransformerEncoder):
            opened = opened.whole  # type: ignore[attr-defined]
    except ModelError as error:
        return Report(layout.name, str(layout.folder), (_closed(error),))
    encoder = opened
    findings = [Finding("opens", "ok", f"{layout.architecture}, {encoder.dim} dims, {encoder.max_tokens} tokens")]
    findings += check_files(layout, encoder)
    try:
        findings += check_vectors(encoder)
        if (layout.folder / REFERENCE).is_file():
            references.insert(0, _own(layout.folder / REFERENCE))
        if engine is not None:
            references.append(ask_engine(engine, layout.folder, TEXTS))
        findings += [hold(encoder, reference) for reference in references]
        if not references:
            findings.append(Finding("reference", "left out", "no vectors of others to compare with", "--against FILE"))
        if choose_precision(now.precision) != "f32":
            other = load_encoder(name_or_path, precision=now.precision, **how)  # type: ignore[arg-type]
            findings.append(_precision(encoder, other))
            other.close()
    except ModelError as error:
        findings.append(Finding("runs", "wrong", error.what, "correct the folder"))
    finally:
        encoder.close()
    return Report(layout.name, str(layout.folder), tuple(findings))


def _own(file: Path) -> Reference:
    try:
        return read_reference(file)
    except DataError as error:  # a file of the model, so the model is what is wrong
        raise ModelError(error.what) from None


def _closed(error: ModelError) -> Finding:
    why = [line if isinstance(line, str) else ": ".join(line) for line in error.why]
    return Finding("opens", "wrong", "; ".join([error.what, *why]), "correct that first")


def _precision(exact: TransformerEncoder, other: object) -> Finding:
    one, two = (which.encode(TEXTS, on_long="cut") for which in (exact, other))  # type: ignore[attr-defined]
    lengths = np.maximum(np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1), 1e-12)
    least = float(((one * two).sum(axis=1) / lengths).min())
    name = other.describe()["precision"]  # type: ignore[attr-defined]
    said = f"{name} against f32: least cosine {least:.5f}"
    return Finding("precision", "ok" if least > 0.99 else "note", said, "" if least > 0.99 else "use f32 for it")
