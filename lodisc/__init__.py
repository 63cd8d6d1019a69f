"""The front door: the `lodisc` command."""
