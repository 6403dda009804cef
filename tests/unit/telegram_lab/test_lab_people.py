"""The simulated users: they walk through whole dialogues and notice what a person would notice."""

import random
import time
from typing import Any

import pytest

from kappa_lab.telegram.people import IN_ORDER, SEARCH_STEPS, STEPS, Action, Person
from tests.unit.telegram_lab.labserver import ScriptedBot, Server, answering, keyboard, until

TAP_STEPS = ("language", "terms", "register", "category", "subcategory")


async def start(server: Server, **plan: object) -> None:
    answer = await server.control(
        "POST", "/traffic", **{"users": 2, "rate_per_s": 300, "searches": 0, "adds": 0, **plan}
    )
    assert answer["status_code"] == 200, answer


async def finish(server: Server, timeout_s: float = 10) -> dict[str, Any]:
    await server.control("POST", "/traffic/stop", timeout_s=timeout_s)
    await until(lambda: not server.lab.traffic.running)
    return await server.control("GET", "/traffic")


async def test_people_walk_through_whole_dialogues_in_both_languages(server: Server) -> None:
    async with answering(ScriptedBot(server)) as bot:
        await start(server, users=4, languages=["es", "en"])
        await until(lambda: server.lab.traffic.status()["dialogues_finished"] >= 8)
        status = await finish(server)
    assert status["dialogues_started"] == status["dialogues_finished"] >= 8
    assert status["updates_sent"] == status["updates_answered"] and status["complaints"] == []
    started = server.events("dialogue", state="started")
    markers = {event["marker"] for event in started}
    assert len(markers) == len(started) and markers == set(bot.descriptions)
    assert {marker.split()[0] for marker in markers} == {"Bache", "Pothole"}
    for user in range(1, 5):
        steps = [event["step"] for event in server.events("update", user=user)]
        assert steps[:9] == list(STEPS)
        # Who is known goes on without /start.
        assert steps[9:] == list(STEPS[3:]) * ((len(steps) - 9) // 6)


async def test_people_search_and_add_categories_too(server: Server) -> None:
    async with answering(ScriptedBot(server)) as bot:
        await start(server, users=4, searches=1, adds=1)
        await until(lambda: server.lab.traffic.status()["dialogues_finished"] >= 12)
        status = await finish(server)
    assert status["dialogues_started"] == status["dialogues_finished"] >= 12
    assert status["updates_sent"] == status["updates_answered"] and status["complaints"] == []
    assert len(bot.descriptions) == status["dialogues_finished"]
    walk = [event["step"] for event in server.events("update", user=1, dialogue=2)]
    assert walk == [
        *("menu", "register", "location", "new category", "category", "subcategory", "description"),
        *SEARCH_STEPS,
    ]
    # Both a list with its map and the word that there is nothing were met, and waited for to their end.
    files = [event for event in server.events("reply") if event["method"] == "sendDocument"]
    assert 0 < len(files) < status["dialogues_finished"]


async def test_every_update_is_answered_before_the_next_of_the_same_person(server: Server) -> None:
    async with answering(ScriptedBot(server)):
        await start(server, users=3)
        await until(lambda: server.lab.traffic.status()["dialogues_finished"] >= 3)
        await finish(server)
    waiting: dict[int, int] = {}
    user_of = {event["update_id"]: event["user"] for event in server.events("update")}
    for event in server.events():
        if event["e"] == "update":
            assert event["user"] not in waiting
            waiting[event["user"]] = event["update_id"]
        if event["e"] == "answered":
            assert waiting.pop(user_of[event["update_id"]]) == event["update_id"]
    assert waiting == {}


async def test_the_rate_is_kept(server: Server) -> None:
    async with answering(ScriptedBot(server)):
        await start(server, users=20, rate_per_s=40)
        began = time.monotonic()
        await until(lambda: server.lab.traffic.status()["updates_sent"] >= 30)
        took = time.monotonic() - began
        await server.lab.traffic.close()
    # The moments are uneven, 0.5 to 1.5 times 1/40 s apart.
    assert 0.45 <= took <= 2


async def test_what_is_lost_stays_visible(server: Server) -> None:
    """A bot that never answers a location: nobody sends it again, the dialogue fails when its time is over."""

    async def lose_locations(update: dict[str, Any]) -> bool:
        return "location" not in update.get("message", {})

    async with answering(ScriptedBot(server, lose_locations)):
        await start(server, users=1, patience_s=0.2)
        await until(lambda: server.lab.traffic.status()["complaints"])
        status = await server.control("GET", "/traffic")
        assert "step location" in status["complaints"][0] and "no answer" in status["complaints"][0]
        assert status["users_waiting"] == 1 and status["longest_wait_s"] >= 0.2
        await server.control("POST", "/traffic/stop", timeout_s=0.1)
        await until(lambda: not server.lab.traffic.running)
    assert len(server.events("update", step="location")) == 1
    (failed,) = server.events("dialogue", state="failed")
    assert "step location" in failed["why"] and "no answer" in failed["why"]
    status = await server.control("GET", "/traffic")
    assert (status["dialogues_failed"], status["dialogues_finished"], status["dialogues_open"]) == (1, 0, 0)


async def test_an_answer_that_offers_nothing_is_complained_about(server: Server) -> None:
    async def refuse_taps(update: dict[str, Any]) -> bool:
        if "location" in update.get("message", {}):
            await server.call("sendMessage", chat_id=update["message"]["chat"]["id"], text="Send /start")
            return False
        return True

    async with answering(ScriptedBot(server, refuse_taps)):
        await start(server, users=1, patience_s=0.1)
        await until(lambda: server.lab.traffic.status()["complaints"])
        assert "nothing to go on with" in server.lab.traffic.status()["complaints"][0]


async def test_stopping_lets_open_dialogues_finish_and_starts_none(server: Server) -> None:
    async with answering(ScriptedBot(server)):
        await start(server, users=5, rate_per_s=100)
        await until(lambda: server.lab.traffic.status()["dialogues_open"] > 2)
        begun = server.lab.traffic.status()["dialogues_started"]
        server.lab.traffic.stop(30)
        status = await finish(server)
    assert status["dialogues_started"] == status["dialogues_finished"] == begun


async def test_people_hurry_when_the_traffic_is_to_end(server: Server) -> None:
    """Nothing is measured any more: dialogues that would take five seconds at this rate are over well before."""
    async with answering(ScriptedBot(server)):
        await start(server, users=10, rate_per_s=10)
        await until(lambda: server.lab.traffic.status()["dialogues_open"] > 5)
        left = server.lab.traffic.status()
        began = time.monotonic()
        status = await finish(server)
    acted = status["updates_sent"] - left["updates_sent"]
    assert acted >= 20
    assert acted / (time.monotonic() - began) > 2 * 10


async def test_people_are_at_different_steps_of_their_dialogues(server: Server) -> None:
    """A fault is to meet some of them half-way, not all of them at the same step."""
    async with answering(ScriptedBot(server)):
        await start(server, users=24, rate_per_s=60)
        people = server.lab.traffic._people
        await until(lambda: len({person.step for person in people.values()}) >= 6)
        await until(lambda: server.lab.traffic.status()["dialogues_half_way"] >= 3)
        await finish(server)


async def test_a_repeated_reply_is_noticed_and_does_not_lead_astray(server: Server) -> None:
    """A bot that crashed says again what it said: the person sees it twice and goes on where they are."""

    class Stutterer(ScriptedBot):
        async def _send(self, chat_id: int, text: str, markup: dict[str, Any] | None = None) -> None:
            await super()._send(chat_id, text, markup)
            await super()._send(chat_id, text, markup)

    async with answering(Stutterer(server)) as bot:
        await start(server, users=1, rate_per_s=50)
        await until(lambda: server.lab.traffic.status()["dialogues_finished"] >= 1)
        status = await finish(server)
    assert status["dialogues_failed"] == 0 and len(bot.descriptions) == status["dialogues_finished"]
    repeats = server.events("repeat", dialogue=1)
    # start, menu, register, location and description are answered by messages, each said twice.
    steps = {event["update_id"]: event["step"] for event in server.events("update")}
    assert [steps[event["update_id"]] for event in repeats] == ["start", "menu", "register", "location", "description"]
    assert status["repeats"] == len(server.events("repeat"))


async def test_people_go_on_as_who_they_are_when_traffic_starts_again(server: Server) -> None:
    async with answering(ScriptedBot(server)):
        for _ in range(2):
            await start(server, users=2)
            await until(lambda: server.lab.traffic.status()["dialogues_open"] > 0)
            await finish(server)
        answer = await server.control("POST", "/traffic", users=2, rate_per_s=300)
        assert answer["status_code"] == 200
        assert (await server.control("POST", "/traffic", users=2, rate_per_s=300))["status_code"] == 409
        await finish(server)
    assert len(server.events("update", step="start")) == 2


@pytest.mark.parametrize(
    "plan",
    [{"users": 0}, {"rate_per_s": 0}, {"users": "many"}, {"languages": ["fr"]}, {"mood": "good"}, {"searches": 2}],
    ids=str,
)
async def test_traffic_that_is_none_is_refused_in_a_sentence(server: Server, plan: dict[str, object]) -> None:
    answer = await server.control("POST", "/traffic", **plan)
    assert answer["status_code"] == 400 and answer["error"]
    assert not server.lab.traffic.running


# One person alone, without a server


def person(step: str | None = None, language: str = "es") -> Person:
    somebody = Person(7, 700_000_007, language, random.Random(1), "k1f")
    somebody.begin()
    if step is not None:
        somebody.acted(Action(step), 100)
    return somebody


def message(text: str, *offered: tuple[str, str]) -> dict[str, Any]:
    return {"message_id": 5, "text": text, **({"reply_markup": keyboard(*offered)} if offered else {})}


def next_step(somebody: Person, *messages: dict[str, Any]) -> str | None:
    for each in messages:
        somebody.receive(each, is_new=True)
    return somebody.next_action.step if somebody.next_action else None


def test_progress_is_counted_in_steps_and_a_step_off_the_walk_is_no_error() -> None:
    who = person()
    assert who.progress == 0
    for number, step in enumerate(IN_ORDER, start=1):
        who.acted(Action(step), number)
        assert who.progress == number
    who.acted(Action("something else"), 99)
    assert who.progress == len(IN_ORDER)


def test_the_marker_is_unique_to_the_dialogue() -> None:
    somebody = person()
    assert somebody.marker == "Bache 7-1 k1f"
    somebody.begin()
    assert somebody.marker == "Bache 7-2 k1f"


@pytest.mark.parametrize(
    ("language", "data"),
    [("es", "l:es"), ("en", "l:en")],
)
def test_the_own_language_is_chosen(language: str, data: str) -> None:
    somebody = person("start", language)
    next_step(somebody, message("?", ("Español", "l:es"), ("English", "l:en")))
    assert somebody.next_action is not None and somebody.next_action.data == data


@pytest.mark.parametrize(
    "offered",
    [
        [("Acepto", "t:y"), ("No acepto", "t:n")],
        [("No acepto", "t:n"), ("Acepto", "t:y")],
        [("I do not accept", "t:n"), ("I accept", "t:y")],
        [("❌ Rechazar", "terms:reject"), ("✅ Aceptar", "t:y")],
        [("Decline", "t:n"), ("Agree", "t:y")],
    ],
    ids=str,
)
def test_terms_are_accepted_not_refused(offered: list[tuple[str, str]]) -> None:
    somebody = person("language")
    assert next_step(somebody, message("Terms", *offered)) == "terms"
    assert somebody.next_action is not None and somebody.next_action.data == "t:y"


def test_a_bot_that_asks_for_the_place_at_once_gets_it() -> None:
    assert next_step(person("menu"), message("Share the location")) == "location"


def test_a_bot_that_offers_a_choice_gets_the_choice() -> None:
    assert next_step(person("menu"), message("?", ("Buscar", "s"), ("Registrar", "r"))) == "register"


def test_terms_asked_again_are_no_categories() -> None:
    assert next_step(person("location"), message("Terms first", ("Acepto", "t:y"), ("No acepto", "t:n"))) is None


def test_a_new_category_is_not_chosen() -> None:
    somebody = person("location")
    next_step(somebody, message("?", ("Nueva categoría", "c:new"), ("Calles", "c:1"), ("Cancelar", "x")))
    assert somebody.next_action is not None and somebody.next_action.data == "c:1"


def test_the_categories_once_more_are_no_subcategories() -> None:
    somebody = person("location")
    categories = message("Which?", ("Calles", "c:1"), ("Salud", "c:2"))
    assert next_step(somebody, categories) == "category"
    somebody.acted(Action("category"), 101)
    assert next_step(somebody, {**categories, "text": "Again: which?"}) is None
    assert next_step(somebody, message("Kind?", ("Bache", "s:1"))) == "subcategory"


def test_a_reply_repeated_one_step_later_is_a_repeat_of_the_earlier_update() -> None:
    somebody = person("menu")
    where = message("Share the location")
    assert somebody.receive(where, is_new=True) is None
    somebody.acted(Action("location"), 101)
    assert somebody.receive(where, is_new=True) == 100
    assert not somebody.answered and somebody.next_action is None


def test_the_same_words_two_steps_later_are_an_answer() -> None:
    somebody = person("menu")
    somebody.receive(message("Thank you"), is_new=True)
    for update_id in (101, 102):
        somebody.acted(Action("register"), update_id)
        somebody.receive(message(f"answer to {update_id}"), is_new=True)
    somebody.acted(Action("description"), 103)
    assert somebody.receive(message("Thank you"), is_new=True) is None
    assert somebody.finished()


def test_a_failed_person_begins_with_start() -> None:
    somebody = person("menu")
    somebody.close(success=False)
    assert somebody.begin() == Action("start", text="/start")
    somebody.close(success=True)
    assert somebody.begin() == Action("menu", text="/Hacer")
