"""A runtime for MLServer around ONNX Runtime, since MLServer brings none: decoding and encoding are MLServer's own (NumpyCodec)."""

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxModel(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(self.settings.parameters.uri, options, providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        inputs = {entry.name: NumpyCodec.decode_input(entry) for entry in payload.inputs}
        results = self._session.run(self._names, inputs)
        outputs = [NumpyCodec.encode_output(name, result) for name, result in zip(self._names, results)]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)
