"""`python -m loadtests.overhead`: CPU time a request beyond decoding and inference."""
