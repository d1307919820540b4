"""What one of each thing costs, in CPU seconds, bytes and rows: what docs/capacity.md is computed from."""
