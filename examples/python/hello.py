"""One line: a model of a file, asked once.

From the root of the repository: ``python examples/python/hello.py``. ``INFERLAY_BACKENDS`` names the folder of the
backends where they do not lie beside the library.
"""

import os

import inferlay

IMAGE = [
    [0, 0, 4, 15, 15, 4, 0, 0],
    [0, 2, 15, 8, 9, 14, 1, 0],
    [0, 6, 14, 0, 0, 13, 5, 0],
    [0, 8, 11, 0, 0, 10, 8, 0],
    [0, 8, 10, 0, 0, 11, 8, 0],
    [0, 6, 13, 0, 0, 14, 5, 0],
    [0, 1, 14, 8, 9, 15, 1, 0],
    [0, 0, 4, 15, 15, 4, 0, 0],
]

model = inferlay.load("examples/models/digits/1/model.onnx", backends=os.environ.get("INFERLAY_BACKENDS"))
print(model)
(scores,) = model(image=[[IMAGE]]).tensor("logits").tolist()
print("the digit is", scores.index(max(scores)))
