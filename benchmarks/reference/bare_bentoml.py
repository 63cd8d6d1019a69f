"""A BentoML service of nothing: what the framework itself takes to start; `benchmarks/serve.py` starts it."""

import bentoml


@bentoml.service
class Bare:
    """Answers a constant."""

    @bentoml.api
    def embed(self) -> dict[str, int]:
        """Nothing."""
        return {"answer": 0}
