"""
A Spark cluster on this machine: a master and two workers, each a process of its own, that listen on loopback alone.

PySpark's wheel brings all of it but Java, which has to be on PATH or in JAVA_HOME (17 or later).
"""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import attrs
import pyspark

PATIENCE = 120.0
"""How many seconds anything may take before it has failed; on a busy machine Java is slow to start."""
JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Most of what a short test takes would be the time to compile what runs once."""
SETTINGS = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.extraJavaOptions": JAVA,
    "spark.executor.extraJavaOptions": JAVA,
    "spark.executor.memory": "600m",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.codegen.wholeStage": "false",
}


@attrs.frozen
class Cluster:
    """A cluster that was started."""

    url: str
    """Its master."""
    workers: dict[int, subprocess.Popen[bytes]]
    """The workers, by their process id, which is that of their session, too."""
    start: Callable[[], subprocess.Popen[bytes]]
    """Starts one more worker."""

    def add(self) -> None:
        """Have one more worker."""
        worker = self.start()
        self.workers[worker.pid] = worker
        _said(worker, rb"Successfully registered with master (\S+)")


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Cluster]:
    """A cluster for a while; *folder* is for its files."""
    with contextlib.ExitStack() as stack:
        master = _start(stack, folder, "master.Master")
        url = _said(master, rb"Starting Spark master at (spark://\S+)")
        words = "worker.Worker", "--cores", "1", "--memory", "700m", "--work-dir", f"{folder}/w", url
        cluster = Cluster(url, {}, lambda: _start(stack, folder, *words))
        for _ in range(2):
            cluster.add()
        yield cluster


def _start(stack: contextlib.ExitStack, folder: Path, name: str, *arguments: str) -> subprocess.Popen[bytes]:
    home = Path(str(pyspark.__file__)).parent
    java = str(Path(os.environ["JAVA_HOME"]) / "bin" / "java") if "JAVA_HOME" in os.environ else "java"
    command = [java, *JAVA.split(), "-Xmx200m", "-cp", f"{home}/jars/*", f"org.apache.spark.deploy.{name}"]
    command += ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0", *arguments]
    # Coverage of what runs there would come from processes that are killed; each piece of it has a plain test.
    env = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    [core] = home.glob("jars/spark-core_*.jar")  # the script `spark-class` would find this out, with one more Java
    env |= {"SPARK_SCALA_VERSION": core.name.removeprefix("spark-core_").partition("-")[0]}
    env |= {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "PYTHONPATH": os.pathsep.join(sys.path)}
    env |= {"SPARK_LOCAL_DIRS": str(folder / "local"), "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    stack.callback(end, process)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process of the cluster, and what it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _said(process: subprocess.Popen[bytes], pattern: bytes) -> str:
    """Wait until a process says something; what it says later is read, or else it would wait, and thrown away."""
    assert process.stderr is not None
    deadline = time.monotonic() + PATIENCE
    text = b""
    while (found := re.search(pattern, text)) is None:
        ready, _, _ = select.select([process.stderr], [], [], max(0, deadline - time.monotonic()))
        more = os.read(process.stderr.fileno(), 1 << 16) if ready else b""
        assert more, f"it did not say {pattern!r}, but: {text.decode()}"
        text += more
    threading.Thread(target=_drain, args=(process.stderr,), daemon=True).start()
    return found[1].decode()


def _drain(pipe: IO[bytes]) -> None:
    with pipe:
        while pipe.read(1 << 16):
            pass
