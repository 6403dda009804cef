"""Is an agent what OCF 1.1 asks for? Each MUST is one small check; see `registry`."""
