"""Running programs with a limit on their time, for the stages of tools/gpu_check."""

import os
import shlex
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

GRACE_S = 5  # from the request to end until the end


class Unusable(Exception):
    """What was given cannot be used."""


class NotHere(Exception):
    """A stage cannot run on this machine."""


@dataclass
class Programs:
    """What is measured, and where its shared libraries are."""

    krait: str
    make_checkpoint: str
    micro_costs: str = ""
    tests: list[str] = field(default_factory=list)
    library_path: list[str] = field(default_factory=list)
    golden: str = ""
    peers_script: str = ""
    version: str = ""


@dataclass
class Done:
    command: list[str]
    code: int = 0
    out: str = ""
    err: str = ""
    seconds: float = 0.0
    timed_out: bool = False

    @property
    def passed(self):
        return self.code == 0 and not self.timed_out

    def why(self):
        """One line on what went wrong."""
        if self.timed_out:
            return f"no end after {self.seconds:.0f} s"
        lines = [line for line in (self.err.strip() or self.out.strip()).splitlines() if line]
        how = f"exit code {self.code}" if self.code >= 0 else f"signal {-self.code}"
        return how + (": " + lines[-1][:300] if lines else "")


class Machine:
    """The place of a run: programs, the device, a folder for large files, a log, and until when the
    present stage may go on."""

    def __init__(self, programs, device, scratch, log):
        self.programs = programs
        self.device = device
        self.scratch = Path(scratch)
        self.log_file = log
        self.deadline = float("inf")
        self.live = set()  # programs that run

    @property
    def on_gpu(self):
        return self.device.startswith("cuda")

    @property
    def gpu_index(self):
        return self.device.partition(":")[2] or "0"

    def left(self):
        return self.deadline - time.monotonic()

    def log(self, text):
        self.log_file.write(text.rstrip("\n") + "\n")
        self.log_file.flush()

    def environment(self):
        """Of our own programs only: others would get older libraries than they were built for."""
        environment = dict(os.environ)
        path = [*self.programs.library_path, environment.get("LD_LIBRARY_PATH", "")]
        environment["LD_LIBRARY_PATH"] = ":".join(p for p in path if p)
        if self.programs.golden:
            environment["KRAIT_TEST_GOLDEN"] = self.programs.golden
        return environment

    def krait(self, command, *arguments):
        """The command line of krait on the device."""
        return [self.programs.krait, command, "-q", "--device", self.device, *map(str, arguments)]

    def run(self, command, limit=None, own=True, watch=None):
        """Runs it to its end or for `limit` seconds, else to the end of the stage; then it is asked
        to end, then ended. watch(process, out) is called from time to time. The output is kept
        whole."""
        limit = self.left() if limit is None else limit
        begin = time.monotonic()
        if limit <= 0:
            return Done(command, code=-1, timed_out=True)
        with tempfile.TemporaryFile(dir=self.scratch) as out, \
                tempfile.TemporaryFile(dir=self.scratch) as err:
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                    start_new_session=True, env=self.environment() if own else None)
            except OSError as error:
                return Done(command, code=-1, err=f"{command[0]}: {error.strerror}")
            self.live.add(process)
            timed_out = self.wait(process, begin + limit, out, watch)
            self.live.discard(process)
            seconds = time.monotonic() - begin
            out.seek(0)
            err.seek(0)
            done = Done(command, process.returncode, out.read().decode(errors="replace"),
                        err.read().decode(errors="replace"), seconds, timed_out)
        self.note(done)
        return done

    def end_all(self):
        for process in list(self.live):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)

    @staticmethod
    def wait(process, end, out, watch):
        """Whether it had to be ended."""
        pause = 0.5 if watch else 3600.0
        try:
            while time.monotonic() < end:
                try:
                    process.wait(max(0.0, min(pause, end - time.monotonic())))
                    return False
                except subprocess.TimeoutExpired:
                    if watch:
                        watch(process, out)
            process.send_signal(signal.SIGINT)
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            pass
        finally:  # also when a stage is interrupted
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return True

    def note(self, done):
        end = "time is up" if done.timed_out else f"exit code {done.code}"
        self.log(f"$ {shlex.join(done.command)[:600]}\n  {done.seconds:.2f} s, {end}")
        for text in ([done.err] if done.passed else [done.out[-3000:], done.err[-3000:]]):
            if text.strip():
                self.log("  " + text.strip()[-3000:].replace("\n", "\n  "))

    def run_all(self, commands, workers=8):
        """The results in the order of the commands, of which so many run at a time."""
        with ThreadPoolExecutor(workers) as pool:
            try:
                return list(pool.map(self.run, commands))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.end_all()
                raise

    def checkpoint(self, name, *settings, limit=None):
        """The folder of a random checkpoint, made when it is asked for the first time."""
        folder = self.scratch / name
        if not (folder / "made").exists():
            done = self.run([self.programs.make_checkpoint, str(folder), *map(str, settings)],
                            limit=limit)
            if not done.passed:
                raise RuntimeError(f"make_checkpoint {name}: {done.why()}")
            (folder / "made").touch()
        return str(folder)


def status_of(problems, complete=True):
    if problems:
        return "failed"
    return "passed" if complete else "incomplete"
