"""`python -m lodisc` is the `lodisc` command."""

import sys

from lodisc.cli import main

sys.exit(main())
