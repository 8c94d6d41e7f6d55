from pathlib import Path

import numpy as np
import pytest
from learnfakes import Said, recorded

from agent.learning.queue import Candidate, SaidTurn, clusters, rank, reasons_for, said_turns, similar
from agent.records.database import Database

OUT = "out_of_scope"


async def queued(database: Database, encoder=None, limit: int | None = None) -> list[Candidate]:
    return rank(await said_turns(database, ["shop"]), encoder, limit)


async def test_the_most_informative_turns_come_first_and_say_why(tmp_path: Path, encoder) -> None:
    unsure = (("order_status", 0.42), ("cancel_order", 0.40))
    calls = {
        "c-sure": [Said("where is my order")],
        "c-unsure": [Said("the thing with the parcel", ranking=unsure)],
        "c-handed": [
            Said("I want my money", "cancel_order"),
            Said("get me a person", "human", decision="hand off"),
        ],
        "c-corrected": [Said("stop the parcel"), Said("no I said stop it", "cancel_order")],
        "c-apart": [Said("please cancel the tracking", candidate="cancel_order")],
        "c-again": [Said("um the other thing", decision="clarify")],
    }
    async with recorded(tmp_path, calls) as database:
        found = await queued(database, encoder)
    assert [(candidate.call_id, candidate.turn) for candidate in found] == [
        ("c-handed", 1),
        ("c-corrected", 1),
        ("c-apart", 1),
        ("c-again", 1),
        ("c-unsure", 1),
    ]
    assert [candidate.why[0] for candidate in found] == [
        "a person took the call over after it",
        "the caller corrected it",
        "a candidate model read cancel_order",
        "the agent had to ask again",
        "uncertain: the best intent leads by 0.02",
    ]
    assert found[0].before == "How can I help?"
    assert found[1].suggestions == ("order_status", "wait")
    assert found[0].model == "head"


async def test_several_reasons_weigh_more_than_one(tmp_path: Path) -> None:
    calls = {
        "c-one": [Said("stop the parcel"), Said("no I said stop it", "cancel_order")],
        "c-two": [Said("the other parcel", decision="not understood"), Said("I meant the tent", "cancel_order")],
    }
    async with recorded(tmp_path, calls) as database:
        found = await queued(database)
    assert [candidate.call_id for candidate in found] == ["c-two", "c-one"]
    assert len(found[0].why) == 2
    assert found[0].score > found[1].score


async def test_failed_calls_lift_what_was_doubtful_in_them_only(tmp_path: Path) -> None:
    calls = {
        "c-bad": [Said("um the other thing", decision="clarify"), Said("where is my order")],
    }
    async with recorded(tmp_path, calls, outcome="failed") as database:
        found = await queued(database)
    assert [(candidate.turn, candidate.why) for candidate in found] == [
        (1, ("the agent had to ask again", "the call failed"))
    ]


async def test_alike_turns_outside_the_domain_are_one_group_with_its_size(tmp_path: Path, encoder) -> None:
    gift = ["do you sell gift cards", "do you sell gift cards here", "I want to buy gift cards do you sell gift cards"]
    calls = {f"c-{n}": [Said(text, OUT)] for n, text in enumerate([*gift, "sing me a song", "do you sell gift cards"])}
    async with recorded(tmp_path, calls) as database:
        found = await queued(database, encoder)
        without = await queued(database)
    assert [(candidate.text, candidate.alike) for candidate in found] == [
        ("do you sell gift cards", 4),
        ("sing me a song", 1),
    ]
    assert found[0].why[0] == "one of 4 alike turns that no intent fits: a new intent?"
    assert sorted(candidate.alike for candidate in without) == [1, 1, 1, 2]


async def test_what_nobody_has_to_look_at_is_left_out(tmp_path: Path) -> None:
    calls = {"c-1": [Said("[keys 42719#]", OUT), Said("", OUT), Said("where is my order"), Said("?!", OUT)]}
    async with recorded(tmp_path, calls) as database:
        assert await queued(database) == []


async def test_turns_of_other_domains_and_older_calls_are_not_looked_at(tmp_path: Path) -> None:
    calls = {"c-1": [Said("one", OUT)], "c-2": [Said("two", OUT)]}
    async with recorded(tmp_path, calls) as database:
        assert await said_turns(database, ["bank"]) == []
        (latest,) = await said_turns(database, ["shop"], most_calls=1)
        assert latest.call_id == "c-2"
        assert len(await queued(database, limit=1)) == 1


async def test_a_caller_who_asks_for_a_person_at_once_blames_no_turn(tmp_path: Path) -> None:
    async with recorded(tmp_path, {"c-1": [Said("a person please", "human", decision="hand off")]}) as database:
        assert await queued(database) == []


@pytest.mark.parametrize(
    ("after", "corrects"),
    [
        ("no I said the tent", True),
        ("that's not what I asked", True),
        ("I meant the other one", True),
        ("no", False),
        ("no thanks", False),
        ("I got the wrong item", False),
        ("yes please", False),
    ],
)
def test_corrections_are_told_from_answers(after: str, corrects: bool) -> None:
    turn = SaidTurn("c", 1, "words", "x", 0.9, (("x", 0.9), ("y", 0.1)), None, "", None, after=after)
    assert ("the caller corrected it" in reasons_for(turn)) is corrects


def test_groups_take_each_text_once() -> None:
    vectors = np.array([[1, 0], [0.85, 0.53], [0.96, 0.28], [0, 1]], dtype=np.float32)
    assert clusters(similar(vectors)) == [(2, (0, 1, 2)), (3, (3,))]
    assert clusters(np.zeros((0, 0), dtype=np.float32)) == []
    assert clusters(np.zeros((2, 2), dtype=np.float32)) == [(0, (0,)), (1, (1,))]
