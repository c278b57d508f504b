"""Pairs of images → what was kept: figures and tables. Never runs a codec."""
