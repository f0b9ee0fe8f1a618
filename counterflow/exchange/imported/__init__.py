"""Descriptions and weights made of ONNX graphs.

``source`` reads a file; ``walk`` follows the dataflow from its input to its output, with what
``operators`` says of each; ``pieces`` are the layers that come of it; ``formats`` chooses numbers;
``network`` makes the description; ``trial`` compares it with the graph on samples.
"""
