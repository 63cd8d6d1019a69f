"""The demo catalogue: a drawn family of winged insects whose species differ only in small local marks."""
