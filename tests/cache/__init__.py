"""Tests of cache/."""
