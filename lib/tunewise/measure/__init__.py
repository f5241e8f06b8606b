"""Metrics with confidence intervals, paired tests, latency, peak memory."""
