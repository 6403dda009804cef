"""A lab server kinder than Telegram is a defect: each kindness, tried in a copy, turns a test red."""

from pathlib import Path

import pytest

from tests.sabotage import Edit, red

SERVER = "vagrant/kappa_lab/telegram"
TESTS = "tests/unit/telegram_lab"

KINDNESSES = {
    "what was handed out is forgotten, confirmed or not": (
        Edit(
            f"{SERVER}/updates.py",
            "        return taken\n",
            "        for update in taken:\n            del self._held[update.update_id]\n        return taken\n",
        ),
        f"{TESTS}/test_lab_polling.py::test_an_update_is_kept_until_a_higher_offset_confirms_it",
    ),
    "two may poll at once": (
        Edit(f"{SERVER}/polling.py", "        self._displace(OTHER_POLL)\n", ""),
        f"{TESTS}/test_lab_polling.py::test_a_second_poll_ends_the_first",
    ),
    "polling goes on while a webhook is set": (
        Edit(f"{SERVER}/polling.py", "        if self.webhook_active:\n", "        if False:\n"),
        f"{TESTS}/test_lab_polling.py::test_getupdates_is_refused_while_a_webhook_is_set",
    ),
    "a webhook's failure counts as delivery": (
        Edit(f"{SERVER}/webhook.py", "                if error is None:\n", "                if True:\n"),
        f"{TESTS}/test_lab_webhook.py::test_an_update_is_delivered_again_until_it_is_answered_2xx",
    ),
    "a person says again what was not answered": (
        Edit(
            f"{SERVER}/traffic.py",
            "                    person.complained = True\n",
            "                    person.complained, person.next_action = True, person._share()\n",
        ),
        f"{TESTS}/test_lab_people.py::test_what_is_lost_stays_visible",
    ),
    "a reply that comes twice is taken for two answers": (
        Edit(f"{SERVER}/people.py", "        if is_new and mark in self._seen:\n", "        if False:\n"),
        f"{TESTS}/test_lab_people.py::test_a_repeated_reply_is_noticed_and_does_not_lead_astray",
    ),
    "the journal shows the token": (
        Edit(f"{SERVER}/journal.py", '            line = line.replace(secret, "<token>")\n', "            pass\n"),
        f"{TESTS}/test_lab_journal.py::test_the_token_is_never_written",
    ),
}


@pytest.mark.parametrize("kindness", KINDNESSES)
def test_a_kinder_server_is_found_out(tmp_path: Path, kindness: str) -> None:
    edit, test = KINDNESSES[kindness]
    red(tmp_path, [edit], [test])
