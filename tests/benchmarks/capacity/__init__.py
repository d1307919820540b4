"""docs/capacity.md: measured costs, multiplied; and a simulation that says whether that may be believed."""
