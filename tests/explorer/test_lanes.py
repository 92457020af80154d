"""Queues of work: bounded, in turns, with jobs that can be stopped."""

import threading

import pytest

from voxlex.explorer.caches import Kept
from voxlex.explorer.lanes import BusyError, ClosedError, Job, Jobs, Lane


@pytest.fixture
def held() -> threading.Event:
    return threading.Event()


def test_clients_take_turns(held: threading.Event) -> None:
    lane, done = Lane("test", at_most=20), []
    lane.submit(held.wait, client="first")
    waiting = [lane.submit(lambda n=n: done.append(f"greedy {n}"), client="greedy") for n in range(6)]
    waiting.append(lane.submit(lambda: done.append("modest"), client="modest"))
    held.set()
    for one in waiting:
        one.result(timeout=300)
    assert done[:2] == ["greedy 0", "modest"]
    assert len(done) == 7
    lane.close()


def test_a_full_queue_refuses(held: threading.Event) -> None:
    lane = Lane("test", at_most=3)
    running = threading.Event()
    lane.submit(lambda: (running.set(), held.wait()), client="a")
    assert running.wait(300)
    for _ in range(3):
        lane.submit(lambda: None, client="b")
    with pytest.raises(BusyError, match="try again"):
        lane.submit(lambda: None, client="c")
    held.set()
    lane.close()


def test_a_closed_queue_refuses_at_once() -> None:
    lane = Lane("test", at_most=3)
    lane.close()
    with pytest.raises(ClosedError, match="takes no more work"):
        lane.submit(lambda: None, client="a")
    with pytest.raises(ClosedError):
        Jobs(lane).start("sample", {}, lambda job: None, client="a")


def test_an_error_reaches_whoever_asked() -> None:
    lane = Lane("test", at_most=3)
    with pytest.raises(ZeroDivisionError):
        lane.submit(lambda: 1 // 0, client="a").result(timeout=300)
    assert lane.submit(lambda: 5, client="a").result(timeout=300) == 5
    lane.close()


def test_a_job_stops_where_it_reports_progress() -> None:
    jobs, reached = Jobs(Lane("test", at_most=3)), threading.Event()

    def work(job: Job) -> None:
        for step in range(10**9):
            job.result.append(step)
            job.progress(step, 10**9)
            reached.set()

    job = jobs.start("sample", {}, work, client="a")
    waiting = jobs.start("sample", {}, work, client="a")
    assert reached.wait(300)
    jobs.cancel(waiting.number)
    jobs.cancel(job.number)
    while job.state == "running":
        threading.Event().wait(0.01)
    assert (job.state, waiting.state) == ("cancelled", "cancelled")
    assert job.result
    assert not waiting.result


def test_only_the_last_jobs_are_kept() -> None:
    lane = Lane("test", at_most=50)
    jobs = Jobs(lane, kept=3)
    for number in range(8):
        jobs.start("sample", {"number": number}, lambda job: None, client="a")
        lane.submit(lambda: None, client="a").result(timeout=300)
    assert [job.request["number"] for job in jobs.all()][:2] == [7, 6]
    assert len(jobs.all()) <= 4


def test_a_cache_keeps_what_was_used_last() -> None:
    kept: Kept[int, str] = Kept(2)
    kept.put(1, "a")
    kept.put(2, "b")
    assert kept.get(1) == "a"
    kept.put(3, "c")
    assert [kept.get(key) for key in (1, 2, 3)] == ["a", None, "c"]
