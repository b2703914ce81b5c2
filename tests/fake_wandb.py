"""A W&B server of a few answers on this machine, for tests that run the real ``wandb`` programs.

It takes what ``wandb sweep``, ``wandb agent``, ``wandb sync`` and ``wandb.init`` of wandb 0.31 say
to it, hands out the trials it is given, and keeps what it was told. Nothing leaves 127.0.0.1.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

API_KEY = "0a" * 20
ENTITY = "somebody"


class FakeWandb:
    """The server; a context manager, listening inside.

    Attributes:
        trials: parameters (name -> value) of the trials still to be handed out, in that order.
        sweeps: id -> the text of the sweep file, as the program has sent it.
        runs: id -> what it was told of the run (``config`` read from its JSON).
        rows: id -> {line of the history: row}, as the files of the run's stream stand.
        exit_codes: id -> that of the run, where it said that it has ended.
        unknown: names of questions for which there was no answer.
    """

    def __init__(self, trials: list[dict[str, Any]] | None = None) -> None:
        self.trials = list(trials or [])
        self.sweeps: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.rows: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
        self.exit_codes: dict[str, int] = {}
        self.unknown: list[str] = []
        self._handed = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FakeWandb:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environment(self) -> dict[str, str]:
        """Return what a program needs to find this server, and not a user's account."""
        return {
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": API_KEY,
            "WANDB_ERROR_REPORTING": "false",
        }

    def answer(self, query: str, given: dict[str, Any]) -> dict[str, Any] | None:
        """Answer a GraphQL question; None for one that is not known."""
        name = re.search(r"(?:query|mutation)\s+(\w+)", query)
        answer = getattr(self, f"_{name[1]}", None) if name else None
        with self._lock:
            if answer is None:
                self.unknown.append(name[1] if name else query[:80])
                return None
            return answer(given)

    def stream(self, run: str, body: dict[str, Any]) -> None:
        """Keep the rows of a run's history, and its exit code."""
        with self._lock:
            history = body.get("files", {}).get("wandb-history.jsonl")
            for i, line in enumerate(history["content"] if history else []):
                self.rows[run][history["offset"] + i] = json.loads(line)
            if body.get("complete"):
                self.exit_codes[run] = body.get("exitcode", 0)

    def _Viewer(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"viewer": {"id": "viewer", "entity": ENTITY, "username": ENTITY, "name": ENTITY,
                           "email": "", "flags": "{}", "admin": False,
                           "teams": {"edges": []}, "apiKeys": {"edges": []}}}  # fmt: skip

    _GetDefaultEntity = _GetViewer = _Viewer

    def _ServerFeaturesQuery(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def _UpsertSweep(self, given: dict[str, Any]) -> dict[str, Any]:
        name = f"sweep{len(self.sweeps)}"
        self.sweeps[name] = given["config"]
        sweep = {"name": name, "project": _project(given["projectName"])}
        return {"upsertSweep": {"sweep": sweep, "configValidationWarnings": []}}

    def _SweepWithRuns(self, given: dict[str, Any]) -> dict[str, Any]:
        name = given["sweep"]
        sweep = dict.fromkeys(
            ("description", "createdAt", "heartbeatAt", "updatedAt", "earlyStopJobRunning",
             "bestLoss", "controller", "scheduler")
        )  # fmt: skip
        sweep |= {"id": name, "name": name, "method": "grid", "state": "RUNNING",
                  "config": self.sweeps[name], "runs": {"edges": []}}  # fmt: skip
        return {"project": {"sweep": sweep}}

    def _CreateAgent(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"createAgent": {"agent": {"id": given["sweep"]}}}

    def _Heartbeat(self, given: dict[str, Any]) -> dict[str, Any]:
        commands = []
        if not json.loads(given["runState"]):
            commands = [{"type": "exit"}]
            if self.trials:
                args = {key: {"value": value} for key, value in self.trials.pop(0).items()}
                found = re.search(r"^program: (.*)$", self.sweeps[given["id"]], re.MULTILINE)
                self._handed += 1
                commands = [{"type": "run", "run_id": f"run{self._handed}", "args": args,
                             "program": found[1] if found else ""}]  # fmt: skip
        agent = {"id": given["id"]}
        return {"agentHeartbeat": {"agent": agent, "commands": json.dumps(commands)}}

    def _UpsertBucket(self, given: dict[str, Any]) -> dict[str, Any]:
        name = given.get("name") or given["id"]
        kept = self.runs.setdefault(name, {})
        told = {key: value for key, value in given.items() if value is not None}
        if "config" in told:
            told["config"] = {k: v["value"] for k, v in json.loads(told["config"]).items()}
        kept.update(told)
        bucket = {
            "id": name, "name": name, "displayName": kept.get("displayName") or name,
            "description": "", "config": "{}", "sweepName": kept.get("sweep"),
            "project": _project(kept.get("project")), "historyLineCount": len(self.rows[name]),
        }  # fmt: skip
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}

    def _RunResumeStatus(self, given: dict[str, Any]) -> dict[str, Any]:
        name, rows = given["name"], self.rows[given["name"]]
        bucket = None
        if name in self.runs:
            tail = [json.dumps(rows[max(rows)])] if rows else []
            config = {k: {"value": v} for k, v in self.runs[name].get("config", {}).items()}
            bucket = {
                "id": name, "name": name, "displayName": name, "summaryMetrics": "{}",
                "logLineCount": 0, "historyLineCount": len(rows), "eventsLineCount": 0,
                "historyTail": json.dumps(tail), "eventsTail": "[]", "config": json.dumps(config),
                "tags": [], "notes": "", "wandbConfig": json.dumps({"t": 1}),
            }  # fmt: skip
        return {"model": {**_project(given.get("project")), "bucket": bucket}}

    def _CreateRunFiles(self, given: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": n, "uploadUrl": f"{self.url}/upload/{n}"} for n in given["files"]]
        return {"createRunFiles": {"runID": given["run"], "uploadHeaders": [], "files": files}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: Any) -> None:
        """Say nothing of a program that hangs up."""


def _project(name: str | None) -> dict[str, Any]:
    name = name or "uncategorized"
    return {"id": name, "name": name, "entity": {"id": ENTITY, "name": ENTITY}}


def _handler(fake: FakeWandb) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self._body() or b"{}")
            if self.path.endswith("/graphql"):
                data = fake.answer(body.get("query", ""), body.get("variables") or {})
                errors = [{"message": "no answer to this is known"}]
                self._send({"data": data} if data is not None else {"errors": errors})
            elif self.path.endswith("/file_stream"):
                fake.stream(self.path.split("/")[-2], body)
                self._send({})
            else:
                self._send({}, 404)

        def do_PUT(self) -> None:
            self._body()
            self._send({})

        def do_GET(self) -> None:
            self._send({}, 404)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                raw = b"".join(parts)
            else:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" else raw

        def _send(self, value: Any, code: int = 200) -> None:
            text = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    return Handler
