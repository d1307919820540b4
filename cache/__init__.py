"""What is kept near: read-status bitmaps and the recent window."""
