"""The parts of the map that users get: page, style and script."""
