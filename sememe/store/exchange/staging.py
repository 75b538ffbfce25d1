"""A place beside the target where something is made, and the one step that puts it there whole.

A run that is killed leaves at most a hidden ``.NAME.PID-N.partial``, never a target that is half there; the next run
for the same target sweeps away what belongs to no living process.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sememe.errors import StoreError
from sememe.store.local.vector_file import sync_folder

#: two threads of one process may make the same target at the same time
_TURN = itertools.count()


@contextmanager
def staged(
    target: Path, *, overwrite: bool = False, replaceable: Collection[str] = (), parents: bool = False
) -> Iterator[Path]:
    """A fresh folder; what stands in it as ``whole`` when the block ends, a file or a folder, becomes ``target``.

    Args:
        overwrite: replace what is there: a file, or a folder of which every entry is in ``replaceable``.
        parents: make the folder that it is to be in.

    Raises:
        StoreError: there is something already, or no folder to put it in, or the disk is full.
    """
    target = target.absolute()
    try:
        with _made(target, overwrite, replaceable, parents) as desk:
            yield desk
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StoreError(
            f"{target.name} was not made; everything is as it was before",
            why=[
                ("because", "the disk is full" if full else str(error.strerror or error)),
                ("file", str(error.filename or target)),
            ],
        ) from error


@contextmanager
def _made(target: Path, overwrite: bool, replaceable: Collection[str], parents: bool) -> Iterator[Path]:
    if parents:
        target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    _refuse(target, overwrite, replaceable)
    desk = target.with_name(f".{target.name}.{os.getpid()}-{next(_TURN)}.partial")
    desk.mkdir()
    try:
        yield desk
        _refuse(target, overwrite, replaceable)
        there = os.path.lexists(target)
        if target.is_dir() or ((desk / "whole").is_dir() and there):
            target.rename(desk / "old")
        elif there:
            with suppress(OSError):  # where the disk knows no links, what is replaced cannot come back
                os.link(target, desk / "old", follow_symlinks=False)
        (desk / "whole").rename(target)
        try:
            sync_folder(target.parent)
        except OSError:
            if not there or os.path.lexists(desk / "old"):
                target.rename(desk / "whole")
            raise
    finally:
        _clear(desk, target)


def _refuse(target: Path, overwrite: bool, replaceable: Collection[str]) -> None:
    if not target.parent.is_dir():
        raise StoreError(f"there is no folder {target.parent}", do=[("make it", f"mkdir -p {target.parent}")])
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise StoreError(f"{target} exists already", do=["choose another name", ("or replace it", "--overwrite")])
    if target.is_dir() and not {entry.name for entry in target.iterdir()} <= set(replaceable):
        raise StoreError(
            f"{target} is a folder that holds other things; it is not replaced", do=["choose another name"]
        )


def _sweep(target: Path) -> None:
    if os.name == "nt" or not target.parent.is_dir():  # on Windows, asking whether a process lives would end it
        return
    ours = re.compile(re.escape(f".{target.name}.") + r"(\d{1,9})-\d+\.partial")
    for entry in target.parent.iterdir():
        found = ours.fullmatch(entry.name)
        if found and not _alive(int(found[1])):
            _clear(entry, target)


def _clear(desk: Path, target: Path) -> None:
    if not os.path.lexists(target) and (desk / "old").exists():  # between the two steps of replacing a folder
        (desk / "old").rename(target)
    shutil.rmtree(desk, ignore_errors=True)


def _alive(pid: int) -> bool:
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
    return True
