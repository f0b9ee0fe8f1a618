"""The golden model's forward pass as an ONNX graph of integers, bit for bit.

Every tensor is int64 [batch, elements], images channels last, as in `golden`.  Each kind of unit
has a function of its own; `network` joins them.
"""
