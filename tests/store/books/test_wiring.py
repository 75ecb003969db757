"""Configuration, risk limits and callables: what is wired wrongly is refused at the start."""

import asyncio
import functools
from pathlib import Path

import pytest

from store import (
    ConfigAudit,
    EngineConfig,
    HaltReason,
    Holdings,
    RiskLimits,
    RiskReadings,
    StoreValidation,
    StrategyConfig,
    TradingConfig,
    must_be_synchronous,
    risk_halt,
)

CONFIG = Path(__file__).parents[3] / "config"
RISK = (
    "risk: {max_xrp_exposure: 100.0, max_rlusd_exposure: 250.0, max_rpc_failures: 5, max_ledger_age_seconds: 20, "
    "max_gateway_unhealthy_seconds: 30}\n"
)
LIMITS = RiskLimits(100.0, 250.0, 5, 20, 30)


@pytest.fixture
def load(tmp_path):
    def write_and_load(text: str) -> TradingConfig:
        (tmp_path / "config.yaml").write_text(text)
        return TradingConfig.from_yaml(tmp_path / "config.yaml")

    return write_and_load


@pytest.mark.parametrize("name", ["config.yaml", "config.example.yaml"])
def test_both_files_carry_every_key(name, logged):
    assert TradingConfig.from_yaml(CONFIG / name) == TradingConfig(EngineConfig(), StrategyConfig(), LIMITS)
    assert logged("") == []


def test_defaults_are_logged_and_risk_limits_have_none(load, logged):
    config = load("engine: {tick_interval_seconds: 4.0, dry_run: true}\nstrategy: {}\n" + RISK)
    assert config.strategy == StrategyConfig(4, 3)
    said = [record.getMessage().partition(": ")[2] for record in logged("")]
    assert said[2:] == [
        "strategy.requote_interval_seconds is not set, using the default 4",
        "strategy.clob_switch_threshold_bps is not set, using the default 3",
    ]
    for key in ("max_xrp_exposure", "max_rlusd_exposure", "max_rpc_failures"):
        with pytest.raises(StoreValidation, match=f"risk.{key} is missing and has no default; set it"):
            load("engine: {}\nstrategy: {}\n" + RISK.replace(key, "max_ledger_age_seconds", 1).replace(
                "max_ledger_age_seconds: 20, ", ""))  # fmt: skip


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("engine: {}\nstrategy: {}\n", "there is no 'risk:' block"),
        ("engine: {}\n" + RISK, "there is no 'strategy:' block"),
        ("engine: {}\nstrategy: 7\n" + RISK, "'strategy:' must be a mapping"),
        (
            "engine: {}\nstrategy: {clob_switch_treshold_bps: 3}\n" + RISK,
            "unknown key strategy.clob_switch_treshold_bps; did you mean 'clob_switch_threshold_bps'",
        ),
        ("engine: {}\nstrategy: {}\n" + RISK.replace("{", "{max_loss: 1, "), "unknown key risk.max_loss"),
        (
            "engine: {tick_interval_seconds: 2}\nstrategy: {}\n" + RISK,
            "requote_interval_seconds must equal engine.tick_interval_seconds: 4 is not 2",
        ),
        ("engine: {}\nstrategy: {clob_switch_threshold_bps: 0}\n" + RISK, "clob_switch_threshold_bps must be greater"),
        ("engine: {}\nstrategy: {requote_interval_seconds: .nan}\n" + RISK, "must be finite"),
        ("engine: {}\nstrategy: {}\n" + RISK.replace("100.0", "-1"), "risk.max_xrp_exposure must be greater than 0"),
        ("engine: {}\nstrategy: {}\n" + RISK.replace("100.0", "'100'"), "risk.max_xrp_exposure must be a number"),
    ],
)
def test_bad_files_are_refused_in_one_line_with_their_name(load, text, match):
    with pytest.raises(StoreValidation, match=match) as caught:
        load(text)
    assert "config.yaml: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_that_nothing_reads_is_refused():
    audit = ConfigAudit(TradingConfig(EngineConfig(), StrategyConfig(), LIMITS))
    assert len(audit.unread) == 11
    assert audit.engine.tick_interval_seconds == audit.strategy.requote_interval_seconds == 4
    _ = audit.engine.db_path, audit.engine.dry_run, audit.engine.wal_checkpoint_interval_seconds
    assert risk_halt(audit.risk, RiskReadings(Holdings())) is None
    with pytest.raises(StoreValidation, match=r"never read: strategy.clob_switch_threshold_bps; wire"):
        audit.require_consumed()
    assert audit.strategy.clob_switch_threshold_bps == 3
    audit.require_consumed()
    with pytest.raises(AttributeError):
        _ = audit.risk.max_loss


@pytest.mark.parametrize(
    ("readings", "reason", "detail"),
    [
        ({"held": Holdings(115_200_000, 0)}, "risk_xrp_exposure", "xrp exposure limit (115.20 > 100.0)"),
        ({"held": Holdings(100_000_001, 0)}, "risk_xrp_exposure", "xrp exposure limit (100.000001 > 100.0)"),
        ({"held": Holdings(0, 250_010_000)}, "risk_rlusd_exposure", "rlusd exposure limit (250.01 > 250.0)"),
        ({"rpc_failures": 6}, "risk_rpc_failure", "rpc failure limit (6.00 > 5)"),
        ({"ledger_age_seconds": 20.5}, "risk_stale_ledger", "ledger age limit (20.50 > 20)"),
        ({"gateway_unhealthy_seconds": 31}, "risk_gateway_unhealthy", "gateway unhealthy limit (31.00 > 30)"),
    ],
)
def test_each_limit_has_its_halt(readings, reason, detail):
    at_limits = RiskReadings(Holdings(100_000_000, 250_000_000), 5, 20, 30)
    assert risk_halt(LIMITS, at_limits) is None
    assert risk_halt(LIMITS, RiskReadings(**{"held": Holdings(), **readings})) == (HaltReason(reason), detail)


def test_readings_that_are_none_are_refused():
    for bad in ({"held": None}, {"rpc_failures": -1}, {"ledger_age_seconds": float("nan")}):
        with pytest.raises(StoreValidation):
            RiskReadings(**{"held": Holdings(), **bad})


class AsynchronousCall:
    async def __call__(self):
        raise AssertionError


class Gateway:
    async def submit_and_wait(self):
        raise AssertionError


async def coroutine_function(*_args):
    raise AssertionError


async def generator_function():
    yield 1


@functools.wraps(coroutine_function)
def disguised(*args):
    return coroutine_function(*args)


@pytest.mark.parametrize(
    "function",
    [
        coroutine_function,
        generator_function,
        functools.partial(functools.partial(coroutine_function, 1), 2),
        AsynchronousCall(),
        Gateway().submit_and_wait,
        disguised,
    ],
)
def test_a_coroutine_function_is_refused_at_start(function):
    with pytest.raises(StoreValidation, match="gateway must be synchronous, but it is a coroutine function"):
        must_be_synchronous(function, "gateway")


def test_a_coroutine_returned_by_surprise_raises_at_once_and_is_closed():
    """An unclosed coroutine would be a RuntimeWarning, which is an error in these tests."""
    made = []

    def surprise(number):
        made.append(coroutine_function(number))
        return made[-1]

    guarded = must_be_synchronous(surprise, "gateway")
    with pytest.raises(StoreValidation, match="but it returned a coroutine, now dropped"):
        guarded(7)
    assert made[0].cr_frame is None


def test_a_task_returned_by_surprise_is_cancelled():
    async def main():
        guarded = must_be_synchronous(lambda: asyncio.ensure_future(asyncio.sleep(60)), "gateway")
        with pytest.raises(StoreValidation, match="returned a Task"):
            guarded()
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_a_synchronous_callable_works_as_before():
    def submit(number, *, wait):
        """The gateway's."""
        return number, wait

    guarded = must_be_synchronous(submit, "gateway")
    assert guarded(7, wait=True) == (7, True)
    assert guarded.__name__ == "submit"
    assert must_be_synchronous(functools.partial(submit, 7), "gateway")(wait=1) == (7, 1)
    with pytest.raises(StoreValidation, match="gateway must be callable, not int"):
        must_be_synchronous(7, "gateway")
