"""A made-up parliament for the demo."""
