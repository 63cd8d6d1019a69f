"""What is said of an encoder that may not know what a catalogue holds."""

from dataclasses import replace

import pytest

from encoder.bundle import Bundle
from index.domain import domain_note


@pytest.mark.parametrize("catalogue_domain", [None, "mosses", ""])
def test_what_the_encoder_knows_is_said_unless_that_is_what_the_catalogue_holds(tiny_bundle, catalogue_domain):
    manifest = replace(Bundle.open(tiny_bundle).manifest, domain="beetles of two genera")
    assert domain_note(manifest, "beetles of two genera") is None
    assert domain_note(manifest, catalogue_domain) == (
        "This encoder knows beetles of two genera; if your pictures are unlike them, expect weak matches and train "
        "your own: lodisc train"
    )
