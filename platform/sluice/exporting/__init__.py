"""Models as ONNX graphs that take raw rows: what a server or a browser runs, held to the model that was judged."""
