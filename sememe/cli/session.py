"""One run of one command: its settings, its voice, and the encoder when one is needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sememe.cli.talk import Talk
from sememe.errors import UsageError
from sememe.settings import Settings

if TYPE_CHECKING:
    from sememe.collection.collection import Collection
    from sememe.collection.refine import Reranker
    from sememe.encoders.contract import Encoder


#: texts of the sample that a cut is measured on
CUT_TEXTS = 200


@dataclass(frozen=True, slots=True)
class Session:
    """What every command is given first."""

    settings: Settings
    talk: Talk

    def encoder(self, name: str | None = None) -> Encoder:
        """The encoder ``name``, or the one that is set; fetched visibly if it is a catalogue's and not on disk."""
        from sememe.encoders.load import load_encoder

        return load_encoder(
            name or self.settings.model,
            precision=self.settings.precision,
            threads=self.settings.threads,
            home=self.settings.home,
            offline=self.settings.offline,
            dims=self.settings.dims,
            progress=self.talk.progress(),
        )

    def reranker(self, name: str | None, collection: Collection) -> Reranker | None:
        """The reranker ``name``; ``late``: late interaction, with the tokens of the collection's own encoder."""
        if name is None:
            return None
        if name != "late":
            from sememe.encoders.reranker import load_reranker

            now = self.settings
            return load_reranker(name, precision=now.precision, threads=now.threads, home=now.home, offline=now.offline)
        from sememe.encoders.hosted import innermost
        from sememe.encoders.tokens import LateReranker
        from sememe.encoders.transformer import TransformerEncoder

        # Under a cut and a memory: the tokens are those of the whole network.
        encoder = innermost(collection.encoder(self.talk.progress()))
        if not isinstance(encoder, TransformerEncoder):
            raise UsageError(
                f"the encoder of {collection.name} gives no vectors of tokens, which late interaction needs",
                do=["name a reranker: --rerank MODEL"],
            )
        return LateReranker(encoder)

    def say_cut(self, encoder: Encoder) -> None:
        """Say what a cut costs that the model was not trained for, measured on texts of the sample."""
        from sememe import sample
        from sememe.encoders.cut import CutEncoder, measure_cut
        from sememe.encoders.hosted import hosted

        if not isinstance(encoder, CutEncoder) or encoder.trained:
            return
        if hosted(encoder) is not None:
            self.talk.warn(
                f"{encoder.name} may not be trained to be cut; what it costs is not measured: nothing is sent"
            )
            return
        loss = measure_cut(encoder, [str(item["text"]) for item in sample.items()[:CUT_TEXTS]])
        self.talk.warn(
            f"{encoder.name} was not trained to be cut to {loss.dims} of {loss.width} dims: "
            f"recall@10 {loss.recall:.3f} against all dims, measured on {loss.texts} texts of the sample"
        )

    def collection(self, name: str | Path) -> Collection:
        """The collection ``name``, with its own encoder; with ``-m`` that one, which must be the same."""
        from sememe.collection.collection import Collection

        asked = self.settings.model if self.settings.origins["model"] == "flag" else None
        return Collection(name, encoder=asked, settings=self.settings)
