import itertools
import threading
import time

from crashlab.writers.clock import SteppedClock


def test_it_moves_with_steps_and_never_by_itself():
    clock = SteppedClock(0.004)
    assert clock.now() == SteppedClock.EPOCH
    time.sleep(0.02)
    assert clock.now() == SteppedClock.EPOCH
    for _ in range(250):
        clock.tick()
    assert abs(clock.now() - SteppedClock.EPOCH - 1.0) < 1e-6


def test_a_wait_ends_after_its_ticks_and_not_before():
    clock = SteppedClock(0.1)
    woken = threading.Event()
    never = threading.Event()

    def loop():
        assert clock.wait(never, 0.5) is False
        woken.set()

    thread = threading.Thread(target=loop)
    thread.start()
    for _ in range(4):
        clock.tick()
    assert not woken.wait(0.05)
    clock.tick()
    clock.tick()
    assert woken.wait(5)
    thread.join()


def test_a_wait_ends_when_its_event_is_set():
    clock = SteppedClock(0.1)
    stop = threading.Event()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(clock.wait(stop, 1e9)))
    thread.start()
    stop.set()
    thread.join(5)
    assert answers == [True]


def test_an_event_that_is_set_already_and_no_time_at_all_return_at_once():
    clock = SteppedClock(0.1)
    done = threading.Event()
    assert clock.wait(done, 0) is False
    done.set()
    assert clock.wait(done, 100) is True


def test_a_loop_on_the_clock_keeps_its_cadence_whatever_the_machine():
    """Every 0.5 s at 0.004 s a step is every 125 steps: so often in 1000 steps, give or take the loop's latency."""
    clock = SteppedClock(0.004)
    stop = threading.Event()
    at = []

    def loop():
        while not clock.wait(stop, 0.5):
            at.append(clock.now() - clock.EPOCH)

    thread = threading.Thread(target=loop)
    thread.start()
    for _ in range(1000):
        clock.tick()
        time.sleep(0.0003)
    stop.set()
    thread.join(5)
    assert 5 <= len(at) <= 8
    assert all(later - earlier >= 0.5 - 1e-6 for earlier, later in itertools.pairwise(at))
