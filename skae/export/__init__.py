"""Fitted estimators as ONNX files, which need neither skae nor torch.

It needs ``pip install 'skae[export]'``.
"""

from ._onnx import to_onnx
from ._skl2onnx import register_skl2onnx

__all__ = ["register_skl2onnx", "to_onnx"]
