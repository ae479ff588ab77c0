"""What libraries of data sets and models write, and read again.

large.py pandas | duckdb | datasets | hub | tensorboard, and each with _again behind it
"""

import hashlib
import http.server
import json
import os
import sys
import threading
from pathlib import Path

FOLDER = Path.cwd()
os.environ["HF_HOME"] = str(FOLDER / "home")
os.environ["HF_HUB_DISABLE_TELEMETRY"] = os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HUB_DISABLE_XET"] = "1"


def pandas():
    import numpy
    import pandas

    frame = pandas.DataFrame({"n": numpy.arange(50_000), "x": numpy.arange(50_000) / 7, "s": [f"row {n % 97}" for n in range(50_000)]})
    frame.to_parquet("frame.parquet")
    frame.to_parquet("parts", partition_cols=["s"], max_partitions=200)
    frame.to_csv("frame.csv", index=False)
    frame.head(100).to_json("frame.json", orient="records", lines=True)
    frame.to_feather("frame.feather")
    for part in range(5):
        frame[part::5].to_csv("grows.csv", mode="a", header=part == 0, index=False)
    for path in (FOLDER / "parts").rglob("*.parquet"):  # their names are random
        path.rename(path.with_name("part.parquet"))
    pandas_again()


def pandas_again():
    import pandas
    import pyarrow.dataset
    import pyarrow.parquet

    for frame in (
        pandas.read_parquet("frame.parquet"),
        pandas.read_parquet("frame.parquet", columns=["x"], filters=[("n", "<", 1000)]),
        pandas.read_parquet("parts").sort_values("n").astype({"s": str}).reset_index(drop=True),
        pandas.read_csv("frame.csv"),
        pandas.read_csv("grows.csv"),
        pandas.read_json("frame.json", lines=True),
        pandas.read_feather("frame.feather"),
        pyarrow.parquet.read_table("frame.parquet", memory_map=True).to_pandas(),
    ):
        print(frame.shape, int(pandas.util.hash_pandas_object(frame).sum()))
    print(pyarrow.dataset.dataset("parts", partitioning="hive").count_rows())


def duckdb():
    import duckdb

    with duckdb.connect("data.duckdb") as database:
        database.execute("CREATE TABLE t AS SELECT range AS n, hash(range) AS h, 'text ' || range % 100 AS s FROM range(200000)")
        database.execute("CHECKPOINT")
        database.execute("UPDATE t SET s = 'changed' WHERE n % 10 = 0")
        database.execute("CREATE INDEX i ON t(n)")
        for start in range(20):
            database.execute("INSERT INTO t SELECT range, 0, 'more' FROM range(?, ?)", [300000 + start * 10, 300010 + start * 10])
        database.execute("COPY t TO 'table.parquet'")
        database.execute("BEGIN")
        database.execute("DELETE FROM t")
        database.execute("ROLLBACK")
    duckdb_again()


def duckdb_again():
    import duckdb

    with duckdb.connect("data.duckdb") as database:
        print(database.execute("SELECT count(*), sum(n), count(DISTINCT s) FROM t").fetchall())
        print(database.execute("SELECT count(*) FROM 'table.parquet' WHERE s = 'more'").fetchall())
        database.execute("DELETE FROM t WHERE n % 3 = 0")
        database.execute("FORCE CHECKPOINT")
    with duckdb.connect("data.duckdb", read_only=True) as database:
        print(database.execute("SELECT count(*), sum(n) FROM t").fetchall())


def rows():
    Path("rows.csv").write_text("n,text\n" + "".join(f"{n},text {n}\n" for n in range(5000)))
    Path("rows.jsonl").write_text("".join(json.dumps({"n": n, "words": ["a"] * (n % 5)}) + "\n" for n in range(5000)))


def double(row):
    return {"twice": row["n"] * 2}


def even(row):
    return row["n"] % 2 == 0


def datasets():
    import datasets

    datasets.disable_progress_bars()
    rows()
    for builder, name in (("csv", "rows.csv"), ("json", "rows.jsonl")):
        data = datasets.load_dataset(builder, data_files=name, cache_dir="cache")["train"]
        print(data.num_rows, data.column_names, data[4999])
    data = datasets.load_dataset("csv", data_files="rows.csv", cache_dir="cache")["train"]
    mapped = data.map(double)
    again = data.map(double, load_from_cache_file=True)
    print(len(mapped.cache_files), mapped.cache_files == again.cache_files, sum(mapped["twice"]))
    several = data.map(double, num_proc=2, cache_file_name="cache/several.arrow")
    print(sum(several["twice"]), data.filter(even).num_rows, data.shuffle(seed=1)[0], data.sort("n", reverse=True)[0])
    data.save_to_disk("saved")
    data.train_test_split(test_size=0.1, seed=1).save_to_disk("split", num_shards={"train": 3, "test": 1})
    data.to_parquet("rows.parquet")
    datasets_again()


def datasets_again():
    import datasets

    datasets.disable_progress_bars()
    print(datasets.load_from_disk("saved")[17], datasets.load_from_disk("split")["train"].num_rows)
    print(sum(datasets.load_from_disk("saved").select(range(100)).map(double, keep_in_memory=True)["twice"]))
    data = datasets.load_dataset("json", data_files="rows.jsonl", cache_dir="cache")["train"]
    print(data[11], data.cleanup_cache_files())
    print(datasets.load_dataset("parquet", data_files="rows.parquet", cache_dir="cache")["train"].num_rows)


class Hub(http.server.BaseHTTPRequestHandler):
    """So much of a hub as it takes to download a model."""

    commit = "0123456789abcdef0123456789abcdef01234567"
    files = {"config.json": b'{"layers": 3}', "weights/model.bin": bytes(range(256)) * 20_000, "README.md": b"# A model\n"}

    def do_GET(self):
        if self.path.startswith("/api/models/me/model"):
            siblings = [{"rfilename": name} for name in self.files]
            body = json.dumps({"_id": "1", "id": "me/model", "sha": self.commit, "siblings": siblings, "private": False, "tags": [], "downloads": 0, "likes": 0}).encode()
            if "/tree/" in self.path:
                body = json.dumps([{"type": "file", "path": name, "size": len(content), "oid": "0"} for name, content in self.files.items()]).encode()
            headers = {"Content-Type": "application/json"}
        else:
            name = self.path.split("/", 5)[5].split("?")[0]
            body = self.files[name]
            etag = hashlib.sha256(body).hexdigest()
            headers = {"ETag": f'"{etag}"', "X-Repo-Commit": self.commit, "Accept-Ranges": "bytes"}
        self.send_response(200)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def hub():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
    import huggingface_hub

    path = huggingface_hub.hf_hub_download("me/model", "config.json", cache_dir="cache")
    print(os.path.islink(path), os.readlink(path), Path(path).read_text())
    print(Path(huggingface_hub.snapshot_download("me/model", cache_dir="cache")).relative_to(FOLDER))
    huggingface_hub.snapshot_download("me/model", local_dir="local")
    server.shutdown()
    hub_again()


def hub_again():
    import huggingface_hub

    folder = Path(huggingface_hub.snapshot_download("me/model", cache_dir="cache", local_files_only=True))
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        print(path.relative_to(folder), path.is_symlink(), hashlib.sha256(path.read_bytes()).hexdigest())
    print(huggingface_hub.try_to_load_from_cache("me/model", "weights/model.bin", cache_dir="cache") is not None)
    cache = huggingface_hub.scan_cache_dir("cache")
    print(cache.size_on_disk, len(cache.repos), [str(warning) for warning in cache.warnings])


def tensorboard():
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter("logs", flush_secs=1)
    for step in range(500):
        value = Summary.Value(tag="loss", simple_value=1 / (1 + step))
        writer.add_event(Event(wall_time=step, step=step, summary=Summary(value=[value])))
        if step % 100 == 99:
            writer.flush()
            print(scalars())
    writer.close()
    tensorboard_again()


def scalars():
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator("logs", size_guidance={"scalars": 0})
    events.Reload()
    losses = events.Scalars("loss")
    return len(losses), losses[-1].step, losses[-1].value


def tensorboard_again():
    print(scalars())


if __name__ == "__main__":
    globals()[sys.argv[1]]()
