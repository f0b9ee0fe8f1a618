"""The forward pass as an ONNX graph of float32, in the operators that everybody knows.

Weights are exact; nothing is rounded between layers.  Images are [batch, channels, height, width].
"""
