"""Token ids in a request are ids of the tokenizer of the encoder that is served, and of no other. Clients that count
with another one send its ids all the same, and would get vectors of some other text: they are told.
"""

from __future__ import annotations

from collections.abc import Sequence

from sememe.encoders.prepared import PreparedEncoder
from sememe.server.refusals import Refusal

FOREIGN = (
    "these look like ids from another tokenizer (LangChain sends tiktoken ids by default; "
    "set check_embedding_ctx_length=False)"
)


def check_ids(prepared: PreparedEncoder, lists: Sequence[Sequence[int]], how: str) -> None:
    """Refuse ids that are none of the encoder's.

    Args:
        how: ``guard``: each must be in the vocabulary, and the text that they stand for must give them again;
            ``trust``: only the first; ``reject``: no ids at all.

    Raises:
        Refusal: with the reason.
    """
    if how == "reject":
        raise Refusal(400, "this server takes texts only, no token ids", "input", "token_ids_rejected")
    tokenizer = prepared.encoder.tokenizer
    for at, ids in enumerate(lists):
        strange = [number for number in ids if not 0 <= number < tokenizer.vocab_size]
        if strange:
            raise Refusal(
                400,
                f"input {at} has the id {strange[0]}, and the vocabulary of {prepared.encoder.name} has "
                f"{tokenizer.vocab_size}: {FOREIGN}",
                "input",
                "foreign_token_ids",
            )
        bare = prepared.bare(ids)
        if how == "guard" and tokenizer.ids([tokenizer.decode(bare, skip_special=False)], specials=False)[0] != bare:
            raise Refusal(
                400, f"the ids of input {at} do not come from their own text: {FOREIGN}", "input", "foreign_token_ids"
            )
