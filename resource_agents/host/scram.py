"""A login by SCRAM-SHA-256 (RFC 5802, RFC 7677; MongoDB's saslStart and saslContinue), without a driver.

The password never leaves this process, and the server must prove that it knows it too.
"""

import base64
import hashlib
import hmac
import os

from resource_agents.host.sockets import Unanswered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.host.router import Link

# Fewer than RFC 7677's least would make guessing cheap; more than the most, a server could keep us calculating.
LEAST_ROUNDS, MOST_ROUNDS = 4096, 200_000
AUTHENTICATION_FAILED = 18


class Refused(Unanswered):
    """The server answers, but does not accept this user with this password (or cannot look it up)."""


class Conversation:
    """The client's side: first(), then final() of the server's first message, then verify() of its last one."""

    def __init__(self, user: str, password: str, nonce: str = "") -> None:
        self.user = user.replace("=", "=3D").replace(",", "=2C")
        self.password = prepared(password)
        self.nonce = nonce or base64.b64encode(os.urandom(24)).decode()
        self.signature = b""

    def first(self) -> bytes:
        return f"n,,n={self.user},r={self.nonce}".encode()

    def final(self, said: bytes) -> bytes:
        """Raises ValueError for what is not an answer to first()."""
        fields = _fields(said)
        nonce, salt, rounds = fields["r"], base64.b64decode(fields["s"], validate=True), int(fields["i"])
        if not nonce.startswith(self.nonce) or nonce == self.nonce:
            raise ValueError("another conversation's nonce")
        if not LEAST_ROUNDS <= rounds <= MOST_ROUNDS:
            raise ValueError(f"{rounds} iterations")
        salted = hashlib.pbkdf2_hmac("sha256", self.password, salt, rounds)
        bare = f"c=biws,r={nonce}".encode()
        both = self.first()[3:] + b"," + said + b"," + bare
        key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(key).digest(), both, "sha256")
        self.signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), both, "sha256")
        proof = bytes(one ^ two for one, two in zip(key, signature))
        return bare + b",p=" + base64.b64encode(proof)

    def verify(self, said: bytes) -> None:
        """Raises ValueError unless the server has proved that it knows the password."""
        proof = base64.b64decode(_fields(said)["v"], validate=True)
        if not self.signature or not hmac.compare_digest(proof, self.signature):
            raise ValueError("no proof of the password")


def log_in(link: "Link", user: str, password: str, database: str) -> None:
    """Log this connection in. Raises Refused, or Unanswered for everything else."""
    conversation = Conversation(user, password)
    start = [("saslStart", 1), ("mechanism", "SCRAM-SHA-256"), ("payload", conversation.first()), ("$db", database)]
    reply = _step(link, start, user)
    number = reply.get("conversationId")
    number = number if isinstance(number, int) else 1
    try:
        answer = conversation.final(_payload(reply))
        more = [("saslContinue", 1), ("conversationId", number)]
        reply = _step(link, [*more, ("payload", answer), ("$db", database)], user)
        conversation.verify(_payload(reply))
    except (ValueError, KeyError, UnicodeError) as error:
        raise Unanswered(f"does not speak SCRAM-SHA-256 as it should ({error})") from None
    if reply.get("done") is not True:
        reply = _step(link, [*more, ("payload", b""), ("$db", database)], user)
        if reply.get("done") is not True:
            raise Unanswered("does not end the login")


def prepared(password: str) -> bytes:
    """As SASLprep (RFC 4013) has it, where it makes a difference: compatibility forms, and other scripts' spaces."""
    if password.isascii():
        return password.encode()
    import stringprep
    import unicodedata

    text = "".join(" " if stringprep.in_table_c12(c) else c for c in password if not stringprep.in_table_b1(c))
    return unicodedata.normalize("NFKC", text).encode()


def _step(link: "Link", words: "list[tuple[str, object]]", user: str) -> "dict[str, object]":
    reply = link.ask(words)
    if reply.get("ok") == 1:
        return reply
    what = f"{reply.get('errmsg', 'no reason given')} (code {reply.get('code', '?')})"
    if reply.get("code") == AUTHENTICATION_FAILED:
        raise Refused(f"does not let user {user} in: {what}")
    raise Unanswered(f"cannot log user {user} in: {what}")


def _payload(reply: "dict[str, object]") -> bytes:
    payload = reply.get("payload")
    if not isinstance(payload, bytes):
        raise ValueError("no payload")
    return payload


def _fields(said: bytes) -> "dict[str, str]":
    return {part[0]: part[2:] for part in said.decode().split(",") if part[1:2] == "="}
