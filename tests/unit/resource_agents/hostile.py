"""A program that an agent may be given for the bot, mongos or Nginx, and that answers whatever the test wants.

Its configuration file (after `-c` or `--config`) is JSON: listen (a Unix socket's path, or a port), reply (a file, read
again for each connection: its first byte says what comes after the rest has been sent: c close, h hold, r reset, t send
the rest one byte every 20 ms, e send it again and again), certificate (optional, a PEM file: a capital letter then is
the same within TLS). With `-t` it finds its configuration good, as Nginx would. It keeps one child, a worker.
"""

import itertools
import json
import os
import socket
import struct
import sys
import time
from pathlib import Path

words = sys.argv[1:]
if "-t" in words:
    sys.exit(0)
option = dict(itertools.pairwise(words))
said = json.loads(Path(option.get("--config") or option["-c"]).read_text())
if os.fork() == 0:
    while True:
        time.sleep(60)
if isinstance(said["listen"], int):
    server = socket.create_server(("127.0.0.1", said["listen"]))
else:
    server = socket.socket(socket.AF_UNIX)
    server.bind(said["listen"])
server.listen(64)
context = None
if said.get("certificate"):
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(said["certificate"])
kept: list[socket.socket] = []
while True:
    client, _ = server.accept()
    how, reply = "c", b""
    try:
        raw = Path(said["reply"]).read_bytes()
        how, reply = raw[:1].decode(), raw[1:]
        if how.isupper() and context:
            client.settimeout(0.5)
            client, how = context.wrap_socket(client, server_side=True), how.lower()
        if how != "h":
            client.settimeout(0.5)
            client.recv(65536)
        for at in range(len(reply) if how == "t" else 0):
            client.sendall(reply[at : at + 1])
            time.sleep(0.02)
        if how != "t":
            client.sendall(reply)
        for _ in range(10000 if how == "e" else 0):
            client.sendall(reply)
    except OSError:
        pass
    if how == "h":
        kept.append(client)
        continue
    if how == "r":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
