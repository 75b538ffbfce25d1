"""The one way to ask for an optional dependency."""

from __future__ import annotations

import importlib
from types import ModuleType

from sememe.errors import MissingExtraError


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import ``module``, or say which extra brings it.

    Args:
        module: the name to import, such as ``"pyarrow.parquet"``.
        extra: the extra of sememe that installs it, such as ``"parquet"``.
        purpose: what it is needed for, as it fits into "… needs".

    Raises:
        MissingExtraError: the distribution is not installed. An error *inside* an installed one is not hidden.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        top = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != top:
            raise
        raise MissingExtraError(
            f'{purpose} needs the package "{top}", which is not installed',
            do=[("install it", f'pip install "sememe[{extra}]"')],
        ) from None
