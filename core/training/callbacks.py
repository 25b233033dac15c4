"""What happens beside the steps: progress, metrics.jsonl, validation, checkpoints, and a polite stop."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import lightning as L
import torch

from core.training import checkpoint
from core.training.run_folder import RunFolder


class Throughput(L.Callback):
    """samples/s over the last steps and over the run, without the time that validation and checkpoints take."""

    def __init__(self, window: int = 20) -> None:
        self.seconds = 0.0
        self.samples = 0
        self._recent: deque[tuple[float, int]] = deque(maxlen=window)
        self._since = 0.0

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._since = time.perf_counter() if not self._since else self._since

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        now = time.perf_counter()
        taken, rows = now - self._since, len(batch) * trainer.world_size
        self._since = now
        self.seconds += taken
        self.samples += rows
        self._recent.append((taken, rows))

    def pause(self) -> None:
        """What comes between two steps is not training time."""
        self._since = 0.0

    @property
    def recent(self) -> float:
        seconds = sum(t for t, _ in self._recent)
        return sum(n for _, n in self._recent) / seconds if seconds else 0.0

    @property
    def overall(self) -> float:
        return self.samples / self.seconds if self.seconds else 0.0


class Metrics(L.Callback):
    """Lines of metrics.jsonl."""

    def __init__(self, folder: RunFolder, throughput: Throughput, every: int) -> None:
        self.folder, self.throughput, self.every = folder, throughput, every

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = pl_module.done
        if trainer.is_global_zero and (step % self.every == 0 or step == pl_module.total):
            self.folder.log({"step": step, **pl_module.logs, "samples_per_s": self.throughput.recent})


class Progress(L.Callback):
    """A bar with loss, samples/s and time left on a terminal; a line every 10% elsewhere."""

    def __init__(self, throughput: Throughput, *, what: str) -> None:
        self.throughput, self.what = throughput, what
        self._bar: Any = None
        self._task: Any = None
        self._next_line = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        if not trainer.is_global_zero:
            return
        self._next_line = pl_module.start
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("loss {task.fields[loss]:.3f}  {task.fields[rate]:.0f} samples/s  left"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(
                self.what, total=pl_module.total, completed=pl_module.start, loss=float("nan"), rate=0.0
            )

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not trainer.is_global_zero:
            return
        step, total, loss, rate = pl_module.done, pl_module.total, pl_module.logs["loss"], self.throughput.recent
        if self._bar is not None:
            self._bar.update(self._task, completed=step, loss=loss, rate=rate)
        elif step >= self._next_line or step == total:
            self._next_line = step + max(1, total // 10)
            left = (total - step) * self.throughput.seconds / step  # both count from the run's first start
            shown = f"{int(left) // 60}:{int(left) % 60:02d}"
            print(
                f"{self.what} {step}/{total}  loss {loss:.3f}  {rate:.0f} samples/s  left {shown}",
                file=sys.stderr,
                flush=True,
            )

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def on_train_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        self.stop()

    def on_exception(self, trainer: L.Trainer, pl_module: Any, exception: BaseException) -> None:
        self.stop()


class Validate(L.Callback):
    """Runs `measure() -> {name: value}` every so many steps; remembers where `watch` was best."""

    def __init__(
        self,
        folder: RunFolder,
        throughput: Throughput,
        measure: Callable[[], Mapping[str, float]],
        *,
        every: int,
        watch: str,
        best: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.throughput, self.measure, self.every, self.watch = folder, throughput, measure, every, watch
        self.best: dict[str, Any] = dict(best or {"step": None, "value": None})

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = pl_module.done
        if not trainer.is_global_zero or (step % self.every and step != pl_module.total):
            return
        was_training = [module for module in pl_module.modules() if module.training]
        pl_module.eval()
        with torch.no_grad():  # not inference mode: what a module caches here is used in training again
            values = {f"val/{name}": float(value) for name, value in self.measure().items()}
        for module in was_training:
            module.training = True
        self.folder.log({"step": step, **values})
        value = values.get(f"val/{self.watch}")
        if value is not None and (self.best["value"] is None or value > self.best["value"]):
            self.best = {"step": step, "value": value}
        self.throughput.pause()


class Checkpoints(L.Callback):
    """Writes a checkpoint every so many steps, at the best one, at the end, and when asked to stop.

    SIGTERM and Ctrl-C end the run after the step at work, with a checkpoint and exit code 128 + signal; a second
    Ctrl-C ends it at once.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(
        self,
        folder: RunFolder,
        throughput: Throughput,
        validate: Validate | None,
        *,
        every: int,
        facts: Mapping[str, Any],
    ) -> None:
        self.folder, self.throughput, self.validate, self.every = folder, throughput, validate, every
        self.facts = dict(facts)
        self._signal = 0
        self._previous: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        def stop(signum: int, frame: Any) -> None:
            if self._signal == signal.SIGINT == signum:
                raise KeyboardInterrupt
            self._signal = signum if trainer.is_global_zero else 0  # the first process decides for all

        if threading.current_thread() is threading.main_thread():  # elsewhere signals cannot be had
            self._previous = {number: signal.signal(number, stop) for number in self.SIGNALS}

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = pl_module.done
        best = self.validate.best if self.validate is not None else {"step": None, "value": None}
        due = step % self.every == 0 or step in (pl_module.total, best["step"]) or self._signal
        if due and trainer.is_global_zero:
            checkpoint.save(
                self.folder.checkpoints,
                step=step,
                module=pl_module,
                optimizer=pl_module.optimizers(use_pl_optimizer=False),
                progress={"best": best, "train_seconds": self.throughput.seconds, "samples": self.throughput.samples},
                facts=self.facts,
                keep=best["step"],
            )
            self.throughput.pause()
        if self._signal:
            shown = f"stopped at step {step} of {pl_module.total}; continue with --resume {self.folder.path}"
            print(f"\n{shown}", file=sys.stderr, flush=True)
            raise SystemExit(128 + self._signal)

    def on_train_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        self._restore()

    def on_exception(self, trainer: L.Trainer, pl_module: Any, exception: BaseException) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
