"""The laws, broken on purpose in the agents: each time, the named tests must go red."""

from pathlib import Path

import pytest

from tests.sabotage import Edit, red

UNIT = "tests/unit/resource_agents"
BOT = f"{UNIT}/test_agent_telegram_bot.py"
CLONE = f"{UNIT}/test_agent_promotable.py"
DEPTH = f"{UNIT}/test_agent_mongos_depth.py"
UPLINK = f"{UNIT}/test_agent_uplink.py"


@pytest.mark.parametrize(
    ("edit", "test"),
    [
        pytest.param(
            Edit("resource_agents/telegram_bot.py", "said.last_receive_s > deaf_after_s", "said.last_receive_s < 0"),
            f"{BOT}::test_a_deaf_bot_is_failed",
            id="law-5-a-deaf-bot-passes",
        ),
        pytest.param(
            Edit("resource_agents/mongos.py", 'said.get("msg") != "isdbgrid"', 'said.get("msg") == "never"'),
            f"{UNIT}/test_agent_mongos.py::test_what_does_not_answer_as_a_router_is_none",
            id="law-5-a-mongod-passes-as-a-router",
        ),
        pytest.param(
            Edit(
                "resource_agents/host/daemon.py",
                "        if running.state == processes.FROZEN:\n"
                "            raise Failure(GENERIC, self._frozen(record.pid))\n        return record",
                "        return record",
            ),
            f"{BOT}::test_a_frozen_bot_is_failed_and_stopped_by_force_at_once",
            id="law-5-a-frozen-bot-passes",
        ),
        pytest.param(
            Edit("resource_agents/host/daemon.py", "if not deadline.wait(gone):", "if deadline.wait(gone) is None:"),
            f"{BOT}::test_a_stop_that_cannot_end_it_is_a_failed_stop",
            id="law-6-a-failed-stop-is-hidden",
        ),
        pytest.param(
            Edit(
                "resource_agents/ocf/agent.py",
                "code, reason = GENERIC, _interrupted(operation, interrupted)",
                'code, reason = OK, ""',
            ),
            f"{UNIT}/test_agent_guard.py::test_a_signal_ends_it_with_a_reason",
            id="law-6-an-interrupted-stop-counts-as-done",
        ),
        pytest.param(
            Edit(
                "resource_agents/ocf/operation.py",
                'self.lenient = action in ("stop", "demote")',
                "self.lenient = False",
            ),
            f"{UNIT}/test_agent_contract.py::test_stop_of_something_stopped_is_success_whatever_is_missing_or_wrong",
            id="law-7-stop-refuses-wrong-parameters",
        ),
        pytest.param(
            Edit(
                "resource_agents/host/daemon.py",
                "        record = self._record_if_readable()\n        everyone",
                "        record = None\n        everyone",
            ),
            f"{BOT}::test_stop_without_parameters_ends_what_was_started",
            id="law-7-stop-without-parameters-only-says-so",
        ),
        pytest.param(
            Edit("resource_agents/ocf/operation.py", "code not in (OK, RUNNING_PROMOTED)", "code not in (OK, 7)"),
            f"{UNIT}/test_agent_contract.py::test_a_probe_of_something_never_started_says_not_running",
            id="law-8-a-failure-without-a-reason",
        ),
        pytest.param(
            Edit("resource_agents/host/logs.py", "return redacted(lines[-1])[-300:]", "return lines[-1]"),
            f"{BOT}::test_a_start_that_dies_says_its_last_words_at_once",
            id="law-9-a-token-in-a-reason",
        ),
        pytest.param(
            Edit(
                "resource_agents/host/daemon.py",
                "from resource_agents.host import processes\n",
                "import json  # noqa: F401\n\nfrom resource_agents.host import processes\n",
            ),
            f"{UNIT}/test_agent_contract.py::test_the_monitor_path_imports_nothing_heavy",
            id="law-10-a-heavy-import-on-the-monitor-path",
        ),
        pytest.param(
            Edit("resource_agents/host/processes.py", "now.start == self.start", "now.start"),
            f"{UNIT}/test_agent_processes.py::test_a_recycled_pid_is_not_ours",
            id="a-recycled-pid-is-taken-for-ours",
        ),
        pytest.param(
            Edit(
                "resource_agents/host/spawn.py",
                '        os.write(go_write, b"g")\n',
                '        os.write(go_write, b"g")\n        processes.forget(record_file)\n',
            ),
            f"{BOT}::test_an_agent_killed_in_the_middle_of_start_leaves_nothing_unrecorded",
            id="a-program-runs-unrecorded",
        ),
        pytest.param(
            Edit(
                "resource_agents/telegram_bot.py",
                '    notes.write(operation.state_file("role"), record, "promoted")\n    _order(',
                "    _order(",
            ),
            f"{CLONE}::test_promote_returns_when_it_polls_and_not_before",
            id="law-1-one-that-may-poll-passes-for-a-standby",
        ),
        pytest.param(
            Edit("resource_agents/telegram_bot.py", '[*words, "--standby"] if standby else words', "words"),
            f"{CLONE}::test_start_is_standby_promote_polls_demote_is_standby_again",
            id="law-1-every-instance-of-the-clone-polls",
        ),
        pytest.param(
            Edit("resource_agents/telegram_bot.py", "    if said.role != goal:\n", "    if said.role == 'stopping':\n"),
            f"{CLONE}::test_a_demote_that_changes_nothing_is_a_failure",
            id="law-6-a-failed-demote-is-hidden",
        ),
        pytest.param(
            Edit(
                "resource_agents/telegram_bot.py",
                "return FAILED_PROMOTED if operation.promotable else GENERIC",
                "return DEGRADED_PROMOTED if operation.promotable else DEGRADED",
            ),
            f"{CLONE}::test_a_conflict_is_failed_once_it_has_lasted",
            id="law-5-a-conflict-lasts-for-ever",
        ),
        pytest.param(
            Edit(
                "resource_agents/host/promotion.py",
                "    except (Failure, OSError) as error:\n",
                "    except OSError as error:\n",
            ),
            f"{CLONE}::test_a_score_that_cannot_be_set_or_removed_fails_nothing",
            id="law-7-stop-fails-for-a-score",
        ),
        pytest.param(
            Edit(
                "resource_agents/mongos.py",
                'wrong = f"no command comes through to the shards: ',
                'wrong = "" and f"no command comes through to the shards: ',
            ),
            f"{DEPTH}::test_no_primary_is_degraded_and_unreachable_shards_are_failed",
            id="law-5-a-router-without-its-shards-passes",
        ),
        pytest.param(
            Edit("resource_agents/host/secret.py", "found.st_mode & 0o077", "found.st_mode & 0o002"),
            f"{DEPTH}::test_a_secret_file_that_others_read_is_refused",
            id="law-9-a-password-that-others-read",
        ),
        pytest.param(
            Edit("resource_agents/host/scram.py", "hmac.compare_digest(proof, self.signature)", "proof"),
            f"{DEPTH}::test_the_example_of_rfc_7677",
            id="a-server-need-not-know-the-password",
        ),
        pytest.param(
            Edit("resource_agents/host/notes.py", "if text.startswith(head) else", "if text else"),
            f"{CLONE}::test_a_note_about_another_process_is_none",
            id="a-note-about-another-process-is-believed",
        ),
        pytest.param(
            Edit(
                "resource_agents/uplink.py",
                '        return ("0", why), (ABSENT, why)',
                "        raise Failure(GENERIC, why) from None",
            ),
            f"{UPLINK}::test_what_cannot_be_reached_is_no_failure_of_the_resource",
            id="a-lost-uplink-fails-the-resource",
        ),
        pytest.param(
            Edit(
                "resource_agents/host/attributes.py",
                "return self.seen >= results or now - self.since >= dampen_s",
                "return True",
            ),
            f"{UPLINK}::test_an_attribute_changes_only_after_so_many_equal_results",
            id="an-attribute-is-not-dampened",
        ),
        pytest.param(
            Edit(
                "resource_agents/host/attributes.py",
                "UNKNOWN, 0\n            return False",
                "UNKNOWN, 0\n            return True",
            ),
            f"{UPLINK}::test_nothing_is_started_where_nothing_changed",
            id="law-10-a-process-at-each-monitor",
        ),
        pytest.param(
            Edit("resource_agents/uplink.py", "held.update((name, Held()) for name in due)", "pass"),
            f"{UPLINK}::test_one_killed_while_it_writes_is_made_good_by_the_next",
            id="law-6-an-unfinished-write-counts-as-not-begun",
        ),
        pytest.param(
            Edit(
                "resource_agents/uplink.py",
                "    except (ValueError, OSError):\n        recorded = None",
                "    except OSError:\n        recorded = None",
            ),
            f"{UPLINK}::test_a_garbage_record_is_a_failure_that_stop_ends",
            id="law-7-a-garbage-record-fails-the-stop",
        ),
    ],
)
def test_broken_on_purpose_it_goes_red(tmp_path: Path, edit: Edit, test: str) -> None:
    red(tmp_path, [edit], [test])


@pytest.mark.root
@pytest.mark.parametrize(
    ("edit", "test"),
    [
        pytest.param(
            Edit("resource_agents/vip.py", "            if owner:\n", "            if owner == 1:\n"),
            f"{UNIT}/test_agent_vip.py::test_an_address_that_another_host_has_is_not_taken",
            id="law-1-two-holders-of-the-address",
        ),
        pytest.param(
            Edit("resource_agents/vip.py", "*_remembered(operation)", "*[]"),
            f"{UNIT}/test_agent_vip.py::test_stop_without_parameters_removes_what_was_started",
            id="law-7-stop-without-parameters-leaves-the-address",
        ),
        pytest.param(
            Edit("resource_agents/host/daemon.py", "left = processes.session_members(record.pid)", "left = []"),
            f"{UNIT}/test_agent_nginx.py::test_orphans_of_a_killed_master_are_ended_and_the_port_comes_back",
            id="law-6-orphans-of-a-killed-master-are-not-seen",
        ),
        pytest.param(
            Edit(
                "resource_agents/vip.py",
                "    except NotSupported as lacking:\n",
                "    except ZeroDivisionError as lacking:\n",
            ),
            f"{UNIT}/test_agent_vip.py::test_stop_carries_on_where_connections_cannot_be_ended",
            id="law-7-a-kernel-that-lacks-something-fails-the-stop",
        ),
        pytest.param(
            Edit(
                "resource_agents/host/connections.py",
                "            if identity[4:20] == wanted:\n",
                "            if identity:\n",
            ),
            f"{UNIT}/test_agent_vip.py::test_connections_to_the_lost_address_are_reset_when_asked_for_and_no_others",
            id="connections-to-other-addresses-are-reset",
        ),
        pytest.param(
            Edit("resource_agents/nginx.py", "    if code != status:\n", "    if code == 1:\n"),
            f"{UNIT}/test_agent_nginx.py::test_an_upstream_that_is_gone_is_seen_at_level_20_and_does_not_stop_a_start",
            id="law-5-an-upstream-that-is-gone-passes",
        ),
    ],
)
def test_broken_on_purpose_as_root_it_goes_red(tmp_path: Path, edit: Edit, test: str) -> None:
    red(tmp_path, [edit], [test])
