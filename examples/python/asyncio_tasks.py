"""asyncio: one task for each of 450 images, all at once; the engine makes batches of their requests.

From the root of the repository: ``python examples/python/asyncio_tasks.py``. ``INFERLAY_BACKENDS`` names the folder of
the backends where they do not lie beside the library.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

import numpy as np

import inferlay

MODELS = Path("examples/models")


async def read(model: inferlay.Model, image: Any) -> int:
    """The digit that an image shows."""
    response = await model.infer_async({"image": image[None]}, timeout=10.0)
    return int(response["logits"].argmax())


async def main() -> None:
    """Reads all images, and cancels a request."""
    raw = np.fromfile(MODELS / "digits" / "test_images.bin", np.uint8)[12:]
    count = len(raw) // 65
    images, labels = raw[: count * 64].reshape(count, 1, 8, 8).astype(np.float32), raw[count * 64 :]
    with inferlay.Server(MODELS, backends=os.environ.get("INFERLAY_BACKENDS"), strict=True) as server:
        model = server.model("digits")
        found = await asyncio.gather(*(read(model, image) for image in images))
        # A task that is cancelled cancels its request, wherever that is.
        task = asyncio.create_task(read(model, images[0]))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        told = model.statistics
        print(f"{told['inference_count']} images in {told['execution_count']} batches")
        print(f"accuracy: {100 * np.mean(found == labels):.2f} %")


asyncio.run(main())
