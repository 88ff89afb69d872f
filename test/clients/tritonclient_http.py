"""Triton's own HTTP client, unchanged. Expected values: golden files of the libraries that trained the models, and numpy."""

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from check import address, golden, refused, run

client = triton.InferenceServerClient(address(), connection_timeout=10, network_timeout=10)
NUMPY = {"FP32": np.float32, "INT64": np.int64, "INT32": np.int32, "INT8": np.int8, "BOOL": np.bool_, "BYTES": np.object_}


def asked(case, binary):
    inputs = []
    for tensor in case["request"]["inputs"]:
        data = np.array(tensor["data"], dtype=NUMPY[tensor["datatype"]]).reshape(tensor["shape"])
        one = triton.InferInput(tensor["name"], list(tensor["shape"]), tensor["datatype"])
        one.set_data_from_numpy(data, binary_data=binary)
        inputs.append(one)
    return inputs


def agree(result, case):
    for output in case["response_outputs"]:
        found = result.as_numpy(output["name"])
        wanted = np.array(output["data"], dtype=NUMPY[output["datatype"]]).reshape(output["shape"])
        assert found.shape == wanted.shape, (found.shape, wanted.shape)
        if output["datatype"] == "FP32":
            np.testing.assert_allclose(found, wanted, rtol=case["rtol"], atol=case["atol"])
        elif output["datatype"] == "BYTES":
            texts = [one.decode() if isinstance(one, bytes) else one for one in found.ravel()]
            assert texts == list(wanted.ravel()), texts
        else:
            np.testing.assert_array_equal(found, wanted)


def whole(model, binary, version="1", **options):
    cases = golden(model, version)
    for case in cases:
        outputs = [triton.InferRequestedOutput(one["name"], binary_data=binary) for one in case["response_outputs"]]
        agree(client.infer(model, asked(case, binary), outputs=outputs, model_version=version, **options), case)
    assert cases


def test_lives_and_is_ready():
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("iris") and client.is_model_ready("cancer", "2")
    assert not client.is_model_ready("nothing")


def test_server_metadata():
    metadata = client.get_server_metadata()
    assert metadata["name"] == "weir"
    assert {"binary_tensor_data", "classification", "model_repository", "statistics"} <= set(metadata["extensions"])


def test_model_metadata():
    metadata = client.get_model_metadata("cancer")
    assert metadata["versions"] == ["1", "2", "3"] and metadata["platform"] == "onnxruntime_onnx"
    assert metadata["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 30]}]


def test_model_config():
    config = client.get_model_config("simple_string", "1")
    assert config["backend"] == "onnxruntime"
    assert [one["data_type"] for one in config["input"]] == ["TYPE_STRING", "TYPE_STRING"]


def test_repository_index():
    index = client.get_model_repository_index()
    ready = {(one["name"], one["version"]) for one in index if one["state"] == "READY"}
    assert {("iris", "1"), ("cancer", "1"), ("cancer", "2"), ("cancer", "3")} <= ready, index


def test_load_and_unload():
    client.unload_model("digits")
    assert not client.is_model_ready("digits")
    states = {one["name"]: one["state"] for one in client.get_model_repository_index()}
    assert states["digits"] != "READY"
    assert client.is_model_ready("iris")
    client.load_model("digits")
    assert client.is_model_ready("digits")
    refused(404, lambda: client.load_model("nothing"))
    refused(400, lambda: client.load_model("digits", config="{}"))


def test_statistics():
    before = client.get_inference_statistics("iris", "1")["model_stats"][0]
    case = golden("iris")[0]
    for _ in range(5):
        client.infer("iris", asked(case, True), model_version="1")
    after = client.get_inference_statistics("iris", "1")["model_stats"][0]
    rows = case["request"]["inputs"][0]["shape"][0]
    assert after["inference_count"] - before["inference_count"] == 5 * rows
    assert after["execution_count"] - before["execution_count"] == 5
    success = after["inference_stats"]["success"]
    assert success["count"] - before["inference_stats"]["success"]["count"] == 5 and success["ns"] > 0
    assert "iris" in {one["name"] for one in client.get_inference_statistics()["model_stats"]}


def test_json():
    for model in ("iris", "cancer", "simple", "simple_int8", "simple_string", "churn", "ranker"):
        whole(model, False)


def test_binary():
    for model in ("iris", "cancer", "simple", "simple_int8", "simple_string", "churn", "ranker"):
        whole(model, True)


def test_gzip_both_ways():
    whole("digits", True, request_compression_algorithm="gzip", response_compression_algorithm="gzip")
    whole("digits", False, request_compression_algorithm="gzip", response_compression_algorithm="gzip")


def test_deflate_both_ways():
    whole("digits", True, request_compression_algorithm="deflate", response_compression_algorithm="deflate")
    whole("digits", False, request_compression_algorithm="deflate", response_compression_algorithm="deflate")


def identity(model, datatype, array, binary=True):
    tensor = triton.InferInput("x", list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return client.infer(model, [tensor], outputs=[triton.InferRequestedOutput("y", binary_data=binary)]).as_numpy("y")


def test_fp16_by_binary():
    array = np.array([[0, -0.0, 1, -2.5, 65504], [6e-8, np.inf, -np.inf, np.nan, 0.1]], dtype=np.float16)
    found = identity("identity_fp16", "FP16", array)
    assert found.dtype == np.float16 and found.tobytes() == array.tobytes(), found


def test_int64_is_exact():
    array = np.array([[2**63 - 1, -(2**63), 2**53 + 1]], dtype=np.int64)
    for binary in (True, False):
        tensor = triton.InferInput("INPUT0", [1, 3], "INT64")
        tensor.set_data_from_numpy(array, binary_data=binary)
        outputs = [triton.InferRequestedOutput("OUTPUT0", binary_data=binary)]
        np.testing.assert_array_equal(client.infer("identity_int64", [tensor], outputs=outputs).as_numpy("OUTPUT0"), array)


def test_bytes():
    array = np.array([["", "ä€😀", "a" * 70000]], dtype=np.object_)
    for binary in (True, False):
        tensor = triton.InferInput("INPUT0", [1, 3], "BYTES")
        tensor.set_data_from_numpy(array, binary_data=binary)
        outputs = [triton.InferRequestedOutput("OUTPUT0", binary_data=binary)]
        found = client.infer("identity_bytes", [tensor], outputs=outputs).as_numpy("OUTPUT0")
        assert [one.decode() if isinstance(one, bytes) else one for one in found.ravel()] == list(array.ravel())


def test_bool():
    array = np.array([[True, False, True]])
    for binary in (True, False):
        tensor = triton.InferInput("INPUT0", [1, 3], "BOOL")
        tensor.set_data_from_numpy(array, binary_data=binary)
        outputs = [triton.InferRequestedOutput("OUTPUT0", binary_data=binary)]
        np.testing.assert_array_equal(client.infer("identity_bool", [tensor], outputs=outputs).as_numpy("OUTPUT0"), array)


def test_classification():
    case = next(one for one in golden("cancer") if one["request"]["inputs"][0]["shape"][0] > 1)
    outputs = [triton.InferRequestedOutput("probabilities", class_count=2)]
    found = client.infer("cancer", asked(case, True), outputs=outputs, model_version="1").as_numpy("probabilities")
    given = next(one for one in case["response_outputs"] if one["name"] == "probabilities")
    wanted = np.array(given["data"]).reshape(given["shape"])
    assert found.shape == wanted.shape
    for texts, values in zip(found, wanted):
        order = np.argsort(-values, kind="stable")
        for text, index in zip(texts, order):
            value, position = text.decode().split(":")
            assert int(position) == index and abs(float(value) - values[index]) < 1e-5, (texts, values)


def test_id_and_what_answered():
    result = client.infer("cancer", asked(golden("cancer", "2")[0], True), request_id="mine", model_version="2").get_response()
    assert (result["id"], result["model_name"], result["model_version"]) == ("mine", "cancer", "2")


def test_many_at_once():
    pool = triton.InferenceServerClient(address(), concurrency=8)
    arrays = [np.full((1, 4), i, dtype=np.float32) for i in range(200)]

    def send(array):
        tensor = triton.InferInput("INPUT0", [1, 4], "FP32")
        tensor.set_data_from_numpy(array)
        return pool.async_infer("identity_fp32", [tensor])

    for array, pending in zip(arrays, [send(array) for array in arrays]):
        np.testing.assert_array_equal(pending.get_result().as_numpy("OUTPUT0"), array)


def test_errors_are_read():
    tensor = triton.InferInput("features", [1, 29], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 29), dtype=np.float32))
    words = refused(400, lambda: client.infer("cancer", [tensor]))
    assert 'input "features": expected shape [-1,30], found [1,29]' in words, words
    assert "there is no model" in refused(404, lambda: client.get_model_metadata("nothing"))
    try:
        client.infer("nothing", [tensor])
        raise AssertionError("it was answered")
    except InferenceServerException as error:
        assert error.status() == "404", error.status()


run(globals())
