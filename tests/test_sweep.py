"""DVC's queue with a device for each worker, as docs/scale.md tells it: the variable alone, no device is needed."""

from __future__ import annotations

import csv
import shutil
import time

from projects import Clone, start_workers, stop_workers, wait_for_queue

PIPELINE = """
stages:
  where:
    cmd: python meet.py
    deps: [meet.py]
    params: [number]
    metrics:
      - where.json:
          cache: false
"""
# An experiment ends when two of them, on different devices, have met: they ran side by side.
MEET = """
import json, os, pathlib, sys, time
device, meeting = os.environ["CUDA_VISIBLE_DEVICES"], pathlib.Path({meeting!r})
(meeting / device).touch()
end = time.monotonic() + 200
while len(list(meeting.iterdir())) < 2:
    if time.monotonic() > end:
        sys.exit("nobody came")
    time.sleep(0.1)
json.dump({{"device": int(device)}}, open("where.json", "w"))
"""


def test_workers_run_side_by_side_each_on_the_device_that_it_was_started_with(tmp_path):
    clone = Clone(tmp_path / "project", tmp_path / "site-cache")
    clone.path.mkdir()
    (tmp_path / "meeting").mkdir()
    (clone.path / "dvc.yaml").write_text(PIPELINE)
    (clone.path / "params.yaml").write_text("number: 0\n")
    (clone.path / "meet.py").write_text(MEET.format(meeting=str(tmp_path / "meeting")))
    clone.run("git", "init", "-q", "-b", "main")
    clone.dvc("init", "-q")
    clone.commit("first")
    clone.dvc("exp", "run", "--queue", "-S", "number=1,2")
    try:
        start_workers(clone, 1, CUDA_VISIBLE_DEVICES="0")
        end = time.monotonic() + 100
        while not list((tmp_path / "meeting").iterdir()):  # until the first worker is at work
            assert time.monotonic() < end, clone.dvc("queue", "status")
            time.sleep(0.2)
        start_workers(clone, 2, CUDA_VISIBLE_DEVICES="1")
        wait_for_queue(clone)
    finally:
        stop_workers(clone)
    rows = list(csv.DictReader(clone.dvc("exp", "show", "--csv").splitlines()))
    assert sorted(row["device"] for row in rows if row["number"] in ("1", "2")) == ["0", "1"]
    shutil.rmtree(tmp_path, ignore_errors=True)
