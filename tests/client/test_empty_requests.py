"""A request about no picture at all is refused here, before a server has to guess what was meant."""

import pytest

from encoder.errors import ConfigError
from lodisc.client.calls import embed, search


@pytest.mark.parametrize("ask", [embed, search])
@pytest.mark.parametrize("none", [[], ()])
def test_no_picture_is_refused(ask, none):
    with pytest.raises(ConfigError, match="there are no pictures"):
        ask(none)
