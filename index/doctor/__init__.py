"""The catalogue doctor: what is likely wrong with a catalogue's items and labels, and the command that mends each."""
