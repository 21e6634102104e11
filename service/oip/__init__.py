"""Open Inference Protocol v2 over HTTP: what Triton's, KServe's and MLServer's clients speak."""
