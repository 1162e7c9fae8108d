"""Filling a gap: the text to the right of the cursor decides together with the text to the left."""
