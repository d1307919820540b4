"""The feed's paths against each other and against another server on the same database: run this package with -m."""
