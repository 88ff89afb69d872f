"""Runs the `test_` functions of a script against a weir and prints what became of each: {name: null or error}, JSON."""

import json
import sys
import traceback


def run(functions):
    results = {}
    for name, function in list(functions.items()):
        if not name.startswith("test_"):
            continue
        try:
            function()
            results[name[5:]] = None
        except Exception:
            results[name[5:]] = traceback.format_exc(limit=-6)
    print(json.dumps(results))


def address():
    """host:port of the weir under test."""
    return sys.argv[1]


def golden(model, version="1"):
    """The cases of a model's golden file."""
    with open(f"{sys.argv[2]}/{model}/{version}/golden.json", encoding="utf-8") as file:
        return json.load(file)


def whole(model, version="1"):
    """Those of them that ask for every output and have rows."""
    return [case for case in golden(model, version) if "outputs" not in case["request"] and case["request"]["inputs"][0]["shape"][0] > 0]


def refused(status, call):
    """The error of a call that must fail with this status somewhere in its words."""
    try:
        call()
    except Exception as error:
        assert str(status) in f"{error!r} {error}" or getattr(error, "status", lambda: "")() == str(status), repr(error)
        return str(error)
    raise AssertionError("it was not refused")
