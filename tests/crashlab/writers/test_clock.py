import itertools
import threading
import time

from crashlab.writers.clock import RealClock, RendezvousClock, SteppedClock


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


def _moves(cadence_s, tick_s, ticks, work):
    """Where the rendezvous clock moved, and at which of its times a loop on it did its work."""
    notes, at, stop = [], [], threading.Event()
    clock = RendezvousClock(tick_s, notes.append)

    def loop():
        while not clock.wait(stop, cadence_s):
            time.sleep(work)
            at.append(round(clock.now() - SteppedClock.EPOCH, 6))

    thread = threading.Thread(target=loop)
    thread.start()
    for _ in range(ticks):
        clock.tick()
    done = list(at)
    stop.set()
    thread.join(5)
    return notes, done


def test_at_a_rendezvous_the_clock_stops_for_whoever_is_due_and_no_work_is_late():
    notes, at = _moves(1.5, 1.0, 4, work=0.02)
    assert at == [1.5, 3.0]  # also the last: the clock had not gone on without it
    assert notes == [f"clock {ns}" for ns in (10**9, 15 * 10**8, 2 * 10**9, 3 * 10**9, 4 * 10**9)]


def test_a_cadence_shorter_than_the_tick_is_not_missed():
    notes, at = _moves(0.25, 1.0, 3, work=0.0)
    assert at == [round(0.25 * n, 6) for n in range(1, 13)]
    assert _moves(0.25, 1.0, 3, work=0.001) == (notes, at)


def test_a_thread_that_never_comes_back_holds_the_clock_up_once_and_is_named():
    notes, free, stop = [], threading.Event(), threading.Event()
    clock = RendezvousClock(1.0, notes.append)
    clock.PATIENCE_S = 0.05

    def loop():
        clock.wait(stop, 0.5)
        free.wait(10)

    thread = threading.Thread(target=loop, name="gone-astray")
    thread.start()
    for _ in range(3):
        clock.tick()
    assert [note for note in notes if "gone-astray" in note] == [notes[1]]
    free.set()
    thread.join(5)


def test_a_loop_that_ends_does_not_hold_the_clock_up():
    notes, stop = [], threading.Event()
    clock = RendezvousClock(1.0, notes.append)
    thread = threading.Thread(target=lambda: clock.wait(stop, 0.5))
    thread.start()
    clock.tick()
    clock.tick()
    thread.join(5)
    assert notes == ["clock 500000000", "clock 1000000000", "clock 2000000000"]


def test_the_real_clock_paces_the_steps():
    clock = RealClock(0.01)
    begin = time.monotonic()
    for _ in range(10):
        clock.tick()
    assert time.monotonic() - begin >= 0.1
    assert clock.now() - SteppedClock.EPOCH >= 0.1
    assert clock.wait(threading.Event(), 0.01) is False
