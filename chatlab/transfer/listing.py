"""Lists all that an owner has, page by page."""

from __future__ import annotations

from chatlab.store import Store, StoredComparison, StoredConversation


async def all_conversations(store: Store, owner: str) -> list[StoredConversation]:
    """Return all chats of an owner."""
    found: list[StoredConversation] = []
    after: str | None = None
    while True:
        page = await store.recent(owner, after=after, limit=200)
        found += page.conversations
        after = page.next
        if after is None:
            return list({one.id: one for one in found}.values())  # one may move while the list is read


async def all_comparisons(store: Store, owner: str) -> list[StoredComparison]:
    """Return all comparison sessions of an owner."""
    found: list[StoredComparison] = []
    after: str | None = None
    while True:
        page, after = await store.comparisons(owner, after=after, limit=200)
        found += page
        if after is None:
            return found
