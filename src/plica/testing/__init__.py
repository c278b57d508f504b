"""Contracts as test suites: what plica asks of its own codecs, for those who write others."""
