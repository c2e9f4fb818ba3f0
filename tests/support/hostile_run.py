"""A finished run whose every name, label, note and failure is hostile to what shows it."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from evaluation.metrics.classes import class_details
from evaluation.results.ledger import FitKey, FitRecord, Ledger
from evaluation.results.predictions import prediction_path, save_predictions

SCRIPT = "<script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">"
MODELS = (
    f"=cmd|' /C calc'!A0.net@/data/{SCRIPT}/last.pt",
    "-net\x1b[2J\x1b]0;hacked\x07@w\r\n| x |\n[a='</script>\u2028']",
    "_under$x^2$\\input{/etc/passwd}@\u202egnp.ckpt[b=`c`]",
    "@SUM(A1)\x00\x1f\udcff\ufffe",
    "$\\frac{中文😀",
)
TASKS = ("=task|v1\n-full", f"{SCRIPT}-v1", "[tesk]\x1b[31m*\\")
LABELS = ("=1+1", SCRIPT, "a|b\nc\x1b[0m")
NOTES = (
    f"# note {SCRIPT}",
    "| a | b |\n|---|---|\n1. x",
    "\x1b[8mhidden\x1b[0m & 100 % \\end{table} `code`",
    "=1",
)
N_SEEDS = 3


def _failure(model: str, task: str, reason: str) -> dict:
    return {"stage": "embed", "reason": reason, "model": model, "task": task, "layer": "", "budget": 100.0}


def write_hostile_run(directory: Path) -> Path:
    """Write run.json, ledger, details and predictions of 5 models, 3 tasks and 3 seeds."""
    directory.mkdir(parents=True)
    jobs, run_jobs = [], []
    for model in MODELS:
        for task in TASKS:
            column = {"task": task, "metric": "top1_acc", "short": task, "budget": 100.0, "published": ""}
            job = {
                "model": model,
                "column": column,
                "embedding": f"{MODELS.index(model)}-{TASKS.index(task)}",
            }
            jobs.append(
                job | {"tests": ["test"], "points": ["{}"], "orders": [[0]] * N_SEEDS, "minimised": False}
            )
            run_jobs.append({"model": model, "label": task, "directory": f"/x/{task}", "task": task})
            run_jobs[-1] |= {"source_rate": 16000, "task_digest": "0" * 64, "model_fingerprint": model}
    models = [
        {"label": model, "module": model, "weights": model, "options": {}, "fingerprint": model, "dim": 8}
        | {"pretrained": i != 2, "parameters": 10 ** (i + 1), "sample_rate": 16000}
        for i, model in enumerate(MODELS)
    ]
    run = {
        "command": ["python", *MODELS],
        "versions": {"torch": SCRIPT},
        "git_revision": SCRIPT,
        "hardware": {"machine": SCRIPT, "torch_threads": 2},
        "preset": SCRIPT,
        "head": "mlp\x1b[2J",
        "n_seeds": N_SEEDS,
        "failures": [_failure(MODELS[0], TASKS[0], NOTES[2]), _failure("", "", SCRIPT)],
        "models": models,
        "jobs": run_jobs,
        "results": {
            "models": MODELS,
            "marks": {MODELS[2]: SCRIPT},
            "fingerprints": dict(zip(MODELS, MODELS, strict=True)),
            "digests": [[task, 16000, "0"] for task in TASKS],
            "protocol": SCRIPT,
            "notes": NOTES,
            "jobs": jobs,
        },
    }
    (directory / "run.json").write_text(json.dumps(run))
    _write_fits(directory, [(job["model"], job["column"]["task"], job["embedding"]) for job in jobs])
    return directory


def _write_fits(directory: Path, jobs: list[tuple[str, str, str]]) -> None:
    rng = np.random.default_rng(0)
    records, details = [], {}
    for model, task, embedding in jobs:
        for seed in range(N_SEEDS):
            key = FitKey(embedding, "test", "{}", seed)
            probabilities = rng.dirichlet(np.ones(3), 12)
            target = np.eye(3, dtype=np.uint8)[np.arange(12) % 3]
            accuracy = float((probabilities.argmax(1) == target.argmax(1)).mean())
            numbers = {"validation_score": 0.5, "scores": {"top1_acc": accuracy}, "epoch": 0, "epochs": 1}
            stack = {"stack": f"{embedding}{seed}", "stack_size": 1, "stack_seconds": 0.1, "seconds": 0.1}
            names = {"model": model, "task": task, "preset": SCRIPT, "primary": "top1_acc", "monitor": "loss"}
            more = {"flops": 1.0, "versions": {"torch": SCRIPT}, "finished": SCRIPT}
            records.append(FitRecord(key, **names, **numbers, **stack, **more))
            details[key] = class_details(LABELS, target, probabilities, multilabel=False)
            files = np.array([f"{i}{SCRIPT}\x1b.wav" for i in range(12)])
            arrays = {"files": files, "labels": np.array(LABELS), "scores": probabilities, "target": target}
            path = prediction_path(directory, model, "task", key).with_name("x.npz")
            save_predictions(
                prediction_path(directory, model, task.replace("/", "_"), key), asdict(key), arrays
            )
            assert path.name == "x.npz"
    Ledger(directory / "ledger.jsonl").append(records, details)
