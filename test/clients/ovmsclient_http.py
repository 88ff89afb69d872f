"""OpenVINO Model Server's client for TensorFlow Serving's REST API, unchanged."""

import numpy as np
from ovmsclient import make_http_client
from ovmsclient.tfs_compat.base.errors import InvalidInputError, ModelNotFoundError

from check import address, run, whole

client = make_http_client(address())


def tensor(case):
    given = case["request"]["inputs"][0]
    return given["name"], np.array(given["data"], dtype=np.float32).reshape(given["shape"])


def test_status():
    assert client.get_model_status("cancer", 2)[2]["state"] == "AVAILABLE"
    assert set(client.get_model_status("cancer")) == {1, 2, 3}


def test_metadata():
    metadata = client.get_model_metadata("cancer", 1)
    assert metadata["model_version"] == 1
    assert metadata["inputs"] == {"features": {"dtype": "DT_FLOAT", "shape": [-1, 30]}}
    assert metadata["outputs"]["label"] == {"dtype": "DT_INT64", "shape": [-1]}


def test_predict():
    for version in (1, 2, 3):
        for case in whole("cancer", str(version)):
            name, rows = tensor(case)
            found = client.predict({name: rows}, "cancer", version)
            for output in case["response_outputs"]:
                np.testing.assert_allclose(found[output["name"]].ravel(), output["data"], rtol=case["rtol"], atol=case["atol"])


def test_predict_the_default_version():
    case = whole("cancer", "3")[0]
    name, rows = tensor(case)
    found = client.predict({name: rows}, "cancer")
    np.testing.assert_array_equal(found["label"], next(one for one in case["response_outputs"] if one["name"] == "label")["data"])


def test_the_only_output_has_no_name():
    ids = np.array([1, 2, 3])
    found = client.predict({"ids": ids}, "embedding")
    assert isinstance(found, np.ndarray) and len(found) == 3, found


def test_texts_and_bytes():
    left, right = np.array([[str(i) for i in range(16)]]), np.array([["1"] * 16])
    found = client.predict({"INPUT0": left, "INPUT1": right}, "simple_string")
    assert found["OUTPUT0"].tolist() == [[str(i + 1) for i in range(16)]], found
    # One dimension of bytes goes as b64.
    assert client.predict({"x": np.array([b"abc", "ä".encode()])}, "identity_text").tolist() == ["abc", "ä"]


def test_errors_are_read():
    for call, kind in (
        (lambda: client.predict({"features": np.zeros((1, 29), np.float32)}, "cancer"), InvalidInputError),
        (lambda: client.predict({"features": np.zeros((1, 30), np.float32)}, "nothing"), ModelNotFoundError),
        (lambda: client.get_model_status("nothing"), ModelNotFoundError),
        (lambda: client.get_model_metadata("cancer", 9), ModelNotFoundError),
    ):
        try:
            call()
            raise AssertionError("it was answered")
        except kind:
            pass


run(globals())
