"""Metrics, logs, traces and health sampling."""
