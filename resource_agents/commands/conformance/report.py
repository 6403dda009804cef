"""Results for people (text), for programs (JSON), for CI (JUnit XML), and for a page (Markdown)."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import asdict

import click

from resource_agents.commands.conformance.judge import Report
from resource_agents.commands.conformance.registry import CHECKS, FAIL, NOT_APPLICABLE, PASS, Check

COLOURS = {PASS: "green", FAIL: "red", NOT_APPLICABLE: "bright_black"}


def text(reports: Sequence[Report]) -> str:
    page = []
    for report in reports:
        version = f" {report.agent_version}" if report.agent_version else ""
        page.append(f"{click.style(report.name + version, bold=True)}  {report.agent}")
        width = max((len(one.name) for one in report.results), default=0)
        group = ""
        for one in report.results:
            if one.group != group:
                group = one.group
                page.append(f"  {group}")
            verdict = click.style(f"{one.verdict:<4}", fg=COLOURS[one.verdict], bold=one.verdict == FAIL)
            page.append(f"    {verdict}  {one.name:<{width}}  {one.evidence}")
        counts = (
            f"{report.count(PASS)} passed, {report.count(FAIL)} failed, {report.count(NOT_APPLICABLE)} not applicable"
        )
        page += [f"  {counts}, in {report.seconds:.1f} s", ""]
    return "\n".join(page)


def as_json(reports: Sequence[Report], checks: Sequence[Check] = CHECKS) -> str:
    """`{"agents": [{agent, name, agent_version, ocf_version, parameters (names only), results, seconds}]}`.

    A result has name, group, verdict (pass, fail, n/a), evidence, seconds, requirement, source.
    """
    known_by = {one.name: one for one in checks}
    agents = []
    for report in reports:
        made = asdict(report)
        for one in made["results"]:
            known = known_by[one["name"]]
            one |= {"requirement": known.requirement, "source": known.source}
        agents.append(made)
    return json.dumps({"agents": agents}, indent=2, ensure_ascii=False)


def junit(reports: Sequence[Report]) -> str:
    root = ElementTree.Element("testsuites", name="kappa-agents conform")
    for report in reports:
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=report.name,
            tests=str(len(report.results)),
            failures=str(report.count(FAIL)),
            skipped=str(report.count(NOT_APPLICABLE)),
            errors="0",
            time=f"{report.seconds:.3f}",
        )
        for one in report.results:
            case = ElementTree.SubElement(
                suite, "testcase", classname=f"{report.name}.{one.group}", name=one.name, time=f"{one.seconds:.3f}"
            )
            evidence = _printable(one.evidence)
            if one.verdict == FAIL:
                ElementTree.SubElement(case, "failure", message=evidence)
            elif one.verdict == NOT_APPLICABLE:
                ElementTree.SubElement(case, "skipped", message=evidence)
            else:
                ElementTree.SubElement(case, "system-out").text = evidence
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode")


def _printable(evidence: str) -> str:
    """What XML 1.0 can carry."""
    return "".join(c if c.isprintable() else "?" for c in evidence)


def markdown(reports: Sequence[Report]) -> str:
    """One table, a column for each agent, and the evidence of each failure below it."""
    heads = [f"{_provider(report)}{report.name}" for report in reports]
    names = [one.name for one in reports[0].results] if reports else []
    lines = [f"| check | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for at, name in enumerate(names):
        verdicts = [{PASS: "pass", FAIL: "**fail**"}.get(report.results[at].verdict, "–") for report in reports]
        lines.append(f"| {name} | {' | '.join(verdicts)} |")
    totals = [f"{report.count(PASS)} / **{report.count(FAIL)}** / {report.count(NOT_APPLICABLE)}" for report in reports]
    lines += [f"| pass / fail / not applicable | {' | '.join(totals)} |", ""]
    for head, report in zip(heads, reports):
        failed = [one for one in report.results if one.verdict == FAIL]
        lines += [f"**{head}** {report.agent_version}".rstrip() + (":" if failed else ": nothing failed."), ""]
        lines += [f"- {one.name}: {_escaped(one.evidence)}" for one in failed]
        lines += [""] if failed else []
    return "\n".join(lines).rstrip() + "\n"


def _provider(report: Report) -> str:
    parts = report.agent.rsplit("/", 3)
    return f"{parts[-2]}/" if len(parts) == 4 and parts[-3] == "resource.d" else ""


def _escaped(evidence: str) -> str:
    return "".join(f"\\{c}" if c in "\\`*_<>|" else c for c in evidence)
