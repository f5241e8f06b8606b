"""A server on loopback that speaks as an OpenAI-compatible one does, or as badly as a test wants."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading


def said(text, prompt_tokens=9, completion_tokens=2, **more):
    """The reply of a sound server."""
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    return 200, {"choices": [{"message": {"content": text}, "text": text, **more}], "usage": usage}


@contextlib.contextmanager
def serving(reply, models=("one",)):
    """Yields the base address, and the list of requests that came, each (path, headers, body).

    reply: takes the number of the request (from 0) and its body; returns status and an object, bytes, or None to break off. A third value, if
    there is one, are headers.
    """
    came, lock = [], threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            self.answer(200, {"data": [{"id": name} for name in models]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                number = len(came)
                came.append((self.path, dict(self.headers), body))
            self.answer(*reply(number, body))

        def answer(self, status, content, headers=None):
            if content is None:
                self.close_connection = True
                return
            sent = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            given = {"content-type": "application/json", "content-length": len(sent)} | (headers or {})
            for name, value in given.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(sent)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", came
        server.shutdown()
