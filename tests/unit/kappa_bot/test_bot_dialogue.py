"""The dialogue as pure steps: what a user does, and what becomes of it."""

from dataclasses import replace

import pytest

from kappa_bot import dialogue
from kappa_bot.catalogue import Catalogue, Choice
from kappa_bot.texts import say
from kappa_bot.turn import CALLBACK_DATA_BYTES, Dialogue, Draft, Place, Reply, Turn

OID = "6b042ca6b76636e9a47{:05x}"
HEALTH, STREETS, PHARMACY, POTHOLE, LEAK = (OID.format(n) for n in range(5))


def _names(es: str, en: str) -> dict[str, str]:
    return {"es": es, "en": en}


CATALOGUE = Catalogue(
    (Choice(HEALTH, _names("Salud", "Health")), Choice(STREETS, _names("Vías", "Streets"))),
    {
        HEALTH: (Choice(PHARMACY, _names("Farmacia", "Pharmacy")),),
        STREETS: (Choice(POTHOLE, _names("Bache", "Pothole")), Choice(LEAK, _names("Fuga", "Leak"))),
    },
)


class User:
    """Walks through the dialogue; what MongoDB would keep goes through its document form between turns."""

    def __init__(self, at: Dialogue | None = None, greeting: str = "en") -> None:
        self.at = at or Dialogue()
        self.greeting = greeting
        self.update_id = 4_000_000_000
        self.catalogue = CATALOGUE
        self.turn = Turn(0, self.at, CATALOGUE, greeting)

    def _take(self, do: str, *words: object, **tapped: object) -> Turn:
        self.update_id += 1
        before = Dialogue.from_document(self.at.to_document())
        assert before == self.at, "a dialogue has to survive being stored"
        turn = Turn(self.update_id, before, self.catalogue, self.greeting)
        turn.message_id = 77 if tapped else None
        turn.query_id = "query" if tapped else None
        getattr(dialogue, do)(turn, *words)
        for reply in turn.replies:
            assert Reply.from_document(reply.to_document()) == reply
        self.turn, self.at = turn, turn.dialogue
        return turn

    def does(self, do: str, *words: object) -> Turn:
        return self._take(do, *words)

    def taps(self, data: str) -> Turn:
        turn = self._take("button", data, tapped=True)
        assert turn.replies[-1].method == "answerCallbackQuery", "the spinner has to stop"
        return turn

    def offered(self) -> dict[str, str]:
        """Label to callback data of the last keyboard."""
        return {label: data for reply in self.turn.replies for row in reply.buttons for label, data in row}

    @property
    def said(self) -> str:
        return "\n".join(reply.text for reply in self.turn.replies)


def accepted(language: str = "en") -> User:
    return User(Dialogue(language, accepted=True))


def at_step(step: str, language: str = "en") -> User:
    user = accepted(language)
    drafts = {
        "location": Draft(9),
        "category": Draft(9, (-66.9, 10.5)),
        "subcategory": Draft(9, (-66.9, 10.5), STREETS),
        "description": Draft(9, (-66.9, 10.5), STREETS, POTHOLE),
    }
    user.at = replace(user.at, draft=drafts[step])
    return user


@pytest.mark.parametrize("language", ["es", "en"])
def test_a_place_is_registered_from_start_to_end_in_either_language(language: str) -> None:
    user = User()
    user.does("start")
    user.taps(user.offered()[say(language, "language_name")])
    assert say(language, "terms") in user.said
    turn = user.taps(user.offered()[say(language, "accept")])
    assert turn.enrol
    user.does("register")
    assert user.turn.replies[0].keyboard == say(language, "share_location_button")
    user.does("location", -66.9, 10.5)
    user.taps(user.offered()[{"es": "Vías", "en": "Streets"}[language]])
    user.taps(user.offered()[{"es": "Bache", "en": "Pothole"}[language]])
    assert user.turn.replies[0].method == "editMessageText" and user.turn.replies[0].message_id == 77
    turn = user.does("words", " a hole ")
    assert turn.place == Place((-66.9, 10.5), POTHOLE, "a hole")
    assert user.said == say(language, "stored")
    assert user.at == Dialogue(language, accepted=True)


def test_callback_data_fits_whatever_the_update_id() -> None:
    user = accepted()
    user.update_id = 2**52
    user.does("location", -179.999999, -89.999999)
    seen = set(user.offered().values())
    for do in (("forget",), ("register",), ("location", -179.999999, -89.999999)):
        user.does(*do)
        seen |= set(user.offered().values())
    user.taps(f"c:{user.at.draft.id if user.at.draft else 0}:{STREETS}")
    seen |= set(user.offered().values())
    user.taps(f"f:{STREETS}")
    seen |= set(user.offered().values())
    assert {data[0] for data in seen} == set("hnzcsgf")
    for data in seen:
        assert len(data.encode()) <= CALLBACK_DATA_BYTES


def test_each_greeting_can_be_read_in_both_languages_the_own_one_first() -> None:
    for own, other in (("es", "en"), ("en", "es")):
        user = User(greeting=own)
        user.does("start")
        assert user.said.index(say(own, "choose_language")) < user.said.index(say(other, "choose_language"))


@pytest.mark.parametrize("do", [("register",), ("location", 1.0, 2.0), ("words", "hi"), ("describe", "hi"), ("other",)])
def test_who_has_not_accepted_is_asked_to_and_nothing_is_begun(do: tuple[object, ...]) -> None:
    for at in (Dialogue(), Dialogue("en")):
        user = User(at)
        turn = user.does(str(do[0]), *do[1:])
        assert user.at == at
        assert turn.place is None
        assert set(user.offered().values()) == ({"l:es", "l:en"} if at.language is None else {"t:y", "t:n"})


def test_consent_needs_a_language_first() -> None:
    user = User()
    user.taps("t:y")
    assert not user.at.accepted and not user.turn.enrol
    assert set(user.offered().values()) == {"l:es", "l:en"}


def test_rejecting_the_terms_leaves_nothing_behind() -> None:
    user = at_step("description")
    turn = user.taps("t:n")
    assert turn.forget and user.at == Dialogue()
    assert say("en", "rejected") in user.said


def test_accepting_twice_enrols_once() -> None:
    user = User(Dialogue("es"))
    assert user.taps("t:y").enrol
    assert not user.taps("t:y").enrol


def test_start_again_in_the_middle_keeps_the_draft() -> None:
    user = at_step("subcategory")
    draft = user.at.draft
    user.does("start")
    user.taps("l:es")
    user.taps("t:y")
    assert user.at == Dialogue("es", True, draft)
    assert say("es", "in_progress") in user.said
    assert "Bache" in user.offered()


@pytest.mark.parametrize("step", ["location", "category", "subcategory", "description"])
@pytest.mark.parametrize("wrong", [("register",), ("other",)])
def test_a_wrong_step_is_answered_with_the_right_one_and_loses_nothing(step: str, wrong: tuple[str, ...]) -> None:
    user = at_step(step)
    before = user.at
    turn = user.does(*wrong)
    assert user.at == before and turn.place is None
    right = {
        "location": say("en", "share_location"),
        "category": say("en", "choose_category"),
        "subcategory": say("en", "choose_subcategory", category="Streets"),
        "description": say("en", "describe", category="Streets", subcategory="Pothole"),
    }
    assert right[step] in user.said


@pytest.mark.parametrize("step", ["location", "category", "subcategory"])
def test_words_too_early_are_no_description(step: str) -> None:
    for do in ("words", "describe"):
        user = at_step(step)
        before = user.at
        turn = user.does(do, "a hole")
        assert user.at == before and turn.place is None
        assert say("en", "not_now") in user.said


def test_words_and_the_unexpected_of_one_who_does_nothing_get_help() -> None:
    for do in (("words", "hello"), ("describe", "x"), ("other",)):
        user = accepted()
        assert user.does(*do).place is None
        assert say("en", "idle_help") in user.said


def test_a_location_alone_is_asked_about_and_begins_a_place_where_that_is_wanted() -> None:
    user = accepted()
    user.does("location", -66.9, 10.5)
    assert user.at.draft is None
    here = user.offered()
    assert list(here) == [say("en", "here_register"), say("en", "here_near")]
    user.taps(here[say("en", "here_register")])
    assert user.at.draft == Draft(user.update_id, (-66.9, 10.5))
    assert "Health" in user.offered()
    user.taps(here[say("en", "here_register")])
    assert user.at.draft == Draft(user.update_id - 1, (-66.9, 10.5)), "tapped twice it begins no second place"
    assert say("en", "in_progress") in user.said


def test_a_second_location_moves_the_place_and_keeps_what_was_chosen() -> None:
    user = at_step("description")
    user.does("location", -1.0, 2.0)
    assert user.at.draft == Draft(9, (-1.0, 2.0), STREETS, POTHOLE)
    assert say("en", "describe", category="Streets", subcategory="Pothole") in user.said


def test_the_command_describes_too_and_wants_words() -> None:
    user = at_step("description")
    assert user.does("describe", "  ").place is None
    assert say("en", "describe_empty") in user.said
    turn = user.does("describe", "a hole")
    assert turn.place is not None and turn.place.description == "a hole"


def test_a_description_that_is_too_long_is_sent_back_and_the_place_kept() -> None:
    user = at_step("description")
    before = user.at
    turn = user.does("words", "x" * (dialogue.DESCRIPTION_CHARACTERS + 1))
    assert turn.place is None and user.at == before
    assert str(dialogue.DESCRIPTION_CHARACTERS) in user.said
    assert user.does("words", "x" * dialogue.DESCRIPTION_CHARACTERS).place is not None


def test_the_same_button_twice_changes_nothing_and_says_nothing() -> None:
    user = at_step("category")
    user.taps(f"c:9:{STREETS}")
    at = user.at
    turn = user.taps(f"c:9:{STREETS}")
    assert user.at == at
    assert [reply.method for reply in turn.replies] == ["answerCallbackQuery"]


def test_another_category_after_all_asks_for_its_subcategory() -> None:
    user = at_step("description")
    user.taps(f"c:9:{HEALTH}")
    assert user.at.draft == Draft(9, (-66.9, 10.5), HEALTH)
    assert set(user.offered()) == {"Pharmacy", say("en", "new_subcategory")}


@pytest.mark.parametrize(
    "data",
    [
        f"c:8:{STREETS}",  # of an earlier draft
        f"s:9:{PHARMACY}",  # of another category
        f"c:9:{POTHOLE}",  # no category
        f"s:8:{POTHOLE}",
        "s:9",
        "c:",
        "x",
        "",
        "l:fr",
        "t:maybe",
    ],
)
def test_an_old_or_foreign_button_does_no_harm_and_is_answered(data: str) -> None:
    user = at_step("subcategory")
    before = user.at
    turn = user.taps(data)
    assert user.at == before and turn.place is None and not turn.forget
    assert turn.replies[0].method == "sendMessage"
    assert "Pothole" in user.offered()


def test_a_button_after_the_place_was_stored_gets_help() -> None:
    user = accepted()
    user.taps(f"s:9:{POTHOLE}")
    assert say("en", "old_button") in user.said and say("en", "idle_help") in user.said
    assert user.at == accepted().at


def test_a_subcategory_before_its_category_is_an_old_button() -> None:
    user = at_step("category")
    before = user.at
    user.taps(f"s:9:{POTHOLE}")
    assert user.at == before and say("en", "old_button") in user.said


def test_a_category_removed_meanwhile_is_asked_for_again() -> None:
    user = at_step("description")
    user.catalogue = Catalogue((CATALOGUE.categories[0],), {HEALTH: CATALOGUE.subcategories[HEALTH]})
    user.does("other")
    assert set(user.offered()) == {"Health", say("en", "new_category")}
    user.at = at_step("description").at
    assert user.does("words", "a hole").place is None, "and no place is stored in what is gone"
    assert user.at.draft is not None and say("en", "gone_choice") in user.said


def test_without_categories_the_place_is_kept() -> None:
    user = accepted()
    user.catalogue = Catalogue()
    user.does("register")
    user.does("location", 1.0, 2.0)
    assert user.said == say("en", "no_categories")
    assert user.at.draft is not None and user.at.draft.coordinates == (1.0, 2.0)
    assert user.does("new_category", "Health").new is not None


def test_cancel_drops_the_draft_and_says_when_there_is_none() -> None:
    user = at_step("subcategory")
    user.does("cancel")
    assert user.at.draft is None and user.said == say("en", "cancelled")
    user.does("cancel")
    assert user.said == say("en", "nothing_to_cancel")
