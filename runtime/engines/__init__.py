"""The engines that run bundles, and the choice of one: native, torchscript, onnx."""
