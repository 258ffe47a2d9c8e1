"""GQN zoo."""
