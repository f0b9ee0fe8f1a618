"""Networks and weights that come from elsewhere or go there: PyTorch, ONNX, NumPy, C.

``tensors``: parameters under PyTorch's names, in its layouts; ``files``: safetensors and NPZ;
``weights``: the states that a training begins with; ``integer`` and ``floats``: ONNX graphs of a
network; ``header``: its integers in C; ``imported``: descriptions made of ONNX graphs.
"""
