"""sentence-transformers behind FastAPI, as its users write it: one route, one model, a call for each request.

python benchmarks/peers/fastapi_server.py MODEL PORT {f32,bf16}
"""

from __future__ import annotations

import sys

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer


class Ask(BaseModel):
    """What OpenAI's clients send."""

    input: str | list[str]
    model: str


def main() -> None:
    folder, port, precision = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(2)
    kind = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
    model = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": kind})
    app = FastAPI()

    @app.post("/v1/embeddings")
    def embeddings(ask: Ask) -> dict:  # a plain function: FastAPI runs it on its threads
        texts = [ask.input] if isinstance(ask.input, str) else ask.input
        rows = model.encode(texts, batch_size=32, normalize_embeddings=True).tolist()
        return {"object": "list", "model": ask.model, "data": [
            {"object": "embedding", "index": at, "embedding": row} for at, row in enumerate(rows)]}  # fmt: skip

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


# Without it the annotations of the route above, which are strings here, are not found in this scope.
Ask.model_rebuild()

if __name__ == "__main__":
    main()
