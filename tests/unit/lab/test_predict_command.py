"""`kappa-lab predict` as a command: exit codes, formats, one sentence for what is wrong, and a live cluster."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kappa_lab.paths import ROOT
from kappa_lab.predict import everything
from tests.predict_inputs import CIB, CIB_FILE, COROSYNC_FILE, changed, given

FILES = ("--cib", str(CIB_FILE), "--corosync", str(COROSYNC_FILE))

BOT_START = 'id="bot-start-interval-0s" interval="0s" name="start" timeout="20s"'


def predict(*arguments: str, path: str = "/nonexistent") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kappa_lab.cli", "predict", *arguments],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'vagrant'}", "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_no_warnings_is_exit_0_and_shows_the_sum() -> None:
    ran = predict(*FILES)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "79.50 s" in ran.stdout
    assert "No warnings." in ran.stdout


def test_a_warning_is_exit_1(tmp_path: Path) -> None:
    file = tmp_path / "cib.xml"
    file.write_text(changed(CIB, ('value="40s"', 'value="30s"')))
    ran = predict("--cib", str(file), *FILES[2:])
    assert ran.returncode == 1
    assert "stonith-timeout-short: stonith-timeout: It is shorter than the levels together, 40 s." in ran.stdout


def test_json_has_sums_that_are_those_of_the_parts() -> None:
    told = json.loads(predict(*FILES, "--format", "json").stdout)
    assert told["warnings"] == []
    for one in told["predictions"]:
        if one["never"]:
            assert one["worst_s"] is None
            continue
        assert one["worst_s"] == pytest.approx(sum(part["worst_s"] for part in one["parts"]))


def test_markdown_is_a_table_for_each_fault() -> None:
    told = predict(*FILES, "--format", "markdown").stdout
    ending = [one for one in everything(given()) if not one.never]
    assert told.count("| part | typical | worst | from |") == told.count("| **sum** |") == len(ending)


@pytest.mark.parametrize(
    ("cib", "said"),
    [
        (b"", "is not XML"),
        (b"\xff\xfe", "is not text in UTF-8"),
        (b"<cluster/>", "is not a CIB"),
        (
            CIB.replace(BOT_START, BOT_START.replace("20s", "soon")).encode(),
            "the timeout of bot's start is 'soon'; it must be a time",
        ),
        (CIB.replace(BOT_START, BOT_START.replace("20s", "-4s")).encode(), "must not be less than nothing"),
        (CIB.replace('devices="fence-kappa-2"', 'devices="gone"').encode(), "names 'gone', which is no fence device"),
        (CIB.replace('target-pattern="^(', 'target-pattern="((').encode(), "has the pattern"),
    ],
)
def test_wrong_input_is_exit_2_and_one_sentence(tmp_path: Path, cib: bytes, said: str) -> None:
    file = tmp_path / "cib.xml"
    file.write_bytes(cib)
    ran = predict("--cib", str(file), *FILES[2:])
    assert (ran.returncode, ran.stdout) == (2, "")
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("corosync", "said"),
    [
        ("", "has no totem section"),
        ("totem {\n token: long\n}\n", "totem.token is 'long'; it must be a whole number of milliseconds"),
        ("totem {\n", "the section 'totem' is not closed"),
        ("totem {\n}\n}\n", "line 3: a section is closed that was not opened"),
        ("hello\n", "line 1: 'hello' is neither a section nor"),
    ],
)
def test_a_wrong_corosync_conf_is_named_by_line_or_key(tmp_path: Path, corosync: str, said: str) -> None:
    file = tmp_path / "corosync.conf"
    file.write_text(corosync)
    ran = predict(*FILES[:2], "--corosync", str(file))
    assert ran.returncode == 2
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "option", [("--lease", "nan"), ("--lease", "-1"), ("--sbd-watchdog-timeout", "inf"), ("--election", "-3")]
)
def test_a_wrong_option_is_exit_2(option: tuple[str, str]) -> None:
    ran = predict(*FILES, *option)
    assert ran.returncode == 2
    assert f"{option[0]} is {option[1]}" in ran.stderr


def test_a_missing_file_is_exit_2() -> None:
    ran = predict("--cib", "/nonexistent/cib.xml", *FILES[2:])
    assert ran.returncode == 2
    assert "/nonexistent/cib.xml cannot be read" in ran.stderr


def cibadmin(folder: Path, script: str) -> str:
    program = folder / "cibadmin"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def test_without_a_file_the_live_cluster_is_asked(tmp_path: Path) -> None:
    ran = predict(*FILES[2:], path=cibadmin(tmp_path, f'[ "$1" = --query ] && cat "{CIB_FILE}"'))
    assert ran.returncode == 0
    assert "79.50 s" in ran.stdout


def test_a_cluster_that_does_not_answer_is_one_sentence_that_says_what_to_give(tmp_path: Path) -> None:
    ran = predict(*FILES[2:], path=cibadmin(tmp_path, "echo no >&2; exit 102"))
    assert ran.returncode == 2
    assert "does not answer cibadmin. Give a copy of its configuration with --cib FILE" in ran.stderr
