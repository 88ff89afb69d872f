"""Reads a folder of Parquet files as others do and prints what they see as JSON. Arguments: the folder, then a query per argument.

`{lake}` in a query stands for the files. Answers: {"duckdb": [rows per query], "arrow": [the first 100 rows], "schema": {column: type}}.
"""
import json
import sys

import duckdb
import pyarrow.dataset as dataset
import pyarrow.parquet as parquet

folder, queries = sys.argv[1], sys.argv[2:]


def plain(value):
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, float) and value != value:
        return "NaN"
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value


connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
lake = f"read_parquet('{folder}/**/*.parquet', hive_partitioning = true, union_by_name = true)"
answers = [[plain(row) for row in connection.execute(query.replace("{lake}", lake)).fetchall()] for query in queries]

whole = dataset.dataset(folder, partitioning="hive").to_table()
assert whole.num_rows == parquet.read_table(folder).num_rows
rows = [plain(row) for row in whole.sort_by("record_id").slice(0, 100).to_pylist()]
print(json.dumps({"duckdb": answers, "arrow": rows, "schema": {field.name: str(field.type) for field in whole.schema}}))
