"""A stand-in kinder than the real thing makes every drill a lie: each of its laws, broken in a copy, turns red."""

from pathlib import Path

import pytest

from tests.sabotage import Edit, red

ROOM = "vagrant/kappa_lab/mongodb"
ROUTER = "tests/unit/mongodb_lab/test_mongodb_standin_router.py"
START = "tests/unit/mongodb_lab/test_mongodb_standin_start.py"
TIER = "tests/unit/mongodb_lab/test_mongodb_real_data_tier.py"


@pytest.mark.parametrize(
    ("edit", "test"),
    [
        pytest.param(
            Edit(f"{ROOM}/greeting.py", ' True, "msg": "isdbgrid"}', " True}"),
            f"{ROUTER}::test_hello_says_isdbgrid_and_nothing_of_a_replica_set",
            id="a router greets as a router",
        ),
        pytest.param(
            Edit(f"{ROOM}/keyfile.py", "if mode & (stat.S_IRWXG | stat.S_IRWXO):", "if mode & stat.S_IWOTH:"),
            f"{START}::test_an_open_keyfile_is_refused",
            id="an open keyfile is refused",
        ),
        pytest.param(
            Edit(
                f"{ROOM}/router.py",
                "return now + self.router.find_host_s, None, by_own",
                "return now + 3600, None, by_own",
            ),
            f"{ROUTER}::test_without_a_primary_it_greets_and_pings_and_commands_fail_in_time",
            id="without a primary commands fail and do not hang",
        ),
        pytest.param(
            Edit(f"{ROOM}/serve.py", "        await watch.until_a_member()\n", "        return\n"),
            f"{START}::test_it_listens_only_once_a_member_of_the_set_answers",
            id="nobody is answered before the data tier answers",
        ),
        pytest.param(
            Edit(f"{ROOM}/watch.py", "if election < self._latest:", "if election == (b'', -1):"),
            f"{ROUTER}::test_two_that_call_themselves_primary_are_told_apart_by_their_election",
            id="nothing is sent to a primary that lost an election",
        ),
        pytest.param(
            Edit(
                f"{ROOM}/router.py",
                '                self.client.close("the primary has changed")\n',
                "                pass\n",
            ),
            f"{ROUTER}::test_an_idle_connection_ends_when_the_primary_steps_down",
            id="no connection outlives its primary",
        ),
        pytest.param(
            Edit(f"{ROOM}/serve.py", "        await asyncio.sleep(quiesce)\n", ""),
            f"{ROUTER}::test_as_mongos_it_goes_on_serving_for_a_while_when_told_to_end",
            id="it takes as long to end as mongos",
        ),
        pytest.param(
            Edit(f"{ROOM}/initiate.py", '(("read", DATABASE),)', '(("readWrite", DATABASE),)'),
            f"{TIER}::test_what_the_judge_reads_and_that_it_can_change_nothing",
            id="a judge changes nothing",
            marks=pytest.mark.mongod,
        ),
    ],
)
def test_a_law_that_is_broken_is_seen(tmp_path: Path, edit: Edit, test: str) -> None:
    tests = (
        [f"{TIER}::test_it_makes_a_set_with_users_and_a_second_time_changes_nothing", test] if TIER in test else [test]
    )
    assert "1 failed" in red(tmp_path, [edit], tests)
