"""Where a dialogue stands."""

from kappa_bot.turn import Dialogue

DESCRIPTION_CHARACTERS = 1000
"""The most a description may have; a map's popup shows it whole."""

CONSENT = "consent"
LANGUAGE = "language"
IDLE = "idle"

NEAR = "near"
"""What a dialogue expects after /near: a location to look around."""


def step(dialogue: Dialogue) -> str:
    """What the bot waits for: language, consent, idle, or a draft's step."""
    if dialogue.language is None:
        return LANGUAGE
    if not dialogue.accepted:
        return CONSENT
    return IDLE if dialogue.draft is None else dialogue.draft.step
