"""KServe's REST client, unchanged, by both of its protocols."""

import asyncio

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput

from check import address, run, whole

URL = f"http://{address()}"


def ask(protocol, call):
    async def work():
        client = InferenceRESTClient(RESTConfig(protocol=protocol, timeout=10))
        try:
            return await call(client)
        finally:
            await client.close()

    return asyncio.run(work())


def status_of(protocol, call):
    try:
        ask(protocol, call)
    except httpx.HTTPStatusError as error:
        return error.response.status_code, str(error)
    raise AssertionError("it was answered")


def test_lives_and_is_ready():
    assert ask("v1", lambda client: client.is_server_live(URL))
    assert ask("v2", lambda client: client.is_server_live(URL))
    assert ask("v2", lambda client: client.is_server_ready(URL))
    for protocol in ("v1", "v2"):
        assert ask(protocol, lambda client: client.is_model_ready(URL, "iris"))
    assert not ask("v2", lambda client: client.is_model_ready(URL, "nothing"))


def test_v1_predict():
    for case in whole("iris"):
        tensor = case["request"]["inputs"][0]
        rows = np.array(tensor["data"]).reshape(tensor["shape"]).tolist()
        answer = ask("v1", lambda client: client.infer(URL, {"instances": rows}, model_name="iris"))
        wanted = next(one for one in case["response_outputs"] if one["name"] == "label")["data"]
        assert [one["label"] for one in answer["predictions"]] == wanted, answer


def test_v1_errors():
    status, words = status_of("v1", lambda client: client.infer(URL, {"instances": [[1, 2]]}, model_name="iris"))
    assert status == 400 and "expected shape [-1,4], found [1,2]" in words, words
    assert status_of("v1", lambda client: client.infer(URL, {"instances": [[1]]}, model_name="nothing"))[0] == 404
    assert status_of("v1", lambda client: client.explain(URL, "iris", {"instances": []}))[0] == 501


def infer_v2(case, model, binary):
    inputs = []
    for tensor in case["request"]["inputs"]:
        one = InferInput(tensor["name"], list(tensor["shape"]), tensor["datatype"])
        one.set_data_from_numpy(np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"]), binary_data=binary)
        inputs.append(one)
    outputs = [RequestedOutput(one["name"], parameters={"binary_data": binary}) for one in case["response_outputs"]]
    request = InferRequest(model, inputs, request_id="mine", request_outputs=outputs)
    return ask("v2", lambda client: client.infer(URL, request, model_name=model))


def test_v2_infer_json_and_binary():
    for binary in (False, True):
        for case in whole("cancer", "3"):
            answer = infer_v2(case, "cancer", binary)
            assert answer.id == "mine" and answer.model_name == "cancer"
            for output, wanted in zip(answer.outputs, case["response_outputs"]):
                assert output.name == wanted["name"]
                np.testing.assert_allclose(output.as_numpy().ravel(), wanted["data"], rtol=case["rtol"], atol=case["atol"])


def test_v2_fp16():
    array = np.array([[0.5, -65504, 6e-8]], dtype=np.float16)
    tensor = InferInput("x", [1, 3], "FP16")
    tensor.set_data_from_numpy(array, binary_data=True)
    request = InferRequest("identity_fp16", [tensor], request_outputs=[RequestedOutput("y", parameters={"binary_data": True})])
    answer = ask("v2", lambda client: client.infer(URL, request, model_name="identity_fp16"))
    assert answer.outputs[0].as_numpy().astype(np.float16).tobytes() == array.tobytes()


def test_v2_errors():
    tensor = InferInput("features", [1, 29], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 29), dtype=np.float32), binary_data=True)
    status, words = status_of("v2", lambda client: client.infer(URL, InferRequest("cancer", [tensor]), model_name="cancer"))
    assert status == 400 and 'input "features": expected shape [-1,30], found [1,29]' in words, words


run(globals())
