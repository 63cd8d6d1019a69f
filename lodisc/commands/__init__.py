"""One module a subcommand of `lodisc`; only the one asked for is imported."""
