"""What can happen to a guest from outside, the same for both engines.

    DIR/fault HOST link-off|link-on     the network between this guest and the others, and only that
    DIR/fault HOST freeze|thaw          the guest stands still; its clock too
    DIR/fault HOST power-cut            memory is lost, the disks are as the guest has synced them; it boots

DIR is the directory that tests/vm/run names at its start.
"""

import json
import socket
import sys
from pathlib import Path

ACTIONS = ("link-off", "link-on", "freeze", "thaw", "power-cut")
QMP = {
    "link-off": ("set_link", {"name": "link", "up": False}), "link-on": ("set_link", {"name": "link", "up": True}),
    "freeze": ("stop", {}), "thaw": ("cont", {}), "power-cut": ("system_reset", {}),
}


class Refused(Exception):
    """The engine doesn't do it; in its own words."""


def qmp(path, commands):
    """Sends QMP commands; what the last one returns."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(60)
        control.connect(str(path))
        stream = control.makefile("rw")
        stream.readline()
        for command, arguments in [("qmp_capabilities", {}), *commands]:
            stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
            stream.flush()
            while "return" not in (answer := json.loads(stream.readline() or "null") or {"error": "nothing"}):
                if "error" in answer:
                    raise Refused(f"qemu refuses {command}: {answer}")
        return answer["return"]


def ask_keeper(directory, host, action):
    """Asks who keeps User Mode Linux."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(60)
        control.connect(str(Path(directory) / "keeper.sock"))
        control.sendall(f"{host} {action}\n".encode())
        answer = control.makefile().readline().strip()
    if answer != "done":
        raise Refused(f"{host}: {action}: {answer or 'no answer'}")


def fault(directory, host, action):
    """Lets it happen. It has happened when this returns."""
    if action not in ACTIONS:
        raise Refused(f"{action} is none of {', '.join(ACTIONS)}")
    socket_of_qemu = Path(directory) / host / "qmp.sock"
    if socket_of_qemu.exists():
        qmp(socket_of_qemu, [QMP[action]])
    else:
        ask_keeper(directory, host, action)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        fault(*sys.argv[1:])
    except (OSError, Refused) as error:
        sys.exit(f"fault: {error}")
