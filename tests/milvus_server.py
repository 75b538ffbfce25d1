"""A Milvus server for the tests of one session: a process that runs Milvus Lite on a loopback port, in a folder of its
own, stopped at the end. It takes one request at a time: Milvus answers each from one state, and Milvus Lite only so."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

#: a server of one's own, or the one that the parent process has started; milvus://… without a collection
VARIABLE = "TEST_MILVUS_URL"
_PROGRAM = """
import sys
from milvus_lite.adapter.grpc.server import start_server_in_thread
server, database, port = start_server_in_thread(sys.argv[1], max_workers=1)
print(port, flush=True)
sys.stdin.read()  # until the tests are over, however they end
server.stop(grace=None)
"""


class NoServer(Exception):
    """Why there is none, as the reason of a skip."""


@cache
def server_url() -> str:
    """The address of the database of this session.

    Raises:
        NoServer: there is none, and none can be started.
    """
    if url := os.environ.get(VARIABLE):
        return url
    for package in ("pymilvus", "milvus_lite"):
        if importlib.util.find_spec(package) is None:
            raise NoServer(f'{package} is not installed; install it with: pip install "sememe[milvus]" milvus-lite')
    folder = Path(tempfile.mkdtemp(prefix="sememe-milvus-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(folder / "data")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder, start_new_session=True,
        )  # fmt: skip
    assert server.stdin is not None
    assert server.stdout is not None
    starter, end = os.getpid(), server.stdin

    def stop() -> None:
        if os.getpid() == starter:
            end.close()
            server.wait(20)

    atexit.register(stop)
    port = server.stdout.readline().strip()
    if not port:
        raise NoServer(f"the server did not start: {(folder / 'log').read_text('utf-8', 'replace')[-300:]}")
    return f"milvus://127.0.0.1:{port}/default"
