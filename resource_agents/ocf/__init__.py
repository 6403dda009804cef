"""The OCF 1.1 contract, stated once: an agent adds its parameters, start, stop and monitor."""
