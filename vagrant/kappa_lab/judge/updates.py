"""Nothing lost, nothing twice, nothing out of order: what users did, against what they received and what is stored."""

import math
from collections import Counter
from itertools import pairwise

from kappa_lab.judge.evidence import Evidence, of
from kappa_lab.judge.history import Answered, Confirm, Dialogue, End, Key, Place, Repeat, Update
from kappa_lab.judge.polling import since
from kappa_lab.judge.reading import some
from kappa_lab.judge.tolerances import REPEATED_REPLIES
from kappa_lab.judge.verdict import Seen

Walk = tuple[Key, Key]
"""One dialogue: the user, and the user's dialogue."""


def unanswered(evidence: Evidence) -> list[Update]:
    """What users did and never received an answer to. To have been handed out, or confirmed, is not to be answered."""
    answered = {event.update_id for event in of(evidence.telegram, Answered)}
    return [update for update in of(evidence.telegram, Update) if update.update_id not in answered]


def finished(evidence: Evidence) -> list[Dialogue]:
    """Dialogues whose user was told that the place is registered."""
    return [event for event in of(evidence.telegram, Dialogue) if event.state == "finished" and event.marker]


def unstored(evidence: Evidence) -> list[Dialogue]:
    """Finished dialogues of whose place MongoDB knows nothing."""
    texts = {place.text for place in evidence.records.places}
    return [dialogue for dialogue in finished(evidence) if dialogue.marker not in texts]


def lost(evidence: Evidence) -> int:
    """Updates lost: the unanswered, and the last of each dialogue that was finished and is not stored."""
    ids = {update.update_id for update in unanswered(evidence)}
    last: dict[Walk, int] = {}
    for update in of(evidence.telegram, Update):
        if update.dialogue is not None:
            last[update.user, update.dialogue] = update.update_id
    nowhere = 0
    for dialogue in unstored(evidence):
        update_id = last.get((dialogue.user, dialogue.dialogue))
        if update_id is None:
            nowhere += 1
        else:
            ids.add(update_id)
    return len(ids) + nowhere


def nothing_lost(evidence: Evidence) -> Seen:
    """Whatever a user did is answered, and what was to be stored is stored.

    Every update is answered, not merely handed out or confirmed; every dialogue that began is finished; the description
    of each finished one stands in MongoDB; and at the end the bot has no update left to work on and no reply left to
    send.
    """
    updates, records = of(evidence.telegram, Update), evidence.records
    violations = some([_lost(evidence, update) for update in unanswered(evidence)], "updates without an answer")
    violations += some(
        [
            f"The place {dialogue.marker!r} of user {dialogue.user} is not in MongoDB; the user was told that it is."
            for dialogue in unstored(evidence)
        ],
        "places that are not in MongoDB",
    )
    violations += some(_not_finished(evidence), "dialogues that were not finished")
    if records.pending_updates:
        violations.append(f"{records.pending_updates} updates were stored but not worked on when the traffic was over.")
    if records.unsent_replies:
        violations.append(f"{records.unsent_replies} replies were still unsent when the traffic was over.")
    if not updates:
        violations.append("No user did anything: nothing could have been lost.")
    if not finished(evidence):
        violations.append("No dialogue was finished: nothing was stored that could have been lost.")
    return Seen(
        f"{lost(evidence)} lost of {len(updates)} updates; {len(finished(evidence))} places to be stored", violations
    )


def _lost(evidence: Evidence, update: Update) -> str:
    fault = evidence.fault
    what = f"Update {update.update_id} (chat {update.chat_id}, sent {since(fault, update.t)}) was never answered"
    for confirm in of(evidence.telegram, Confirm):
        if update.update_id in confirm.update_ids:
            return f"{what}, though {confirm.node} had confirmed it to Telegram {since(fault, confirm.t)}."
    for end in of(evidence.telegram, End):
        if update.update_id in end.handed:
            return f"{what}; it was handed to {end.node} {since(fault, end.t)}."
    return f"{what}; it was never handed to any node."


def _not_finished(evidence: Evidence) -> list[str]:
    events = of(evidence.telegram, Dialogue)
    over = {(event.user, event.dialogue) for event in events if event.state in ("finished", "failed")}
    failed = [
        f"Dialogue {event.dialogue} of user {event.user} failed: {event.why or 'the journal does not say why'}."
        for event in events
        if event.state == "failed"
    ]
    return failed + [
        f"Dialogue {event.dialogue} of user {event.user} was begun and never finished."
        for event in events
        if event.state == "started" and (event.user, event.dialogue) not in over
    ]


def duplicates(evidence: Evidence) -> list[Place]:
    """Places beyond the first for one update, or for one dialogue."""
    markers = {event.marker for event in of(evidence.telegram, Dialogue) if event.marker}
    seen_updates: set[int] = set()
    seen_markers: set[str] = set()
    surplus = []
    for place in evidence.records.places:
        if place.updateId in seen_updates or place.text in seen_markers:
            surplus.append(place)
        seen_updates.add(place.updateId)
        if place.text in markers:
            seen_markers.add(place.text)
    return surplus


def repeated(evidence: Evidence) -> Counter[Key]:
    """Replies that reached a user who had them already, by user (in the lab, a user has one chat with the bot)."""
    return Counter(event.user for event in of(evidence.telegram, Repeat))


def bouts(evidence: Evidence) -> list[tuple[float, int]]:
    """Faults that overlap, taken together: when each such bout began (epoch seconds), and how many faults it had.

    A fault lasts until it is healed, or to the end; what it leads to may come after the next one has begun.
    """
    found: list[tuple[float, int]] = []
    until = 0.0
    for hit in sorted(evidence.drill.faults, key=lambda hit: hit.t):
        if found and hit.t <= until:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((hit.t, 1))
        until = max(until, hit.healed if hit.healed is not None else evidence.drill.finished)
    return found


def nothing_twice(evidence: Evidence) -> Seen:
    """No place is stored twice, and no chat receives more than one reply again for one fault.

    No update stored two places; no dialogue's description stands in MongoDB twice; each place carries an update of the
    dialogue that described it. A chat receives at most REPEATED_REPLIES replies again in the time after each fault, so
    at most as many as there were faults, and none before the first; of faults that overlap each may bring its own, for
    which of them did cannot be told.
    """
    surplus = duplicates(evidence)
    violations = some(
        [f"The place {place.text!r} is stored more than once (update {place.updateId})." for place in surplus],
        "places that are stored more than once",
    )
    violations += some(_wrong_key(evidence), "places under a wrong update")
    violations += some(_repeats(evidence), "users with repeated replies")
    again = sum(repeated(evidence).values())
    return Seen(
        f"{len(surplus)} of {len(evidence.records.places)} places stored again; {again} replies received again",
        violations,
    )


def _repeats(evidence: Evidence) -> list[str]:
    fault, found = evidence.fault, []
    starts = bouts(evidence)
    for user in repeated(evidence):
        times = [event.t for event in of(evidence.telegram, Repeat) if event.user == user]
        if times[0] < fault.t:
            found.append(f"User {user} received a reply again {since(fault, times[0])}, when nothing had happened.")
        ends = [start for start, _ in starts[1:]]
        for (start, faults), end in zip(starts, [*ends, math.inf], strict=True):
            count = sum(start <= t < end for t in times)
            if count > faults * REPEATED_REPLIES:
                may = "one fault" if faults == 1 else f"{faults} faults"
                found.append(
                    f"User {user} received {count} replies again from {since(fault, start)} on; for {may}, "
                    f"{faults * REPEATED_REPLIES} may be."
                )
    return found


def _wrong_key(evidence: Evidence) -> list[str]:
    walks = {update.update_id: (update.user, update.dialogue) for update in of(evidence.telegram, Update)}
    described = {event.marker: (event.user, event.dialogue) for event in finished(evidence)}
    return [
        f"The place {place.text!r} is stored under update {place.updateId}, which is no update of its dialogue."
        for place in evidence.records.places
        if place.text in described and walks.get(place.updateId) != described[place.text]
    ]


def order_kept(evidence: Evidence) -> Seen:
    """In each chat, updates are answered in the order in which they were sent.

    An update's place in the order is its update_id; its answer is the first that its user received. Two updates may be
    answered at once.
    """
    answered: dict[int, float] = {}
    for event in of(evidence.telegram, Answered):
        answered.setdefault(event.update_id, event.t)
    chats: dict[Key, list[int]] = {}
    for update in sorted(of(evidence.telegram, Update), key=lambda update: update.update_id):
        if update.update_id in answered:
            chats.setdefault(update.chat_id, []).append(update.update_id)
    violations = [
        f"In chat {chat}, update {later} was answered before update {earlier}, which was sent first."
        for chat, ids in chats.items()
        for earlier, later in pairwise(ids)
        if answered[later] < answered[earlier]
    ]
    measured = f"{len(violations)} answers out of order in {len(chats)} chats"
    if not chats:
        violations = ["No update was answered: there is no order to judge."]
    return Seen(measured, some(violations, "answers out of order"))
