"""plica tried on what is odd, damaged, full, cut short or hostile; docs/robustness.md tells."""
