"""Score rows over HTTP with onnxruntime and NumPy alone: python score_rows.py model.onnx 8000."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
(rows,), (output,) = session.get_inputs(), session.get_outputs()
dtype = np.float64 if "double" in rows.type else np.float32


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        try:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            X = np.array(body["rows"], dtype)  # null is a missing entry
            (found,) = session.run([output.name], {rows.name: X})
            status, answer = 200, {output.name: found.tolist()}
        except Exception as error:
            status, answer = 400, {"error": str(error)}
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
    print(f"listening on port {server.server_port}", flush=True)
    server.serve_forever()
