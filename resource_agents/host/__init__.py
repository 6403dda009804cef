"""What an agent may know of its host: processes, addresses, sockets, a router's handshake, the bot's control socket."""
