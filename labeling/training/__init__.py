"""What trainings share: cut-outs, the loop, the folder of a training, and ONNX files."""
