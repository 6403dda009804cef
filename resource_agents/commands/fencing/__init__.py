"""Is a fence agent what the Fence Agent API asks for? As `conformance`, for agents that switch machines."""
