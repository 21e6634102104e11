"""Open Inference Protocol v2 over HTTP, for the clients of Triton, KServe and MLServer."""
