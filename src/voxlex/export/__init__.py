"""A vocabulary as graphs that run without voxlex: ONNX files, or exported programs of PyTorch."""
