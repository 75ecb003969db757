import pytest

from crashlab.model.contract import Contract, Durability, FaultClass, Promise


def test_a_kill_takes_nothing_whatever_synchronous_is():
    for synchronous in ("OFF", "NORMAL", "FULL", "EXTRA"):
        assert Contract().promise(FaultClass.PROCESS_DEATH, synchronous) == Promise(Durability.ALL, well_formed=True)


@pytest.mark.parametrize(
    ("synchronous", "promised"),
    [
        ("OFF", Promise(Durability.NONE, well_formed=False)),
        ("NORMAL", Promise(Durability.PREFIX)),
        ("normal", Promise(Durability.PREFIX)),
        ("FULL", Promise()),
        ("EXTRA", Promise()),
        ("never heard of", Promise()),
    ],
)
def test_a_power_loss_is_judged_by_the_effective_synchronous(synchronous, promised):
    assert Contract().promise(FaultClass.POWER_LOSS, synchronous) == promised


def test_each_class_has_its_own_promise():
    contract = Contract(process_death=Promise(Durability.PREFIX), io_error=Promise(may_refuse=True))
    assert contract.promise(FaultClass.PROCESS_DEATH).durability is Durability.PREFIX
    assert contract.promise(FaultClass.NONE).durability is Durability.PREFIX
    assert contract.promise(FaultClass.IO_ERROR).may_refuse
    assert contract.promise(FaultClass.INTERFERENCE) == Promise(Durability.NONE, well_formed=False, may_refuse=True)


def test_two_contracts_do_not_share_their_promises():
    first = Contract()
    first.power_loss["OFF"] = Promise()
    assert Contract().promise(FaultClass.POWER_LOSS, "OFF").durability is Durability.NONE
