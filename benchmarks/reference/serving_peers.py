"""How others serve an encoder, each in the way its documentation shows; `benchmarks/serve.py` starts them.

    python benchmarks/reference/serving_peers.py (fastapi|litserve) BUNDLE PORT

Both take one picture in the multipart field `image` and answer its embedding as JSON numbers, with the same encoder,
preprocessing and number of threads. BentoML's own batching is in `stock_bentoml.py`.
"""

import os
import sys
from pathlib import Path

import litserve
import numpy as np
import uvicorn
from fastapi import FastAPI, UploadFile

from encoder.bundle import Bundle
from encoder.image_encoder import ImageEncoder
from encoder.preprocessing import decode_picture, preprocess

THREADS = os.cpu_count()
BATCH, LITSERVE_WAIT_S = 8, 0.005


def load():
    """Encoder, and what turns a file into its input."""
    encoder = ImageEncoder(Bundle.open(Path(sys.argv[2])), num_threads=THREADS)
    preprocessing = encoder.manifest.preprocessing
    return encoder, lambda data: preprocess(
        decode_picture(data, min_side_wanted=preprocessing.image_size), preprocessing
    )


def serve_fastapi(port):
    """A plain endpoint that FastAPI runs in its thread pool."""
    app = FastAPI()
    encoder, pixels_of = load()

    @app.post("/embed")
    def embed(image: UploadFile):
        return {"embedding": encoder.encode(pixels_of(image.file.read())[None]).embedding_BD[0].tolist()}

    @app.get("/readyz")
    def ready():
        return {}

    uvicorn.run(app, port=port, log_level="error")


class Api(litserve.LitAPI):
    """Decoding beside a batching loop, which LitServe runs in a process of its own."""

    def setup(self, device):
        """Load the encoder."""
        self.encoder, self.pixels_of = load()

    def decode_request(self, request):
        """The input of one picture."""
        return self.pixels_of(request["image"].file.read())

    def batch(self, inputs):
        """Of several."""
        return np.stack(inputs)

    def predict(self, pixels):
        """Encode a batch."""
        return self.encoder.encode(pixels).embedding_BD

    def unbatch(self, output):
        """To each its own."""
        return list(output)

    def encode_response(self, output):
        """As JSON."""
        return {"embedding": output.tolist()}


def serve_litserve(port):
    """LitServe's batching."""
    api = Api(max_batch_size=BATCH, batch_timeout=LITSERVE_WAIT_S, api_path="/embed")
    litserve.LitServer(api, accelerator="cpu", healthcheck_path="/readyz").run(
        port=port, log_level="error", generate_client_file=False
    )


if __name__ == "__main__":
    {"fastapi": serve_fastapi, "litserve": serve_litserve}[sys.argv[1]](int(sys.argv[3]))
