"""The client's half of SCRAM-SHA-256 (RFC 5802, RFC 7677): how a router shows a member that it has the same keyfile.

The driver's own is not used: importing it takes longer than all of the router's start.
"""

import base64
import hashlib
import hmac
import secrets

MECHANISM = "SCRAM-SHA-256"
SYSTEM_USER = "__system"
"""MongoDB's user for a cluster's own members and routers; its password is the keyfile's content."""


class ScramError(Exception):
    """The other side's part of the conversation does not prove what it must."""


class Conversation:
    """first() → server → final(server's first) → server → verify(server's final)."""

    def __init__(self, user: str, password: str, nonce: str = "") -> None:
        self._user = user.replace("=", "=3D").replace(",", "=2C")
        self._password = password.encode()
        self._nonce = nonce or base64.b64encode(secrets.token_bytes(24)).decode()
        self._proof_of_server = b""

    def first(self) -> bytes:
        return f"n,,n={self._user},r={self._nonce}".encode()

    def final(self, server_first: bytes) -> bytes:
        said = _fields(server_first)
        try:
            nonce, salt, rounds = said["r"], base64.b64decode(said["s"], validate=True), int(said["i"])
        except (KeyError, ValueError):
            raise ScramError("the first answer lacks nonce, salt or iteration count") from None
        if not nonce.startswith(self._nonce) or nonce == self._nonce or not 4096 <= rounds <= 1_000_000:
            raise ScramError("the first answer is not of this conversation")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, rounds)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        bare = f"c=biws,r={nonce}".encode()
        both = self.first()[3:] + b"," + server_first + b"," + bare
        signature = hmac.digest(hashlib.sha256(client_key).digest(), both, "sha256")
        self._proof_of_server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), both, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        return bare + b",p=" + base64.b64encode(proof)

    def verify(self, server_final: bytes) -> None:
        """Raises ScramError unless the server knows the password too."""
        shown = _fields(server_final).get("v", "")
        try:
            proof = base64.b64decode(shown, validate=True)
        except ValueError:
            proof = b""
        if not self._proof_of_server or not hmac.compare_digest(proof, self._proof_of_server):
            raise ScramError("the server does not prove that it knows the key")


def _fields(message: bytes) -> dict[str, str]:
    text = message.decode("utf-8", "replace")
    return {part[0]: part[2:] for part in text.split(",") if part[1:2] == "="}
