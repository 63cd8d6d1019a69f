"""The demo's pictures: a family of winged insects of which everything is known, down to the marks that decide."""
