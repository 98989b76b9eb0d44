"""PID 1 of a test host, run by the host's own Python: starts sshd and cron, says so, and reaps orphans."""

import contextlib
import os
import signal
import socket
import subprocess

READY = "/run/sshd.ready"

os.makedirs("/run/sshd", exist_ok=True)
# A hardened worker: what is made for others must not depend on what its users grant by default.
os.umask(0o077)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
    notifications.bind(READY)
    notifications.settimeout(30)
    subprocess.run(["/usr/sbin/cron"], check=True)
    subprocess.run(["/usr/sbin/sshd"], check=True, env={**os.environ, "NOTIFY_SOCKET": READY})
    notifications.recv(4096)  # sshd listens
os.unlink(READY)
print("ready", flush=True)
silence = os.open(os.devnull, os.O_RDWR)
for fd in (0, 1, 2):
    os.dup2(silence, fd)

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
while True:
    signal.sigwait({signal.SIGCHLD})
    with contextlib.suppress(ChildProcessError):  # there is none left to reap
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
