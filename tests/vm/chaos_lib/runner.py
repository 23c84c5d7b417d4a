"""Runs pushes on alpha for the host: a line of JSON starts one or signals it, its output and end come back as lines."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading


def read(stream, name, messages):
    for line in stream:
        messages.put({name: line.decode(errors="replace").rstrip("\n")})


def play(request, orders):
    """One push, from its start to its end."""
    process = subprocess.Popen(
        request["argv"], env={**os.environ, **request["env"]}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True, cwd="/root")
    messages = queue.Queue()
    threads = [threading.Thread(target=read, args=(getattr(process, f"std{name}"), name, messages), daemon=True)
               for name in ("out", "err")]

    def wait():
        process.wait()
        # A child that outlives it may hold its stdout: don't wait for that.
        for thread in threads:
            thread.join(2)
        messages.put({"status": process.returncode})

    def obey():
        while (order := orders.get()) is not None:
            if process.poll() is None:
                process.send_signal(order["signal"])

    for thread in [*threads, threading.Thread(target=wait, daemon=True), threading.Thread(target=obey, daemon=True)]:
        thread.start()
    while True:
        message = messages.get()
        print(json.dumps(message), flush=True)
        if "status" in message:
            orders.put(None)
            return


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    print("runner ready", flush=True)
    orders = queue.Queue()
    for line in sys.stdin:
        request = json.loads(line)
        if "argv" in request:
            orders = queue.Queue()
            threading.Thread(target=play, args=(request, orders), daemon=True).start()
        else:
            orders.put(request)
