"""What each process of the test of readers and a writer does."""

from __future__ import annotations

import gc
import json
import random
import sys
import time
from pathlib import Path

import numpy as np
from kill_drill import CALLS, do, next_call, source_of, whole_vector
from store_drill import ADAPTORS, WORDS, text_of, vector_of

from sememe.store.contract import Store


def write(store: Store, adaptor: str, folder: Path, chance: random.Random, end: float) -> dict[str, int]:
    calls, first = 0, 1000
    # After a rebuild readers have to open again; a migration is another encoder's.
    often = {verb: n for verb, n in CALLS.items() if verb not in ("rebuild", "migrate")}
    while time.monotonic() < end or calls < 50:
        call = next_call(chance, first, often)
        store = do(call, store, adaptor, folder)
        first += len(call.get("rows", {}))
        calls += 1
    assert store.verify().ok
    store.close()
    return {"calls": calls}


def read(store: Store, chance: random.Random, end: float) -> dict[str, int]:
    asked, seen, early = 0, set(), 0
    begun = time.monotonic()
    # At least so often, however slow the machine is.
    while (now := time.monotonic()) < end or asked < 100:
        number, word = chance.randrange(10**6), chance.choice(WORDS)
        query = vector_of(number)
        mode = ("dense", "words", "hybrid")[asked % 3]
        (hits,) = store.search(query[np.newaxis], chance.choice([1, 10, 200]), words=[word], mode=mode)
        assert len(set(hits.ids)) == len(hits)
        assert list(hits.scores) == sorted(hits.scores, reverse=True)
        for hit in hits:
            version = int(str(hit.meta["number"]))
            assert hit.text == text_of(version)
            assert hit.place.source == source_of(version)
            if "cosine" in hit.scores:
                right = whole_vector(version).astype(np.float64) @ query
                right /= np.linalg.norm(whole_vector(version)) * np.linalg.norm(query.astype(np.float64))
                assert abs(hit.scores["cosine"] - right) < 1e-5
            if mode == "words":
                assert word in hit.text.split()
        seen.add(hits.ids)
        ids = store.ids()
        for id, one in zip(ids[:3], store.get(ids[:3]), strict=True):
            assert one is None or one.text == text_of(int(str(one.meta["number"]))), id
        asked += 1
        if not early and now > begun + (end - begun) / 3:
            early = memory()
    store.close()
    gc.collect()
    return {"asked": asked, "changes": len(seen), "grown": memory() - early}


def memory() -> int:
    """Bytes of this process that are in memory and not in a file."""
    status = Path("/proc/self/status").read_text("utf-8").splitlines()
    (line,) = (line for line in status if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def main(verb: str, adaptor: str, folder: Path, seed: int, seconds: float) -> None:
    chance = random.Random(seed)
    store = ADAPTORS[adaptor](folder)
    if verb == "make":
        rows = {f"i{id}": id for id in range(150)}
        do({"verb": "put", "rows": rows, "drop": [], "stamp": {}}, store, adaptor, folder).close()
        return
    end = time.monotonic() + seconds
    said = write(store, adaptor, folder, chance, end) if verb == "write" else read(store, chance, end)
    print(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
