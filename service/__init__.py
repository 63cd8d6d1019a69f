"""A catalogue over HTTP: /embed, /search, the items, and a page for people."""
