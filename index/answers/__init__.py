"""From neighbours to an answer that can be defended: a name, how sure it is, and when it is none of these."""
