"""The usual way to serve one ONNX model from Python, kept lean: FastAPI, uvloop, httptools, ONNX Runtime with one thread.

MODEL names the file. No response models and no validation, which would only make it slower.
"""

import os

import numpy
import onnxruntime
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

NUMPY = {"FP32": numpy.float32, "FP64": numpy.float64, "INT32": numpy.int32, "INT64": numpy.int64}

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
app = FastAPI()


def tensor(entry):
    return numpy.asarray(entry["data"], dtype=NUMPY[entry["datatype"]]).reshape(entry["shape"])


@app.get("/v2/health/ready")
async def ready():
    return {"ready": True}


@app.post("/v2/models/cancer/infer")
async def infer(request: Request):
    asked = await request.json()
    label, probabilities = session.run(["label", "probabilities"], {entry["name"]: tensor(entry) for entry in asked["inputs"]})
    return JSONResponse(
        {
            "model_name": "cancer",
            "model_version": "1",
            "id": asked.get("id"),
            "outputs": [
                {"name": "label", "datatype": "INT64", "shape": list(label.shape), "data": label.tolist()},
                {"name": "probabilities", "datatype": "FP32", "shape": list(probabilities.shape), "data": probabilities.ravel().tolist()},
            ],
        }
    )
