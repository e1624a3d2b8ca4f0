"""What each lane of a session should know, kept apart from the session: plain lists, one a lane.

`Person` does each thing to a real session and to these lists, and after it asks every lane for its numbers:
what came over the wire, what the session shows and what the store has must be what the lists say.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from chatlab.compare.session.events import Opened
from chatlab.compare.session.session import ComparisonSession
from chatlab.config.models import CompareLane
from chatlab.config.registry import Backends
from chatlab.conversations.saving import Saving
from chatlab.messages import Message
from chatlab.store import Store
from tests.compare.session.numbers_upstream import NUMBER, QUESTION, Call, NumbersUpstream

_seeds = itertools.count(1)
_numbers = itertools.count(100_000, 7)


@dataclass
class Exchange:
    round: str
    user: str
    answer: str


@dataclass
class Known:
    """A lane: its seed, its place in the session, its history, each it had before, and its own answers."""

    id: str
    seed: int
    history: list[Exchange] = field(default_factory=list)
    had: list[list[Exchange]] = field(default_factory=list)
    given: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stand(self.history)

    def stand(self, history: list[Exchange]) -> None:
        self.history = list(history)
        self.had.append(self.history)

    def answered(self, exchange: Exchange) -> None:
        self.stand([*self.history, exchange])
        self.given.setdefault(exchange.round, []).append(exchange.answer)

    def back_to(self, round_id: str, answer: str | None = None) -> None:
        """To where it was last after a round, or after this answer to it; nowhere, if it never was."""
        for history in reversed(self.had):
            if any(one.round == round_id and answer in (None, one.answer) for one in history):
                self.stand(history)
                return


class Person:
    """One person with one session."""

    def __init__(
        self, upstream: NumbersUpstream, backends: Backends, store: Store, saving: Saving, owner: str
    ) -> None:
        self.upstream, self.backends, self.store, self.saving, self.owner = (
            *(upstream, backends, store, saving, owner),
        )
        self.session: ComparisonSession
        self.lanes: list[Known] = []
        self.mode = "own"
        self.to_all: dict[str, bool] = {}
        self.order: dict[str, tuple[int, int]] = {}
        self.users: dict[str, str] = {}

    async def begin(self, lanes: int) -> None:
        specs = [self._spec() for _ in range(lanes)]
        self.session = await ComparisonSession.create(
            self.backends, specs, owner=self.owner, opened=Opened(), store=self.store, saving=self.saving
        )
        self.lanes = [Known(lane.id, int(lane.parameters["seed"])) for lane in self.session.state.lanes]
        for lane in self.lanes:
            await self.tell(lane)
        await self.check()

    def _spec(self) -> CompareLane:
        return CompareLane(backend="upstream", parameters={"seed": next(_seeds)})

    # -- what a person does; each is followed by a check of what it did

    async def tell(self, lane: Known) -> None:
        """Gives one lane a number that no other is told."""
        await self._ask(f"Remember #{next(_numbers)}#", [lane])

    async def ask(self) -> None:
        """Follows up in all lanes."""
        await self._ask(f"Go on from there, {next(_numbers)}", None)

    async def _ask(self, text: str, lanes: list[Known] | None) -> None:
        ids = None if lanes is None else [lane.id for lane in lanes]
        round_id = await self.session.ask(text, lanes=ids)
        self._new_round(round_id, text, lanes is None, None)
        await self.answered(round_id, text, lanes or self.lanes)

    async def edit(self, round_id: str, lane: Known | None) -> str:
        text = f"Remember #{next(_numbers)}# instead"
        asked = [known for known in self.lanes if self._stands(known, round_id) and lane in (None, known)]
        new = await self.session.edit(round_id, text, lanes=None if lane is None else [lane.id])
        self._new_round(new, text, lane is None, round_id)
        for known in asked:
            self._cut(known, round_id)
        await self.answered(new, text, asked)
        return new

    async def retry(self, round_id: str, lane: Known | None) -> None:
        asked = [known for known in self.lanes if self._stands(known, round_id) and lane in (None, known)]
        await self.session.retry(round_id, lanes=None if lane is None else [lane.id])
        for known in asked:
            self._cut(known, round_id)
        await self.answered(round_id, self.users[round_id], asked)

    async def undo(self) -> None:
        last = self.visible()[-1]
        message = await self.session.undo()
        assert message.text == self.users[last]
        for known in self.lanes:
            if self._stands(known, last):
                self._cut(known, last)

    async def add(self, like: Known | None) -> None:
        spec = self._spec()
        lane = await self.session.add_lane(spec, like=like.id if like else None)
        history = self.lanes[0].history if self.mode == "shared" else like.history if like else []
        self.lanes.append(Known(lane.id, spec.parameters["seed"], history))

    async def remove(self, lane: Known) -> None:
        await self.session.remove_lane(lane.id)
        self.lanes.remove(lane)

    async def swap(self, old: Known, keep: bool) -> None:
        spec = self._spec()
        lane = await self.session.swap(old.id, spec, keep_history=keep)
        history = old.history if keep or self.mode == "shared" else []
        self.lanes[self.lanes.index(old)] = Known(lane.id, spec.parameters["seed"], history)

    async def share(self, picked: Known) -> None:
        await self.session.set_mode("shared")
        self.mode = "shared"
        await self.pick(picked)

    async def pick(self, picked: Known) -> None:
        head = self.session.state.heads[picked.id]
        assert head is not None
        await self.session.pick(head)
        for known in self.lanes:
            known.stand(picked.history)

    async def own(self) -> None:
        await self.session.set_mode("own")
        self.mode = "own"

    async def rerun(self, lane: Known) -> None:
        visible = self.visible()
        if self.mode == "shared":
            rounds = visible[-1:]
            self._cut(lane, rounds[0])
        else:
            rounds = [
                round_id
                for round_id in visible
                if self._stands(lane, round_id) or (self.to_all[round_id] and round_id not in lane.given)
            ]
            lane.stand([])
        await self.session.rerun(lane.id)
        await self.session.settled()
        calls = self.upstream.take()
        assert len(calls) == len(rounds)
        for round_id, call in zip(rounds, calls, strict=True):
            self._sent(lane, self.users[round_id], call)
            lane.answered(Exchange(round_id, self.users[round_id], call.answer))

    async def walk(self, round_id: str) -> None:
        """To another version of a message, or to any that was left behind."""
        await self.session.to_version(round_id)
        for lane in self.lanes:
            if not self._stands(lane, round_id):
                lane.back_to(round_id)
        await self.looked()

    async def walk_alone(self, lane: Known, round_id: str, answer: int) -> None:
        """To another of a lane's answers."""
        await self.session.to_answer(round_id, lane.id, answer)
        said = lane.given[round_id][answer]
        if said not in [one.answer for one in lane.history]:
            lane.back_to(round_id, said)
        await self.looked()

    async def reopen(self) -> None:
        """The server is another one: all it has of the session is what the store has."""
        before = self.session.state
        await self.session.aclose()
        self.session = await ComparisonSession.open(
            self.backends, self.session.id, owner=self.owner, store=self.store, saving=self.saving
        )
        assert self.session.state == before

    # -- what has to be so

    async def answered(self, round_id: str, text: str, lanes: list[Known]) -> None:
        """Each of these lanes was sent its own history and the message, once; the others nothing."""
        await self.session.settled()
        calls = {call.seed: call for call in self.upstream.take()}
        assert sorted(calls) == sorted(lane.seed for lane in lanes)
        for lane in lanes:
            self._sent(lane, text, calls[lane.seed])
            lane.answered(Exchange(round_id, text, calls[lane.seed].answer))
        assert self.session.mismatches(round_id) == self.session.state.checked[round_id] == ()

    def _sent(self, lane: Known, text: str, call: Call) -> None:
        assert call.seed == lane.seed
        expected = [("user", text)]
        for exchange in reversed(lane.history):
            expected = [("user", exchange.user), ("assistant", exchange.answer), *expected]
        assert call.messages == expected

    async def check(self) -> None:
        """Asks every lane for its numbers: looks at the upstream, in the session and in the store."""
        if self.mode == "shared" and len({str(lane.history) for lane in self.lanes}) > 1:
            await self.pick(self.lanes[0])
        known = {lane.id: self.numbers(lane) for lane in self.lanes}
        await self._ask(QUESTION, None)
        for lane in self.lanes:
            said = lane.history[-1].answer
            assert set(NUMBER.findall(said)) == known[lane.id]
            assert await self._in_store(lane) == [
                (exchange.user, exchange.answer) for exchange in lane.history
            ]
        await self.looked()

    async def looked(self) -> None:
        """The session shows every lane's own history, and each answer's receipt says what was before it."""
        for lane in self.lanes:
            places = self.session.state.history(lane.id)
            shown = [(self._user(place.round), self.session.turn(place.turn).answer) for place in places]
            assert [(user, Message("assistant", parts).text) for user, parts in shown] == [
                (exchange.user, exchange.answer) for exchange in lane.history
            ]
            before: list[tuple[str, str]] = []
            for place, exchange in zip(places, lane.history, strict=True):
                before.append(("user", exchange.user))
                if place.copied_from is None:
                    receipt = self.session.receipts(place.round)[place.turn]
                    assert [(message.role, message.text) for message in receipt.messages] == before
                before.append(("assistant", exchange.answer))
        for round_id in self.visible():
            assert self.session.mismatches(round_id) == self.session.state.checked[round_id] == ()
        assert [lane.id for lane in self.session.state.lanes] == [lane.id for lane in self.lanes]
        assert [one.id for one in self.session.state.visible] == self.visible()

    async def _in_store(self, lane: Known) -> list[tuple[str, str]]:
        """The conversation that the store has of a lane, from its head back to its first turn."""
        conversation = self.session.state.conversations[lane.id]
        turns = {turn.id: turn for turn in await self.store.turns(self.owner, conversation)}
        found: list[tuple[str, str]] = []
        at = (await self.store.get(self.owner, conversation)).head
        while at is not None:
            turn = turns[at]
            assert turn.status == "finished"
            found.insert(0, (turn.user.text, Message("assistant", turn.answer).text))
            at = turn.parent
        return found

    def numbers(self, lane: Known) -> set[str]:
        return {
            number
            for exchange in lane.history
            for text in (exchange.user, exchange.answer)
            for number in NUMBER.findall(text)
        }

    def visible(self) -> list[str]:
        rounds = {exchange.round for lane in self.lanes for exchange in lane.history}
        return sorted(rounds, key=self.order.__getitem__)

    def _user(self, round_id: str) -> str:
        return self.session.state.rounds[round_id].user.text

    def _new_round(self, round_id: str, text: str, to_all: bool, replaces: str | None) -> None:
        count = len(self.order)
        self.order[round_id] = (self.order[replaces][0] if replaces else count, count)
        self.to_all[round_id], self.users[round_id] = to_all, text

    def _stands(self, lane: Known, round_id: str) -> bool:
        return any(exchange.round == round_id for exchange in lane.history)

    def _cut(self, lane: Known, round_id: str) -> None:
        at = [exchange.round for exchange in lane.history].index(round_id)
        lane.stand(lane.history[:at])
