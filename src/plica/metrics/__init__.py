"""Image pair → number, with its unit and direction."""
