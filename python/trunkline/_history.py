"""The changes of a channel's state, each with a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._channel import ChannelState

__all__ = ["History", "StateChange"]


@dataclass(frozen=True, slots=True)
class StateChange:
    """The state of a channel became another.

    Attributes:
        number: the first change of a channel has number 1, each other one more than that before it.
        age: since when it is told.
        old: what was told before.
        new: what is told since.
        why: what failed, where that is why.
    """

    number: int
    age: timedelta
    old: ChannelState
    new: ChannelState
    why: str | None


@dataclass(frozen=True, slots=True)
class History:
    """Changes of the state of a channel.

    Attributes:
        changes: in the order in which they came.
        lost: changes that were asked for, came before all of these, and are kept no longer.
    """

    changes: tuple[StateChange, ...]
    lost: int


def _change(one: dict[str, Any], states: Mapping[str, ChannelState]) -> StateChange:
    age = timedelta(microseconds=one["age_ns"] / 1000)
    return StateChange(one["number"], age, states[one["from"]], states[one["to"]], one["why"])


def history_of(document: dict[str, Any], states: Mapping[str, ChannelState]) -> History:
    """The document of the library as an object; ``states`` by their names."""
    return History(tuple(_change(one, states) for one in document["changes"]), document["lost"])
