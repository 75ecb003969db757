"""What the agent does in a run: chat turns, searches, edits, compactions, each with its effects declared beforehand.

Numbers of sessions and messages are given out by SQLite's AUTOINCREMENT, and one lane writes: so the effects
of a step can name them before it runs.
"""

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, Protocol

from crashlab.model.seed import rng_for
from crashlab.model.step import Effect, Row, Step
from harness.workloads.agent_memory.model import Memory
from harness.workloads.agent_memory.texts import MESSAGES, SESSIONS, make_text, token
from store import MessageLog
from store.message_log.schema import TRIGRAM, Index

WORDS_MAX: Final = 24
OPEN_MAX: Final = 4
SEARCH_NOTE: Final = "search: "
RETRY_NOTE: Final = "retry: "

_KINDS: Final = {
    "append": 30.0,
    "turn": 14.0,
    "block": 8.0,
    "edit": 10.0,
    "delete": 6.0,
    "compact": 7.0,
    "open": 5.0,
    "close": 3.0,
    "drop": 2.0,
    "retry": 7.0,
    "search": 8.0,
}


class Now:
    """The store's clock: stands still from the moment a step is drawn until the next one is."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.ns = 0
        self.step()

    def __call__(self) -> int:
        """Nanoseconds since 1970."""
        return self.ns

    def step(self) -> None:
        """Take the time of the stepped clock."""
        self.ns = round(self._clock() * 1e9)


class Agent(Protocol):
    """What the activity needs of the program."""

    store: MessageLog
    memory: Memory
    now: Now

    @property
    def indexes(self) -> tuple[Index, ...]:
        """The indexes that the log of this version has."""

    def note(self, text: str) -> None:
        """Put a remark in the run's log."""


class Deed:
    """A transaction: its effects, the call, and what the same call must answer when it is repeated.

    `repeated` is None for what cannot be repeated.
    """

    def __init__(self, effects: tuple[Effect, ...], act: Callable[[], object], repeated: object = None) -> None:
        self.effects = effects
        self.act = act
        self.repeated = repeated


class Activity:
    """The writing lane's steps; the same seed and the same outcomes give the same steps."""

    def __init__(self, agent: Agent, seed: int) -> None:
        self._agent = agent
        self._memory = agent.memory
        self._rng: random.Random = rng_for(seed, "conversation")
        self._last: Deed | None = None
        self._number = 0

    def step(self, number: int) -> Step:
        """Draw the next step."""
        self._agent.now.step()
        self._number = number
        if not self._memory.known:
            self._last = None
            return Step(number, (), partial(self._memory.reload, self._agent.store))
        kind = self._rng.choices(tuple(_KINDS), tuple(_KINDS.values()))[0]
        if kind == "search":
            return Step(number, (), partial(search, self._agent, rng_for(self._rng.getrandbits(32))))
        if kind == "retry" and self._last is not None:
            return Step(number, (), partial(self._repeat, self._last))
        deed = self._draw(kind)
        self._last = deed if deed.repeated is not None else None
        return Step(number, deed.effects, partial(self._do, deed))

    def special(self, number: int, act: Callable[[], object], effects: tuple[Effect, ...]) -> Step:
        """A step of another kind: VACUUM, an upgrade, a restore."""
        self._agent.now.step()
        self._last = None
        return Step(number, effects, partial(self._do, Deed(effects, act)))

    def _do(self, deed: Deed) -> None:
        memory = self._memory
        memory.unsettle(deed.effects)
        memory.known = False
        deed.act()
        memory.apply(deed.effects)
        memory.known = True

    def _repeat(self, deed: Deed) -> None:
        answer = deed.act()
        if answer != deed.repeated:
            self._agent.note(f"{RETRY_NOTE}the repeated step answered {answer!r}, expected {deed.repeated!r}")

    def _draw(self, kind: str) -> Deed:
        rng, memory = self._rng, self._memory
        sessions = memory.open_sessions()
        if not sessions or (kind == "open" and len(sessions) < OPEN_MAX):
            return self._open()
        session = rng.choice(sessions)
        messages = memory.of_session(session)
        if kind == "turn":
            return self._turn(session)
        if kind == "block":
            return self._block(session)
        if kind == "edit" and messages:
            return self._edit(rng.choice(messages))
        if kind == "delete" and messages:
            return self._delete(rng.choice(messages))
        if kind == "compact" and len(messages) > 3:
            return self._compact(session, messages)
        if kind == "close" and len(sessions) > 1:
            return self._close(session)
        if kind == "drop" and len(memory.sessions) > 1:
            return self._drop(rng.choice(sorted(memory.sessions)))
        effect, act = self._append(session, 1)
        return Deed((effect,), act, effect.key[0])

    def _append(self, session: int, ahead: int) -> tuple[Effect, Callable[[], int]]:
        """An append; `ahead` messages from now, so its number is known."""
        number = self._memory.last_message + ahead
        role = ("user", "assistant")[number % 2]
        content, key = self._text(ahead), f"k{self._number}-{ahead}"
        effect = Effect(MESSAGES, (number,), (session, role, content, key, self._agent.now.ns))
        return effect, partial(self._agent.store.append, session, role, content, key=key)

    def _turn(self, session: int) -> Deed:
        first = self._memory.last_message + 1
        roles = ("user", "tool", "assistant")[: self._rng.randint(2, 3)]
        said = [(role, self._text(index)) for index, role in enumerate(roles)]
        effects = tuple(
            Effect(MESSAGES, (first + index,), (session, role, content, None, self._agent.now.ns))
            for index, (role, content) in enumerate(said)
        )
        return Deed(effects, partial(self._agent.store.append_many, session, said))

    def _block(self, session: int) -> Deed:
        pairs = [self._append(session, ahead) for ahead in range(1, self._rng.randint(3, 5))]
        store = self._agent.store

        def act() -> object:
            with store.transaction():
                return [append() for _, append in pairs]

        effects = tuple(effect for effect, _ in pairs)
        return Deed(effects, act, [effect.key[0] for effect in effects])

    def _edit(self, number: int) -> Deed:
        session, role, _, key, at = self._memory.messages[number]
        content = self._text(0)
        value = (session, role, content, key, at)
        act = partial(self._agent.store.edit_message, number, content)
        return Deed((Effect(MESSAGES, (number,), value),), act, repeated=False)

    def _delete(self, number: int) -> Deed:
        return Deed(_gone(MESSAGES, [number]), partial(self._agent.store.delete_message, number), repeated=False)

    def _compact(self, session: int, messages: list[int]) -> Deed:
        keep = self._rng.randint(0, 2)
        *gone, last = messages[: len(messages) - keep]
        summary = self._text(0)
        value: Row = (session, "summary", summary, None, self._memory.messages[last][4])
        effects = (*_gone(MESSAGES, gone), Effect(MESSAGES, (last,), value))
        return Deed(effects, partial(self._agent.store.compact, session, summary, keep_last=keep), repeated=0)

    def _open(self) -> Deed:
        number, key = self._memory.last_session + 1, f"s{self._number}"
        effect = Effect(SESSIONS, (number,), (key, self._agent.now.ns, None))
        return Deed((effect,), partial(self._agent.store.create_session, key), number)

    def _close(self, session: int) -> Deed:
        key, started, _ = self._memory.sessions[session]
        effect = Effect(SESSIONS, (session,), (key, started, self._agent.now.ns))
        return Deed((effect,), partial(self._agent.store.close_session, session), repeated=False)

    def _drop(self, session: int) -> Deed:
        effects = _gone(MESSAGES, self._memory.of_session(session)) + _gone(SESSIONS, [session])
        return Deed(effects, partial(self._agent.store.delete_session, session), repeated=0)

    def _text(self, index: int) -> str:
        return make_text(f"n{self._number}i{index}", self._rng, WORDS_MAX)


def search(agent: Agent, rng: random.Random) -> None:
    """Search for an acked text by its last word, and by a piece of it; note it if it is not found.

    Safe on any thread: a text that a step is changing meanwhile is not missed.
    """
    settled = agent.memory.settled
    try:
        number = rng.choice(tuple(settled))
        content = settled[number]
    except (IndexError, KeyError, RuntimeError):  # nothing there yet, or the writer was quicker
        return
    word = token(content)
    for trigram, query in ((False, word), (True, word[1:-1])):
        if trigram and TRIGRAM not in agent.indexes:
            continue
        found = [hit.message.message_id for hit in agent.store.search(query, trigram=trigram, limit=1000)]
        if number not in found and settled.get(number) == content:
            index = "trigram" if trigram else "plain"
            agent.note(f"{SEARCH_NOTE}message {number} is acked and the {index} index does not find it")


def _gone(table: str, numbers: list[int]) -> tuple[Effect, ...]:
    return tuple(Effect(table, (number,), None) for number in numbers)


def steps(activity: Activity, count: int, special: Callable[[int], Step | None]) -> Iterator[Step]:
    """Yield `count` steps, numbered from 0; `special(number)` may put one of its own in a step's place."""
    for number in range(count):
        yield special(number) or activity.step(number)
