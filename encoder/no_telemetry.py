"""Imported ahead of ONNX Runtime, keeps it from reporting to its makers.

Since 1.29 its Linux builds send what is loaded (names and hashes of graphs, an id of the machine) to a collector of
Microsoft's, and keep a queue of it in the user's folder, unless this variable is set before the library is loaded.
What a person runs is nobody else's business, and a server that is closed to the outside must not even try.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
