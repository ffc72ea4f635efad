"""Fitted estimators as ONNX files, which need neither skae nor torch.

It needs ``pip install 'skae[export]'``.
"""

from ._onnx import to_onnx

__all__ = ["to_onnx"]
