"""Reading sources of activities into plain records."""
