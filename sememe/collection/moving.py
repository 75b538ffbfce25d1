"""The way of a collection to another encoder, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from sememe.collection.collection import Collection
    from sememe.collection.migrate import Migrated
    from sememe.collection.migration import Cost
    from sememe.encoders.contract import Encoder
    from sememe.progress import Progress


class Moving:
    """How a `Collection` changes its encoder: priced, done, undone, settled."""

    if TYPE_CHECKING:
        asked: Encoder | str | None
        _encoder: Encoder | None

    def migration(self, encoder: Encoder | str, *, progress: Progress | None = None) -> Cost:
        """What `migrate` would take, measured on a sample; nothing is written."""
        from sememe.collection.migrate import estimate

        return estimate(self._collection, encoder, progress=progress)

    def migrate(self, encoder: Encoder | str, *, on_long: str = "error", progress: Progress | None = None) -> Migrated:
        """Move it to another encoder: from the texts that it keeps, cut as they are. The old vectors answer until all
        are made, and are kept for `roll_back` until `settle`. Cut short, the next call goes on from there.

        Args:
            encoder: an encoder, or a model's name or folder.
            on_long: what is done where the new encoder takes less than the longest chunk: ``error`` (before anything
                is encoded), ``mean`` (encode it in windows, and average) or ``cut``.

        Raises:
            DataError: chunks without a text, or too long ones.
            StoreError: the disk has no room, or somebody has rebuilt it meanwhile.
            LockedError: somebody else is at it.
        """
        from sememe.collection.migrate import migrate

        done = migrate(self._collection, encoder, on_long=on_long, progress=progress)
        self.asked, self._encoder = encoder, None
        return done

    def roll_back(
        self, encoder: Encoder | str | None = None, *, on_long: str = "error", progress: Progress | None = None
    ) -> Migrated:
        """Go back to the vectors of before the last migration; what was added since is encoded. Those that were in use
        are kept now.

        Args:
            encoder: the old one, where its name does not lead to it.

        Raises:
            StoreError: there is nothing to go back to.
        """
        from sememe.collection.migrate import roll_back

        done = roll_back(self._collection, encoder, on_long=on_long, progress=progress)
        self.asked, self._encoder = encoder, None
        return done

    def settle(self) -> int:
        """Let go of vectors that are kept or half made by a migration; says how many bytes they took."""
        from sememe.collection.migrate import settle

        return settle(self._collection)

    @property
    def _collection(self) -> Collection:
        return cast("Collection", self)
