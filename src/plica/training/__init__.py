"""Training: one loop, objectives plugged in."""
