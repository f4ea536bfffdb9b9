//! ONNX by tract.
