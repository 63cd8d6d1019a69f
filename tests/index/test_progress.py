"""Which stage limits, by hand-worked cases, and what a person sees."""

from index.progress import BuildProgress, Stages


class Clock:
    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr("index.progress.time.perf_counter", lambda: self.now)
        monkeypatch.setattr("index.progress.time.monotonic", lambda: self.now)

    def spend(self, stages, stage, seconds):
        with stages.busy(stage):
            self.now += seconds


def test_the_limiting_stage_is_that_of_the_workers_with_most_to_do(monkeypatch):
    clock = Clock(monkeypatch)
    stages = Stages({("read", "decode"): 2})
    assert stages.limiting() is None
    clock.spend(stages, "read", 6.0)
    clock.spend(stages, "decode", 8.0)
    clock.spend(stages, "encode", 5.0)
    assert stages.load() == {"read": 3.0, "decode": 4.0, "encode": 5.0}
    # Two workers share 14 s of reading and decoding: 7 s, more than the encoder's 5.
    assert stages.limiting() == "decode"
    clock.spend(stages, "encode", 2.5)
    assert stages.limiting() == "encode"


def test_lines_without_a_terminal_are_few_and_say_all(monkeypatch, capsys):
    clock = Clock(monkeypatch)
    stages = Stages({})
    clock.spend(stages, "decode", 1.0)
    with BuildProgress(100, stages, quiet=False) as progress:
        for done in range(1, 41):
            clock.now += 0.5
            progress.advance_to(done)
    lines = capsys.readouterr().err.splitlines()
    assert 3 <= len(lines) <= 4
    assert lines[0] == "11/100  2 pictures/s, limited by decode, 44 s left"


def test_quiet_is_quiet(monkeypatch, capsys):
    clock = Clock(monkeypatch)
    with BuildProgress(100, Stages({}), quiet=True) as progress:
        clock.now += 60
        progress.advance_to(50)
    assert capsys.readouterr().err == ""
