"""What `fence_kappa explain` prints: two tables and a list of steps. In colour on a terminal alone."""

from __future__ import annotations

import os

from stonith.agent.explain import View, least_s, most_s
from stonith.agent.options import Settings

GREEN, RED, BOLD = "32", "31", "1"


def lines(settings: Settings, views: list[View], works: bool) -> list[str]:
    """`works`: fencing would, now."""
    paint = _colours() if _on_a_terminal() else _plain
    about = f"{settings.plug or 'fencing'}, asked for by {settings.client}"
    made = [paint(about, BOLD), ""]
    made += _table([("broker", "greets", "proven", "may switch", "hypervisor"), *map(_broker, views)], paint)
    seen = [view for view in views if view.state]
    if seen:
        made += ["", *_table([("broker", "machine", "state", "instance"), *map(_machine, seen)], paint), ""]
        made += [f"  {view.name} says: {view.evidence}" for view in seen]
    if settings.plug:
        made += ["", paint(f"To fence {settings.plug} now:", BOLD)]
        made += [f"  {at}. {step}" for at, step in enumerate(_steps(settings, views), 1)]
        made += [_times(settings, views)] if works else []
    made += ["", paint("Fencing would work now.", GREEN) if works else paint("Fencing would NOT work now.", RED)]
    return made


def _broker(view: View) -> tuple[str, ...]:
    greets = "no" if view.greeted_s < 0 else f"{view.greeted_s * 1000:.1f} ms"
    if not view.proven:
        return (view.name, greets, f"no: {view.problem}")
    asked = "not known" if not view.may and view.problem and not view.driver else view.driver or "answers"
    return (view.name, greets, "both ways", ", ".join(view.may) or "nothing", asked)


def _machine(view: View) -> tuple[str, ...]:
    unit, at, run = view.instance.partition("@")
    return (view.name, view.machine, view.state, f"{unit[:12]}{at}{run}" or "-")


def _steps(settings: Settings, views: list[View]) -> list[str]:
    steps = [f"wait {settings.delay_s:g} s (delay)"] if settings.delay_s else []
    names = ", then ".join(view.name for view in views)
    beside = ", each 0.2 s after the one before; the first that greets is asked" if len(views) > 1 else ""
    steps.append(f"connect to {names}{beside}")
    view = next((one for one in views if one.proven and not one.problem), None)
    if view is None:
        return [*steps, "no proven answer that lets it go on: fail, with nothing switched"]
    bound = settings.power_timeout_s or settings.timeout_s
    if view.state == "off":
        steps.append(f"ask it for off: {view.machine} is proven off already, so nothing is cut")
    else:
        steps.append(
            f"ask it for off: it cuts the power of {view.machine} and looks until this instance is proven gone,"
            f" {bound:g} s at most"
        )
    if settings.power_wait_s:
        steps.append(f"wait {settings.power_wait_s:g} s (power_wait); an off then looks once more")
    steps.append("an off has succeeded here; a reboot asks for the start and does not wait for it")
    return steps


def _times(settings: Settings, views: list[View]) -> str:
    least = least_s(settings, views)
    shown = f"{least:.1f} s" if least >= 1 else f"{least * 1000:.1f} ms"
    return f"  At least {shown} as measured just now, and what the switch itself takes; at most {most_s(settings):g} s."


def _table(rows: list[tuple[str, ...]], paint: Paint) -> list[str]:
    """A row may be shorter than the head: its last cell then runs on."""
    head = rows[0]
    widths = [0] * len(head)
    for row in rows:
        for at, cell in enumerate(row[:-1]):
            widths[at] = max(widths[at], len(cell))
    made = []
    for row in rows:
        cells = [cell.ljust(widths[at]) if at < len(row) - 1 else cell for at, cell in enumerate(row)]
        if row is head:
            cells = [paint(cell, BOLD) for cell in cells]
        else:
            colour = RED if row[-1].startswith("no: ") or "unknown" in row else ""
            cells = [paint(cell, colour) for cell in cells]
        made.append(("  " + "  ".join(cells)).rstrip())
    return made


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Paint = Callable[[str, str], str]


def _plain(text: str, _: str) -> str:
    return text


def _colours() -> Paint:
    return lambda text, colour: f"\x1b[{colour}m{text}\x1b[0m" if colour else text


def _on_a_terminal() -> bool:
    return os.isatty(1) and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
