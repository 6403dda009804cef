"""The laws that fencing keeps, each broken on purpose in a copy; the tests that guard it must go red there."""

from pathlib import Path

import pytest

from tests.sabotage import Edit, red

UNIT = "tests/unit/stonith/"
DOCKER = "stonith/power/drivers/docker.py"
LIBVIRT = "stonith/power/drivers/libvirt.py"
VIRTUALBOX = "stonith/power/drivers/virtualbox.py"
SWITCH = "stonith/power/switch.py"

BROKEN: dict[str, tuple[list[Edit], str]] = {
    # Law 6: unknown is never off; a time-out is never success; a failed stop is never hidden
    "a dead container counts as off": (
        [
            Edit(
                DOCKER,
                'if status in ("exited", "created") and',
                'if status != "running" and',
            )
        ],
        "test_power_docker.py::test_what_proves_nothing_is_unknown",
    ),
    "a process that is left is overlooked": (
        [Edit(DOCKER, "and pid == 0 and not any", "and not any")],
        "test_power_docker.py::test_what_proves_nothing_is_unknown",
    ),
    "whatever bears the name is the machine": (
        [
            Edit(
                DOCKER,
                'if name != f"/{machine}" or (unit and seen_id != unit):',
                "if False:",
            )
        ],
        "test_power_docker.py::test_an_id_that_begins_like_the_name_is_not_the_machine",
    ),
    "a container that is gone counts as off": (
        [
            Edit(
                DOCKER,
                "        if status != 200:\n            return Sight(State.UNKNOWN,",
                '        if status != 200:\n            return Sight(State.OFF, "gone", "0" * 64, "never")\n'
                "            return Sight(State.UNKNOWN,",
            )
        ],
        "test_fence_kappa.py::test_a_machine_that_is_gone_is_unknown_not_off",
    ),
    "a sight without an identity is a proof": (
        [Edit("stonith/power/switch.py", "if sight.state is not State.UNKNOWN and (", "if False and (")],
        "test_power_switch.py::test_off_is_never_said_without_proof",
    ),
    "the hypervisor's word for a cut is believed": (
        [
            Edit(
                "stonith/power/switch.py",
                "said = self._driver.off(machine, first.unit, deadline)",
                "self._driver.off(machine, first.unit, deadline)\n"
                '                    return Outcome(True, first, Sight(State.OFF, "killed", first.unit, first.run))',
            )
        ],
        "test_power_switch.py::test_what_the_driver_says_of_its_cut_is_no_proof",
    ),
    "out of time is success": (
        [
            Edit(
                "stonith/power/switch.py",
                'Outcome(False, first, now, f"{plug} is not proven off',
                'Outcome(True, first, now, f"',
            )
        ],
        "test_power_switch.py::test_unknown_after_the_cut_is_not_off",
    ),
    "no answer in time is success": (
        [Edit("stonith/fence_kappa.py", 'return _fail(f"{about} failed: {error}")', "return 0")],
        "test_hostile_broker.py::test_what_the_key_does_not_prove_is_worth_nothing[silent]",
    ),
    "the agent's own alarm is success": (
        [
            Edit("stonith/agent/ask.py", "call.socket.settimeout(left)", "call.socket.settimeout(None)"),
            Edit("stonith/fence_kappa.py", "os._exit(1)", "os._exit(0)"),
        ],
        "test_hostile_broker.py::test_what_the_key_does_not_prove_is_worth_nothing[silent]",
    ),
    "a failed off half of a reboot is hidden": (
        [Edit("stonith/agent/actions.py", 'if state not in ("off", "on"):  #', "if False:  #")],
        "test_hostile_broker.py::test_a_reboot_whose_off_half_is_not_proven_fails_and_starts_nothing",
    ),
    "what a second look finds on again is hidden": (
        [Edit("stonith/agent/actions.py", 'if again.get("state") != wanted:', "if False:")],
        "test_fence_times.py::test_what_power_wait_finds_changed_is_a_failure",
    ),
    "explain pulls the trigger": (
        [Edit("stonith/agent/explain.py", 'broker.ask("status", plug)', 'broker.ask("off", plug)')],
        "test_fence_explain.py::test_it_shows_what_a_real_broker_sees_and_switches_nothing",
    ),
    "explain overlooks a broker that would refuse": (
        [
            Edit(
                "stonith/agent/explain.py",
                "        if view.problem:\n            return f",
                "        if False:\n            return f",
            )
        ],
        "test_fence_explain.py::test_one_broker_that_would_not_do_spoils_it_whatever_the_other_says",
    ),
    "a map that makes one name two machines is taken": (
        [Edit("stonith/agent/options.py", "if plug_of.get(plug, plug) != plug:", "if False:")],
        "test_fence_options.py::test_what_is_wrong_is_named",
    ),
    "a frozen node is woken though its kill was refused": (
        [Edit(DOCKER, "if status == 204 and self._paused", "if self._paused")],
        "test_fence_kappa.py::test_a_frozen_machine_whose_kill_is_refused_is_not_woken",
    ),
    "two survivors shoot twice": (
        [
            Edit(
                "stonith/power/switch.py",
                "if now.state is State.ON and ended:",
                "if False:",
            )
        ],
        "test_power_switch.py::test_the_second_of_two_finds_it_done",
    ),
    "a domain that was moved away counts as off": (
        [Edit(LIBVIRT, 'number == "-" and reason in ENDED:', 'number == "-":')],
        "test_power_libvirt.py::test_what_each_state_is_worth",
    ),
    "a memory that will wake counts as off": (
        [Edit(LIBVIRT, 'if told.get("Managed save") == "no":', "if True:")],
        "test_power_libvirt.py::test_a_saved_memory_is_not_off_until_it_is_thrown_away",
    ),
    "a daemon's word outweighs a process": (
        [Edit(LIBVIRT, "if (sight.state is State.OFF and found) or len(found) > 1:", "if False:")],
        "test_power_libvirt.py::test_a_process_of_the_machine_outweighs_what_libvirt_says",
    ),
    "half an answer of virsh is believed": (
        [Edit(LIBVIRT, 'if told.get("State") != state:', "if False:")],
        "test_power_hostile_hypervisor.py::test_no_answer_of_virsh_makes_off_of_what_could_run",
    ),
    "what virsh said before it failed is believed": (
        [
            Edit(
                LIBVIRT,
                "        if ran.code != 0:\n            return Sight(",
                "        if False:\n            return Sight(",
            )
        ],
        "test_power_libvirt.py::test_what_proves_nothing_is_unknown",
    ),
    "a saved machine counts as off": (
        [Edit(VIRTUALBOX, '"saved": State.UNKNOWN,\n    "aborted-saved"', '"saved": State.OFF,\n    "aborted-saved"')],
        "test_power_virtualbox.py::test_what_each_state_is_worth_with_and_without_its_process[saved]",
    ),
    "a guest writes itself off": (
        [
            Edit(VIRTUALBOX, "if len(states) > 1:", "if False:"),
            Edit(VIRTUALBOX, "told.setdefault(found[1], found[2])", "told[found[1]] = found[2]"),
        ],
        "test_power_virtualbox.py::test_a_guest_cannot_write_itself_off",
    ),
    "a pause looks like an end": (
        [
            Edit(
                VIRTUALBOX,
                "return Sight(State.ON, seen, sight.unit, found[0])",
                "return Sight(State.ON, seen, sight.unit, sight.evidence)",
            )
        ],
        "test_power_virtualbox.py::test_a_pause_is_not_another_run",
    ),
    "a memory that was woken counts as a new boot": (
        [Edit(SWITCH, "(now.booted and now.run != first.run)", "now.run != first.run")],
        "test_power_hostile_hypervisor.py::test_off_is_never_said_of_what_lives",
    ),
    "what was off before the request is proof": (
        [Edit(SWITCH, "-math.inf) > came", "-math.inf) > 0")],
        "test_power_hostile_hypervisor.py::test_off_is_never_said_of_what_lives",
    ),
    "the brake sits on a shot that did not take": (
        [
            Edit(
                SWITCH,
                "                cut_at = self._clock()  #",
                '                self._brake.switched("off", plug)\n                cut_at = self._clock()  #',
            )
        ],
        "test_power_brake.py::test_a_shot_that_did_not_take_does_not_count",
    ),
    "a refused start is called a success": (
        [
            Edit(
                "stonith/power/server.py",
                "seen = Outcome(False, seen.before, seen.after, refusal)",
                "seen = Outcome(True, seen.before, seen.after, refusal)",
            )
        ],
        "test_power_brake.py::test_a_refused_start_is_told_to_the_agent_and_in_the_audit_log",
    ),
    "fencing waits for the disk of the audit log": (
        [
            Edit(
                "stonith/power/audit.py",
                "not self._late.is_set() and not done.wait(PATIENCE_S)",
                "not done.wait(PATIENCE_S)",
            )
        ],
        "test_power_audit.py::test_a_disk_that_hangs_holds_up_one_request_for_a_moment",
    ),
    # who may fence at all
    "whoever knows a name is that client": (
        [
            Edit(
                "stonith/power/server.py",
                "not wire.same(mac, wire.request_mac(client.key, nonce, body)) or client is",
                "client is",
            )
        ],
        "test_power_hostile_cases.py::test_nobody_is_cut_but_by_who_may",
    ),
    "a stolen key opens every plug": (
        [Edit("stonith/power/request.py", "if plug and plug not in client.may:", "if False:")],
        "test_power_hostile_cases.py::test_no_body_is_read_as_more_than_it_may_ask_for",
    ),
    "an answer without proof is believed": (
        [Edit("stonith/agent/ask.py", "if not wire.same(mac, wire.reply_mac(self.key, asked, reply)):", "if False:")],
        "test_hostile_broker.py::test_what_the_key_does_not_prove_is_worth_nothing[another_key]",
    ),
    "an answer about another machine is believed": (
        [
            Edit(
                "stonith/agent/actions.py",
                'reply.get("do") != do or reply.get("plug", "") != plug',
                'reply.get("do") != do',
            )
        ],
        "test_hostile_cases.py::test_only_a_true_and_proven_reply_makes_a_success",
    ),
    "a yes that is none is believed": (
        [Edit("stonith/agent/actions.py", 'if reply.get("ok") is not True:', 'if not reply.get("ok"):')],
        "test_hostile_cases.py::test_only_a_true_and_proven_reply_makes_a_success",
    ),
    "a proven reply that never ends its brackets ends the agent": (
        [Edit("stonith/agent/ask.py", "except (ValueError, RecursionError):", "except ValueError:")],
        "test_hostile_cases.py::test_only_a_true_and_proven_reply_makes_a_success",
    ),
    "a request is good for ever": (
        [Edit("stonith/wire.py", '1 request ", nonce.encode("ascii"), body', '1 request ", b"", body')],
        "test_hostile_client.py::test_a_request_replayed_on_another_connection_is_refused",
    ),
    "every client may switch everything": (
        [Edit("stonith/power/request.py", "if plug and plug not in client.may:", "if False:")],
        "test_fence_kappa.py::test_no_right_no_switch_and_no_look",
    ),
    # Law 8: say why
    "a failure without a word": (
        [Edit("stonith/fence_kappa.py", 'os.write(2, f"fence_kappa: {line}\\n".encode("utf-8", "replace"))', "pass")],
        "test_fence_options.py::test_what_is_wrong_is_named",
    ),
    # Law 9: secrets stay in files
    "a key in an error": (
        [Edit("stonith/keyfile.py", "holds {len(key)} bytes", "holds {key!r}, {len(key)} bytes")],
        "test_fence_options.py::test_a_key_file_that_will_not_do_is_named_and_its_content_is_not_shown",
    ),
    "a key script that anybody may change": (
        [Edit("stonith/agent/keyscript.py", "about.st_mode & 0o022", "False")],
        "test_fence_keyscript.py::test_what_is_no_script_or_not_ones_own_is_refused",
    ),
    "a key script's words in an error": (
        [Edit("stonith/agent/keyscript.py", "printed {len(key)} bytes", "printed {key!r} of {len(key)} bytes")],
        "test_fence_keyscript.py::test_a_script_that_gives_no_key_is_named_and_what_it_printed_is_not",
    ),
    # Law 10: milliseconds count
    "a heavy import on the path": (
        [Edit("stonith/agent/ask.py", "import errno\n", "import errno\nimport socket\n")],
        "test_fence_options.py::test_a_status_loads_nothing_that_it_does_not_need",
    ),
}


@pytest.mark.parametrize(("edits", "test"), BROKEN.values(), ids=BROKEN)
def test_a_law_that_is_broken_is_noticed(tmp_path: Path, edits: list[Edit], test: str) -> None:
    red(tmp_path, edits, [UNIT + test])
