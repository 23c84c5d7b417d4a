"""The units of the packages under a real systemd, which has namespaces of its own on alpha (row RUN)."""

from cases_q_run import config
from harness import case
from hosts import Skipped

PLACE = "/run/systemd/system"


def manager(c):
    """Starts systemd with our units and nothing else; the command that begins a systemctl of its own."""
    if "cgroup2" not in c.alpha("cat /proc/filesystems"):
        raise Skipped("this kernel has no control groups: tests/vm/suite/run --engine qemu")
    init = c.script(c.alpha, "init", "#!/bin/sh\nexport container=zfsync\nexec /usr/lib/systemd/systemd --unit=bare.target --log-target=console")
    c.cleanups.append((c.alpha, "umount /sys/fs/cgroup; rm -rf /run/systemd /etc/zfsync.toml"))
    c.cleanups.append((c.alpha, "pkill -9 -x systemd || true; while pgrep -x systemd >/dev/null; do sleep 0.1; done"))
    # Mounts are shared: what is mounted in there is mounted for everybody, as with a systemd that is the first of all processes.
    c.alpha(f"""
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
        mkdir -p {PLACE}; cp /root/dist/systemd/zfsync@.* {PLACE}
        echo '[Unit]' >{PLACE}/bare.target
        setsid unshare --fork --pid --mount --mount-proc --propagation shared {init} </dev/null >/dev/null 2>&1 &""")
    ctl = "nsenter -t $(pgrep -x systemd) -p -m systemctl"
    c.alpha.wait_for("systemd answers", f"{ctl} is-active bare.target", 60)
    return ctl


def of_unit(c, ctl, job, name):
    """What systemd knows of a job's service."""
    return c.alpha(f"{ctl} show -P {name} zfsync@{job}.service")


@case("RUN", "J23", machine=True)
def units_of_the_packages(c):
    """A job as a service: in sync, with its log, state and hook; one that fails starts what OnFailure= names; a stop in the middle ends in good order."""
    ctl = manager(c)
    c.tree({"": "", "one": "", "one/kid": "", "big": ""})
    c.alpha(f"head -c 160M /dev/urandom >/{c.source}/big/file")
    c.beta(f"zfs create {c.target}")
    name = c.name
    path = config(c, f"""
[job.one]
source = "{c.source}/one"
targets = ["beta:{c.target}/one"]
log = "/var/log/zfsync/{name}.log"
state-dir = "/var/lib/zfsync/{name}"
on-success = "tee /var/log/zfsync/{name}.result"
[job.bad]
source = "{c.source}/one"
targets = ["beta:nopool-{name}/one"]
retries = 0
[job.big]
source = "{c.source}/big"
targets = ["beta:{c.target}/big"]
log = "/var/log/zfsync/{name}-big.log" """)
    failed = f"/var/tmp/zfsync-suite/{name}/failed"
    c.cleanups.append((c.alpha, f"rm -rf /var/log/zfsync/{name}* /var/lib/zfsync/{name}"))
    c.alpha(f"""
        cp {path} /etc/zfsync.toml
        mkdir {PLACE}/zfsync@.service.d
        printf '[Unit]\\nOnFailure=failed@%%i.service\\n' >{PLACE}/zfsync@.service.d/failure.conf
        printf '[Service]\\nType=oneshot\\nExecStart=touch {failed}-%%i\\n' >{PLACE}/failed@.service
        {ctl} daemon-reload
        {ctl} start zfsync@one.service""", timeout=300)
    c.in_sync(f"{c.source}/one", f"{c.target}/one")
    c.same((of_unit(c, ctl, "one", "Result"), of_unit(c, ctl, "one", "ExecMainStatus")), ("success", "0"), "how the job ended")
    c.alpha(f"grep -q 'in sync' /var/log/zfsync/{name}.log; grep -q '\"result\":\"success\"' /var/log/zfsync/{name}.result; test -n \"$(ls /var/lib/zfsync/{name})\"")

    c.same(c.alpha.try_run(f"{ctl} start zfsync@bad.service", timeout=300).status, 1, "the exit status of a start that fails")
    c.same((of_unit(c, ctl, "bad", "Result"), of_unit(c, ctl, "bad", "ExecMainStatus")), ("exit-code", "1"), "how the job without a pool ended")
    c.alpha.wait_for("what OnFailure= names has run", f"test -e {failed}-bad")
    c.check("0" == c.alpha(f"ls {failed}-one 2>/dev/null | wc -l"), "OnFailure= for a job that went well")

    c.alpha(f"{ctl} start --no-block zfsync@big.service")
    c.beta.wait_for("a receive is at work", f"test $(zfs list -Hp -o used {c.target}/big) -gt 4000000", 120)
    c.alpha(f"{ctl} stop zfsync@big.service", timeout=120)
    c.same(of_unit(c, ctl, "big", "ExecMainStatus"), "143", "the exit status after a stop")
    c.beta.wait_for("the receive has ended", f"! pgrep -f '[z]fs receive.*{c.target}/big'")
    c.alpha(f"grep -q 'interrupted after .*; the next run continues' /var/log/zfsync/{name}-big.log")
    c.check(c.beta(f"zfs get -Hp -o value receive_resume_token {c.target}/big") != "-", "the partially received state is gone")
    c.alpha(f"{ctl} start zfsync@big.service", timeout=300)
    c.in_sync(f"{c.source}/big", f"{c.target}/big")
    c.same(of_unit(c, ctl, "big", "ExecMainStatus"), "0", "the exit status of the next start")
