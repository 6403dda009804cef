"""What `kappa-agents` does beyond installing. For people at a terminal: no agent imports anything of it."""
