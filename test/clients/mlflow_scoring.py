"""MLflow's client of its scoring server, unchanged. The only model of the folder is `iris`."""

import numpy as np
import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

from check import address, refused, run, whole

host, port = address().split(":")
client = ScoringServerClient(host, port)
cases = whole("iris")


def rows(case):
    tensor = case["request"]["inputs"][0]
    return np.array(tensor["data"]).reshape(tensor["shape"])


def agree(found, case):
    wanted = {output["name"]: np.array(output["data"]).reshape(output["shape"]) for output in case["response_outputs"]}
    predictions = found.get_predictions()
    np.testing.assert_array_equal(predictions["label"], wanted["label"])


def test_lives():
    client.wait_server_ready(timeout=5)
    client.ping()
    assert client.get_version() != ""


def test_data_frame():
    for case in cases:
        agree(client.invoke(pd.DataFrame(rows(case), columns=["a", "b", "c", "d"])), case)


def test_array():
    for case in cases:
        agree(client.invoke(rows(case)), case)


def test_list_with_params():
    agree(client.invoke(rows(cases[0]).tolist(), params={"temperature": 1}), cases[0])


def test_csv_as_documented():
    import requests

    text = pd.DataFrame(rows(cases[0]), columns=["a", "b", "c", "d"]).to_csv(index=False)
    answer = requests.post(f"http://{address()}/invocations", data=text, headers={"Content-Type": "text/csv"}, timeout=10)
    assert answer.status_code == 200, answer.text
    wanted = next(one for one in cases[0]["response_outputs"] if one["name"] == "label")["data"]
    assert [one["label"] for one in answer.json()["predictions"]] == wanted


def test_errors_are_read():
    words = refused(400, lambda: client.invoke(pd.DataFrame({"a": [1.0], "b": [2.0]})))
    assert "BAD_REQUEST" in words, words


run(globals())
