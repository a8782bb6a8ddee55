"""An admission webhook for the tests: refuses, changes or accepts as its path says. usage: webhook.py CERTIFICATE KEY; prints its port."""
import base64
import http.server
import json
import ssl
import sys

PATCH = [{"op": "add", "path": "/metadata/labels", "value": {"seen-by": "webhook"}}]


class Webhook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.split("?")[0]
        response = {"uid": review["request"]["uid"], "allowed": path != "/deny"}
        if path == "/deny":
            response["status"] = {"message": "not on a Sunday", "code": 403, "reason": "Forbidden"}
        if path == "/warn":
            response["warnings"] = ["mind the gap"]
        if path == "/label" and review["request"]["operation"] == "CREATE":
            response["patchType"] = "JSONPatch"
            response["patch"] = base64.b64encode(json.dumps(PATCH).encode()).decode()
        body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
