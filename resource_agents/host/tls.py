"""TLS towards a MongoDB server, from the same files that the router itself uses. Imported only where TLS is asked for.

The certificate must come from the given CA; the name in it is not compared, since the router is asked by an address of
this very host and config servers only for what is no secret. Without a CA file nothing is compared at all.
"""

import socket
import ssl

from resource_agents.host.sockets import Unanswered, in_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.ocf.operation import Deadline


class Files:
    """certificate_key: PEM file with certificate and unencrypted key, shown to the server ("": none). ca: PEM file
    with the authorities that are believed ("": any)."""

    __slots__ = ("ca", "certificate_key")

    def __init__(self, certificate_key: str, ca: str) -> None:
        self.certificate_key = certificate_key
        self.ca = ca

    def over(self, link: socket.socket, deadline: "Deadline") -> socket.socket:
        """TLS over the connection. Raises Unanswered."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED if self.ca else ssl.CERT_NONE
        name = self.ca
        try:
            if self.ca:
                context.load_verify_locations(self.ca)
            name = self.certificate_key
            if name:
                # Without a password given here, an encrypted key would be asked for on a terminal.
                context.load_cert_chain(name, password="")
        except (OSError, ValueError) as error:
            link.close()
            raise Unanswered(f"cannot be asked: {name} is not usable ({_why(error)})") from None
        link.settimeout(max(0.01, deadline.left()))
        try:
            return context.wrap_socket(link)
        except OSError as error:
            link.close()
            raise Unanswered(f"does not agree to TLS: {_why(error)}") from None


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not in PEM format").lower().replace("_", " ")
    return in_words(error) if isinstance(error, OSError) else str(error)
