"""Bulk: an archive of series into a store of latents, each exactly once."""
