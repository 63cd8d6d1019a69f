"""Whether the encoder has seen pictures like the catalogue's: one honest line where it has not."""

from encoder.manifest import Manifest


def domain_note(manifest: Manifest, catalogue_domain: str | None) -> str | None:
    """A sentence for people, or None where catalogue and encoder are of one domain.

    Args:
        manifest: of the encoder.
        catalogue_domain: what the catalogue's pictures are, as `lodisc demo` states it; None where nobody has said.
    """
    if catalogue_domain is not None and catalogue_domain == manifest.domain:
        return None
    return (
        f"This encoder knows {manifest.domain}; if your pictures are unlike them, expect weak matches and train your "
        "own: lodisc train"
    )
